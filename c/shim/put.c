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
static bool takes_place_of_owed(struct tmem_shim *shim, struct tmem_shim_pool *pool,
				const struct tmem_oid *oid, uint64_t index)
{
	struct tmem_area *area;
	uint64_t bit;

	return pool->swap && tmem_area_find(shim, oid, index, &area, &bit) &&
	       tmem_area_owes_page(area, bit);
}

static int append(struct tmem_shim *shim, struct tmem_shim_pool *pool, const struct tmem_oid *oid,
		  uint64_t index, const void *page, struct tmem_shim_request *request)
{
	struct tmem_entry *entry;
	struct tmem_area *area;
	uint64_t bit;

	if (pool->swap && tmem_area_find(shim, oid, index, &area, &bit))
		tmem_area_settle(shim, area, bit);
	entry = tmem_queue_append(shim, TMEM_OP_PUT_PAGE, tmem_pool_number(shim, pool), oid, index,
				  true);
	/* under the lock: a put comes with interrupts off anyway, and nobody may see half of it */
	tmem_platform_page_read(tmem_entry_page(shim, entry), page);
	TMEM_COUNT(shim, puts_queued);
	if (tmem_pool_persistent(pool))
		shim->had_persistent = true;
	else
		tmem_summary_put(shim, pool, oid, index);
	if (tmem_pool_shared(pool))
		tmem_own_put(shim, pool, oid, shim->head - 1);
	if (!request)
		return TMEM_DONE;
	tmem_shim_request_attach(shim, request, shim->head - 1, TMEM_REQUEST_QUEUED);
	return TMEM_SHIM_PENDING;
}

int tmem_put_begin(struct tmem_shim *shim, struct tmem_shim_pool *pool, const struct tmem_oid *oid,
		   uint64_t index, const void *page, struct tmem_shim_request *request)
{
	bool running = shim->state == TMEM_SHIM_RUNNING;
	bool room = tmem_queue_room(shim, true, false);

	tmem_landing_drop_page(shim, pool, oid, index);
	if (pool->state != TMEM_SHIM_POOL_READY) {
		TMEM_PUT_FAILS(shim, request, no_pool);
		return TMEM_EAGAIN;
	}
	if (tmem_pool_persistent(pool) && shim->no_stores) {
		TMEM_PUT_FAILS(shim, request, stopped);
		return refuse(shim, pool, oid, index, request);
	}
	if (!running) {
		TMEM_PUT_FAILS(shim, request, down);
		return refuse(shim, pool, oid, index, request);
	}
	if (tmem_owed_covers(shim, pool, oid, index) &&
	    !takes_place_of_owed(shim, pool, oid, index)) {
		TMEM_PUT_FAILS(shim, request, owed);
		return TMEM_EAGAIN;
	}
	if (!room && !request) {
		TMEM_COUNT(shim, puts_no_room);
		return refuse(shim, pool, oid, index, request);
	}
	if (!TMEM_RULE(T) && tmem_summary_positive(shim, pool, oid, index))
		return TMEM_DONE;
	if (tmem_pool_persistent(pool) && !TMEM_RULE(O))
		request = NULL;
	if (request) {
		tmem_shim_request_begin(shim, request, shim->config.get_ms);
		/* whatever ends it, unless somebody knows better */
		TMEM_WHY(request, down);
	}
	if (room)
		return append(shim, pool, oid, index, page, request);
	TMEM_COUNT(shim, puts_waited);
	tmem_shim_request_wait_for_room(shim, request);
	return TMEM_SHIM_PENDING;
}

void tmem_put_retry(struct tmem_shim *shim, struct tmem_shim_pool *pool,
		    struct tmem_shim_request *request)
{
	const struct tmem_oid *oid = &request->oid;

	/* what happened meanwhile: stores were stopped, the whole object was flushed */
	if (tmem_pool_persistent(pool) && shim->no_stores) {
		TMEM_PUT_FAILS(shim, request, stopped);
		tmem_shim_request_fail_put(shim, request);
	} else if (tmem_owed_covers(shim, pool, oid, request->index) &&
		   !takes_place_of_owed(shim, pool, oid, request->index)) {
		TMEM_PUT_FAILS(shim, request, owed);
		tmem_shim_request_fail_put(shim, request);
	} else {
		append(shim, pool, oid, request->index, request->page, request);
	}
}
