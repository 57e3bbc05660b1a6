/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hint.h"

#include "lists.h"
#include "ops.h"

enum { CACHE_LINE_BYTES = 64 };

static void fetch_links(struct tmem_engine *engine, tmem_ref ref)
{
	if (ref != TMEM_REF_NONE)
		__builtin_prefetch(tmem_ref_links(engine, ref), 1);
}

static void fetch_contents(struct tmem_engine *engine, tmem_ref ref)
{
	const struct tmem_extent *extent = tmem_ref_extent(engine, ref);
	const char *contents = tmem_ref_contents(engine, ref);

	for (uint32_t at = 0; at < extent->slot_bytes; at += CACHE_LINE_BYTES)
		__builtin_prefetch(contents + at);
}

/* Who replaces or removes a page writes to its neighbours. */
static void fetch_neighbours(struct tmem_engine *engine, tmem_ref ref)
{
	const struct tmem_links *links = tmem_ref_links(engine, ref);

	fetch_links(engine, links->object_prev);
	fetch_links(engine, links->object_next);
	fetch_links(engine, links->newer);
	fetch_links(engine, links->older);
}

/* Follows the chain as far as earlier steps have fetched it. Holds the shard lock. */
static void follow(struct tmem_hint *hint, const struct tmem_call *call,
		   const struct tmem_handle *handle, unsigned int step)
{
	struct tmem_engine *engine = call->engine;
	uint64_t hash = tmem_page_hash(handle->object_hash, handle->index);
	uint32_t *bucket = tmem_table_bucket(&handle->shard->pages, hash);
	tmem_ref ref;

	if (step == 0) {
		__builtin_prefetch(bucket);
		return;
	}
	ref = *bucket;
	for (unsigned int i = 1; i < step && ref != TMEM_REF_NONE; i++) {
		const struct tmem_record *record = tmem_ref_record(engine, ref);

		if (record->index == handle->index && tmem_oid_equal(&record->oid, &handle->oid)) {
			hint->over = true;
			if (hint->get)
				fetch_contents(engine, ref);
			if (!hint->get || !tmem_pool_persistent(call->pool))
				fetch_neighbours(engine, ref);
			return;
		}
		ref = tmem_ref_links(engine, ref)->hash_next;
	}
	if (ref == TMEM_REF_NONE) {
		hint->over = true;
		return;
	}
	__builtin_prefetch(tmem_ref_record(engine, ref));
	fetch_links(engine, ref);
}

void tmem_hint_step(struct tmem_hint *untrusted_hint, unsigned int step)
{
	struct tmem_handle handle;
	struct tmem_call call;

	if (untrusted_hint->over)
		return;
	untrusted_hint->over =
		tmem_call_begin(untrusted_hint->client, untrusted_hint->pool, &call) != 0;
	if (untrusted_hint->over)
		return;
	tmem_handle_init(call.engine, &handle, call.pool, &untrusted_hint->oid,
			 untrusted_hint->index);
	if (!tmem_trylock(&handle.shard->lock))
		return;
	if (tmem_call_valid(&call))
		follow(untrusted_hint, &call, &handle, step);
	tmem_unlock(&handle.shard->lock);
}
