// SPDX-License-Identifier: GPL-2.0-or-later
#include "core.h"

/*
 * A put that cannot be queued becomes a flush of its handle (L, B). Where not even that can be
 * noted, the caller waits for room, and then for the flush.
 */
static int refuse(struct tmem_shim *shim, struct tmem_shim_pool *pool, const struct tmem_oid *oid,
		  uint64_t index, struct tmem_shim_request *request)
{
	if (!TMEM_RULE(L)) {
		uint64_t newest = tmem_queue_newest(shim, tmem_pool_number(shim, pool), oid, index);

		if (newest)
			tmem_entry_at(shim, newest)->flags |= TMEM_ENTRY_OLD;
		return TMEM_EAGAIN;
	}
	if (tmem_flush_handle(shim, pool, oid, index))
		return TMEM_EAGAIN;
	if (!request)
		return TMEM_EINVAL;
	tmem_shim_request_begin(shim, request, TMEM_NEVER);
	request->outcome = TMEM_EAGAIN;
	tmem_shim_request_wait_for_room(shim, request);
	return TMEM_SHIM_PENDING;
}

/* A put takes the place of an owed flush of the same page, where owed flushes are of pages. */
static bool still_owed(struct tmem_shim *shim, struct tmem_shim_pool *pool,
		       const struct tmem_oid *oid, uint64_t index, bool can_queue)
{
	struct tmem_area *area;
	uint64_t bit;

	if (!tmem_owed_covers(shim, pool, oid, index))
		return false;
	if (!can_queue || !pool->swap || !tmem_area_find(shim, oid, index, &area, &bit))
		return true;
	tmem_area_settle(shim, area, bit);
	return tmem_owed_covers(shim, pool, oid, index);
}

int tmem_put_begin(struct tmem_shim *shim, struct tmem_shim_pool *pool, const struct tmem_oid *oid,
		   uint64_t index, const void *page, struct tmem_shim_request *request)
{
	bool running = shim->state == TMEM_SHIM_RUNNING;
	bool room = tmem_queue_room(shim, true, false);
	uint32_t number = tmem_pool_number(shim, pool);
	struct tmem_entry *entry;

	tmem_landing_drop_page(shim, pool, oid, index);
	if (pool->state != TMEM_SHIM_POOL_READY) {
		TMEM_COUNT(shim, puts_no_pool);
		return TMEM_EAGAIN;
	}
	if (still_owed(shim, pool, oid, index, running && room && !shim->no_stores)) {
		TMEM_COUNT(shim, puts_owed);
		return TMEM_EAGAIN;
	}
	if (tmem_pool_persistent(pool) && shim->no_stores) {
		TMEM_COUNT(shim, puts_stopped);
		return refuse(shim, pool, oid, index, request);
	}
	if (!running) {
		TMEM_COUNT(shim, puts_down);
		return refuse(shim, pool, oid, index, request);
	}
	if (!room) {
		TMEM_COUNT(shim, puts_no_room);
		return refuse(shim, pool, oid, index, request);
	}
	if (!TMEM_RULE(T) && tmem_summary_positive(shim, pool, oid, index))
		return TMEM_DONE;
	entry = tmem_queue_append(shim, TMEM_OP_PUT_PAGE, number, oid, index, true);
	/* under the lock: a put comes with interrupts off anyway, and nobody may see half of it */
	tmem_platform_page_read(tmem_entry_page(shim, entry), page);
	TMEM_COUNT(shim, puts_queued);
	if (tmem_pool_persistent(pool))
		shim->had_persistent = true;
	else
		tmem_summary_put(shim, pool, oid, index);
	if (tmem_pool_shared(pool))
		tmem_own_put(shim, pool, oid, shim->head - 1);
	if (!request || (tmem_pool_persistent(pool) && !TMEM_RULE(O)))
		return TMEM_DONE;
	tmem_shim_request_begin(shim, request, shim->config.get_ms);
	tmem_shim_request_attach(shim, request, shim->head - 1, TMEM_REQUEST_QUEUED);
	return TMEM_SHIM_PENDING;
}
