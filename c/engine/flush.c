/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Flushing: pages, ranges, objects, and what is left of a pool that was emptied or ended. */
#include <sched.h>

#include "lists.h"
#include "ops.h"

enum { PAGES_PER_LOCK = 512, RANGE_PROBE_MAX = 64 };

int tmem_flush_page(struct tmem_client *client, uint32_t untrusted_pool_id,
		    const struct tmem_oid *oid, uint64_t index)
{
	struct tmem_handle handle;
	struct tmem_call call;
	int code = tmem_call_begin(client, untrusted_pool_id, &call);
	tmem_ref ref;

	if (code != 0)
		return code;
	tmem_handle_init(call.engine, &handle, call.pool, oid, index);
	tmem_lock(&handle.shard->lock);
	if (tmem_call_valid(&call)) {
		ref = tmem_page_find(call.engine, &handle, atomic_load(&call.pool->epoch));
		tmem_count(call.member, page_flushes, 1);
		if (ref != TMEM_REF_NONE) {
			tmem_page_remove(call.engine, &handle, ref);
			tmem_count(call.member, page_flushes_found, 1);
		}
		code = TMEM_DONE;
	} else {
		code = TMEM_ENODEV;
	}
	tmem_unlock(&handle.shard->lock);
	return code;
}

/* Removes the page at @ref of the handle's object; 1 if it was of the current epoch, else 0. */
static uint64_t remove_of_object(struct tmem_engine *engine, struct tmem_handle *handle,
				 tmem_ref ref)
{
	const struct tmem_record *record = tmem_ref_record(engine, ref);
	bool current = record->epoch == (uint16_t)atomic_load(&handle->pool->epoch);

	handle->index = record->index;
	tmem_page_remove(engine, handle, ref);
	return current ? 1 : 0;
}

int tmem_flush_object(struct tmem_client *client, uint32_t untrusted_pool_id,
		      const struct tmem_oid *oid)
{
	struct tmem_handle handle;
	struct tmem_call call;
	uint64_t removed = 0;
	uint64_t found = 0;
	uint64_t at_most;
	tmem_ref ref;
	int code = tmem_call_begin(client, untrusted_pool_id, &call);

	if (code != 0)
		return code;
	tmem_handle_init(call.engine, &handle, call.pool, oid, 0);
	at_most = atomic_load(&call.pool->pages);
	tmem_lock(&handle.shard->lock);
	if (!tmem_call_valid(&call)) {
		tmem_unlock(&handle.shard->lock);
		return TMEM_ENODEV;
	}
	while ((ref = tmem_object_find(call.engine, &handle)) != TMEM_REF_NONE) {
		found += remove_of_object(call.engine, &handle, ref);
		/* Let others in now and then; but a sharer that keeps putting pages into the object
		 * must not keep us here, so beyond what there was the lock is not dropped. */
		if (++removed % PAGES_PER_LOCK == 0 && removed < at_most) {
			tmem_unlock(&handle.shard->lock);
			tmem_lock(&handle.shard->lock);
			if (!tmem_call_valid(&call))
				break;
		}
	}
	tmem_unlock(&handle.shard->lock);
	tmem_count(call.member, object_flushes, 1);
	tmem_count(call.member, object_flushes_found, found);
	return TMEM_DONE;
}

static bool holds_more_than(struct tmem_engine *engine, const struct tmem_handle *handle,
			    uint64_t pages)
{
	tmem_ref ref = tmem_object_find(engine, handle);

	for (; ref != TMEM_REF_NONE; ref = tmem_ref_links(engine, ref)->object_next)
		if (pages-- == 0)
			return true;
	return false;
}

static uint64_t flush_by_probing(struct tmem_engine *engine, struct tmem_handle *handle,
				 uint64_t first, uint64_t last)
{
	uint64_t found = 0;

	for (uint64_t index = first;; index++) {
		tmem_ref ref;

		handle->index = index;
		ref = tmem_page_find(engine, handle, atomic_load(&handle->pool->epoch));
		if (ref != TMEM_REF_NONE)
			found += remove_of_object(engine, handle, ref);
		if (index == last)
			return found;
	}
}

static uint64_t flush_by_walking(struct tmem_engine *engine, struct tmem_handle *handle,
				 uint64_t first, uint64_t last)
{
	tmem_ref ref = tmem_object_find(engine, handle);
	uint64_t found = 0;

	while (ref != TMEM_REF_NONE) {
		tmem_ref next = tmem_ref_links(engine, ref)->object_next;
		uint64_t index = tmem_ref_record(engine, ref)->index;

		if (index >= first && index <= last)
			found += remove_of_object(engine, handle, ref);
		ref = next;
	}
	return found;
}

int tmem_flush_range(struct tmem_client *client, uint32_t untrusted_pool_id,
		     const struct tmem_oid *oid, uint64_t first, uint64_t count)
{
	uint64_t last = count > UINT64_MAX - first ? UINT64_MAX : first + count - 1;
	struct tmem_handle handle;
	struct tmem_call call;
	uint64_t found = 0;
	int code = tmem_call_begin(client, untrusted_pool_id, &call);

	if (code != 0)
		return code;
	tmem_handle_init(call.engine, &handle, call.pool, oid, first);
	tmem_lock(&handle.shard->lock);
	if (!tmem_call_valid(&call))
		code = TMEM_ENODEV;
	else if (count == 0)
		code = TMEM_DONE;
	else {
		if (count <= RANGE_PROBE_MAX || holds_more_than(call.engine, &handle, count))
			found = flush_by_probing(call.engine, &handle, first, last);
		else
			found = flush_by_walking(call.engine, &handle, first, last);
		code = TMEM_DONE;
	}
	tmem_unlock(&handle.shard->lock);
	if (code == TMEM_DONE) {
		tmem_count(call.member, range_flushes, 1);
		tmem_count(call.member, range_flushes_found, found);
	}
	return code;
}

uint64_t tmem_pool_sweep(struct tmem_engine *engine, struct tmem_pool *pool)
{
	struct tmem_handle handle;
	uint64_t removed = 0;

	for (;;) {
		tmem_ref ref = tmem_list_grab_oldest(engine, pool, &pool->stale, 1, &handle);

		if (ref != TMEM_REF_NONE) {
			tmem_page_remove(engine, &handle, ref);
			tmem_unlock(&handle.shard->lock);
			removed++;
			continue;
		}
		tmem_lock(&pool->list_lock);
		ref = pool->stale.oldest;
		tmem_unlock(&pool->list_lock);
		if (ref == TMEM_REF_NONE)
			return removed;
		sched_yield();
	}
}
