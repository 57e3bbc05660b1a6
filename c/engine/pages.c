/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "pages.h"

#include <stdlib.h>

enum { SHARD_BITS_MIN = 6, SHARD_BITS_MAX = 12, PAGES_PER_SHARD = 1024 };

static uint32_t *page_link(struct tmem_engine *engine, tmem_ref ref)
{
	return &tmem_ref_links(engine, ref)->hash_next;
}

static uint64_t page_hash(struct tmem_engine *engine, tmem_ref ref)
{
	const struct tmem_record *record = tmem_ref_record(engine, ref);

	return tmem_page_hash(tmem_object_hash(engine, record->pool, &record->oid), record->index);
}

static uint32_t *object_link(struct tmem_engine *engine, tmem_ref ref)
{
	return &tmem_ref_links(engine, ref)->object_prev;
}

static uint64_t object_hash(struct tmem_engine *engine, tmem_ref ref)
{
	const struct tmem_record *record = tmem_ref_record(engine, ref);

	return tmem_object_hash(engine, record->pool, &record->oid);
}

static const struct tmem_table_ops page_table = {.link = page_link, .hash = page_hash};
static const struct tmem_table_ops object_table = {.link = object_link, .hash = object_hash};

tmem_ref tmem_page_find(struct tmem_engine *engine, const struct tmem_handle *handle,
			uint32_t epoch)
{
	uint64_t hash = tmem_page_hash(handle->object_hash, handle->index);
	tmem_ref ref = *tmem_table_bucket(&handle->shard->pages, hash);

	TMEM_ASSERT_HELD(TMEM_RANK_SHARD);
	while (ref != TMEM_REF_NONE) {
		const struct tmem_record *record = tmem_ref_record(engine, ref);

		if (record->index == handle->index && record->pool == handle->pool->number &&
		    record->epoch == (uint16_t)epoch && tmem_oid_equal(&record->oid, &handle->oid))
			return ref;
		ref = tmem_ref_links(engine, ref)->hash_next;
	}
	return TMEM_REF_NONE;
}

tmem_ref tmem_object_find(struct tmem_engine *engine, const struct tmem_handle *handle)
{
	tmem_ref ref = *tmem_table_bucket(&handle->shard->objects, handle->object_hash);

	TMEM_ASSERT_HELD(TMEM_RANK_SHARD);
	while (ref != TMEM_REF_NONE) {
		const struct tmem_record *record = tmem_ref_record(engine, ref);

		if (record->pool == handle->pool->number &&
		    tmem_oid_equal(&record->oid, &handle->oid))
			return ref;
		ref = tmem_ref_links(engine, ref)->object_prev;
	}
	return TMEM_REF_NONE;
}

void tmem_page_link(struct tmem_engine *engine, const struct tmem_handle *handle, tmem_ref ref)
{
	struct tmem_links *links = tmem_ref_links(engine, ref);
	tmem_ref head = tmem_object_find(engine, handle);

	tmem_table_insert(engine, &handle->shard->pages, &page_table, ref,
			  tmem_page_hash(handle->object_hash, handle->index));
	if (head == TMEM_REF_NONE) {
		links->object_next = TMEM_REF_NONE;
		tmem_table_insert(engine, &handle->shard->objects, &object_table, ref,
				  handle->object_hash);
		atomic_fetch_add_explicit(&handle->pool->objects, 1, memory_order_relaxed);
		return;
	}
	struct tmem_links *head_links = tmem_ref_links(engine, head);

	links->object_prev = head;
	links->object_next = head_links->object_next;
	if (links->object_next != TMEM_REF_NONE)
		tmem_ref_links(engine, links->object_next)->object_prev = ref;
	head_links->object_next = ref;
}

/* A head's object_prev leads to the head of another object, which does not lead back. */
static bool is_head(struct tmem_engine *engine, const struct tmem_links *links, tmem_ref ref)
{
	return links->object_prev == TMEM_REF_NONE ||
	       tmem_ref_links(engine, links->object_prev)->object_next != ref;
}

