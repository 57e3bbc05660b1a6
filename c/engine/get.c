/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "codec.h"
#include "group.h"
#include "lists.h"
#include "ops.h"

static void fetch_contents(const struct tmem_call *call, tmem_ref ref)
{
	const char *contents = tmem_ref_contents(call->engine, ref);
	uint32_t slot_bytes = tmem_ref_extent(call->engine, ref)->slot_bytes;

	for (uint32_t at = 0; at < slot_bytes; at += TMEM_CACHE_LINE_BYTES)
		__builtin_prefetch(contents + at);
}

/*
 * The pages of an object are mostly asked for in the order in which they were put, in which its
 * list has them. While this page is verified the next one may come in from memory: the processor
 * does not see it coming across the locks between two calls. A page out of order is fetched as a
 * whole at once.
 */
static void fetch_ahead(const struct tmem_call *call, tmem_ref ref)
{
	struct tmem_engine *engine = call->engine;
	const struct tmem_links *links = tmem_ref_links(engine, ref);
	tmem_ref next = links->object_prev;
	tmem_ref expected = atomic_load_explicit(&call->member->expected, memory_order_relaxed);

	atomic_store_explicit(&call->member->expected, next, memory_order_relaxed);
	if (links->object_next != TMEM_REF_NONE)
		__builtin_prefetch(tmem_ref_links(engine, links->object_next), 1);
	if (next != TMEM_REF_NONE) {
		__builtin_prefetch(tmem_ref_links(engine, next), 1);
		__builtin_prefetch(tmem_ref_record(engine, next), 1);
	}
	if (ref != expected)
		fetch_contents(call, ref);
	else if (next != TMEM_REF_NONE)
		fetch_contents(call, next);
}

static bool read_page(const struct tmem_call *call, tmem_ref ref, void *data)
{
	struct tmem_engine *engine = call->engine;
	struct tmem_group *group = atomic_load_explicit(&call->pool->group, memory_order_relaxed);
	const struct tmem_record *record = tmem_ref_record(engine, ref);
	uint64_t word = atomic_load_explicit(&record->commit, memory_order_relaxed);

	if (tmem_commit_mark(word) == TMEM_MARK_REFERENCE)
		return tmem_group_read(engine, group, record->checksum, data);
	fetch_ahead(call, ref);
	return tmem_decode(tmem_ref_contents(engine, ref), tmem_commit_length(word),
			   tmem_commit_encoding(word), record->checksum, group->secret, data);
}

static int get_locked(const struct tmem_call *call, const struct tmem_handle *handle, void *data)
{
	tmem_ref ref = tmem_page_find(call->engine, handle, atomic_load(&call->pool->epoch));
	bool persistent = tmem_pool_persistent(call->pool);

	if (ref == TMEM_REF_NONE) {
		tmem_count(call->member, gets_missed, 1);
		return TMEM_MISS;
	}
	if (!read_page(call, ref, data)) {
		tmem_page_remove(call->engine, handle, ref);
		tmem_count(call->member, gets_damaged, 1);
		tmem_count(call->member, damaged, 1);
		return persistent ? TMEM_EIO : TMEM_MISS;
	}
	tmem_count(call->member, gets_hit, 1);
	if (tmem_ref_record(call->engine, ref)->client != call->client->uid)
		tmem_count(call->member, hits_other, 1);
	if (tmem_pool_shared(call->pool))
		tmem_list_promote(call->engine, call->pool, ref, false);
	else if (!persistent)
		tmem_page_remove(call->engine, handle, ref);
	return TMEM_DONE;
}

int tmem_get(struct tmem_client *client, uint32_t untrusted_pool_id, const struct tmem_oid *oid,
	     uint64_t index, void *data)
{
	struct tmem_handle handle;
	struct tmem_call call;
	int code = tmem_call_begin(client, untrusted_pool_id, &call);

	if (code != 0)
		return code;
	if (atomic_load_explicit(&call.pool->pages, memory_order_acquire) == 0) {
		tmem_count(call.member, gets_empty, 1);
		return TMEM_EEMPTY;
	}
	if (!atomic_load_explicit(&call.pool->served, memory_order_acquire)) {
		tmem_count(call.member, gets_unserved, 1);
		return TMEM_MISS;
	}
	tmem_handle_init(call.engine, &handle, call.pool, oid, index);
	tmem_lock(&handle.shard->lock);
	code = tmem_call_valid(&call) ? get_locked(&call, &handle, data) : TMEM_ENODEV;
	tmem_unlock(&handle.shard->lock);
	return code;
}