void tmem_page_unlink(struct tmem_engine *engine, const struct tmem_handle *handle, tmem_ref ref)
{
	const struct tmem_links *links = tmem_ref_links(engine, ref);
	tmem_ref next = links->object_next;

	TMEM_ASSERT_HELD(TMEM_RANK_SHARD);
	tmem_table_remove(engine, &handle->shard->pages, &page_table, ref,
			  tmem_page_hash(handle->object_hash, handle->index));
	if (!is_head(engine, links, ref)) {
		tmem_ref_links(engine, links->object_prev)->object_next = next;
		if (next != TMEM_REF_NONE)
			tmem_ref_links(engine, next)->object_prev = links->object_prev;
	} else if (next != TMEM_REF_NONE) {
		tmem_table_replace(engine, &handle->shard->objects, &object_table, ref, next,
				   handle->object_hash);
	} else {
		tmem_table_remove(engine, &handle->shard->objects, &object_table, ref,
				  handle->object_hash);
		atomic_fetch_sub_explicit(&handle->pool->objects, 1, memory_order_relaxed);
	}
}

void tmem_page_relink(struct tmem_engine *engine, const struct tmem_handle *handle, tmem_ref ref,
		      tmem_ref to)
{
	const struct tmem_links *links = tmem_ref_links(engine, ref);
	struct tmem_links *to_links = tmem_ref_links(engine, to);

	TMEM_ASSERT_HELD(TMEM_RANK_SHARD);
	tmem_table_replace(engine, &handle->shard->pages, &page_table, ref, to,
			   tmem_page_hash(handle->object_hash, handle->index));
	if (is_head(engine, links, ref)) {
		tmem_table_replace(engine, &handle->shard->objects, &object_table, ref, to,
				   handle->object_hash);
	} else {
		to_links->object_prev = links->object_prev;
		tmem_ref_links(engine, links->object_prev)->object_next = to;
	}
	to_links->object_next = links->object_next;
	if (links->object_next != TMEM_REF_NONE)
		tmem_ref_links(engine, links->object_next)->object_prev = to;
}

int tmem_shards_init(struct tmem_engine *engine)
{
	uint64_t pages = atomic_load(&engine->budget_bytes) / TMEM_PAGE_BYTES;
	unsigned int bits = SHARD_BITS_MIN;

	while (bits < SHARD_BITS_MAX && pages >> bits > PAGES_PER_SHARD)
		bits++;
	engine->shards =
		aligned_alloc(_Alignof(struct tmem_shard), sizeof(struct tmem_shard) << bits);
	if (engine->shards == NULL)
		return -ENOMEM;
	memset(engine->shards, 0, sizeof(struct tmem_shard) << bits);
	engine->shard_bits = bits;
	for (uint32_t i = 0; i < 1u << bits; i++) {
		tmem_lock_init(&engine->shards[i].lock, TMEM_RANK_SHARD);
		if (tmem_table_init(engine, &engine->shards[i].pages) != 0 ||
		    tmem_table_init(engine, &engine->shards[i].objects) != 0)
			return -ENOMEM;
	}
	return 0;
}

void tmem_shards_deinit(struct tmem_engine *engine)
{
	if (engine->shards == NULL)
		return;
	for (uint32_t i = 0; i < 1u << engine->shard_bits; i++) {
		tmem_lock_deinit(&engine->shards[i].lock);
		tmem_table_deinit(engine, &engine->shards[i].pages);
		tmem_table_deinit(engine, &engine->shards[i].objects);
	}
	free(engine->shards);
}

void tmem_shards_quiesce(struct tmem_engine *engine)
{
	for (uint32_t i = 0; i < 1u << engine->shard_bits; i++) {
		tmem_lock(&engine->shards[i].lock);
		tmem_unlock(&engine->shards[i].lock);
	}
}
