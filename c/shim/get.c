// SPDX-License-Identifier: GPL-2.0-or-later
#include "core.h"

static bool voided(const struct tmem_entry *entry, uint64_t index)
{
	uint64_t ahead = index - entry->index - 1;

	return ahead < 32 && entry->ahead_void >> ahead & 1;
}

/* Copies what waits in the queue. On a private pool a hit takes the page away (D): here by a flush
 * behind it, or by making one of it. */
static int take_staged(struct tmem_shim *shim, struct tmem_shim_pool *pool,
		       struct tmem_shim_request *request, uint64_t position)
{
	struct tmem_entry *entry = tmem_entry_at(shim, position);

	tmem_platform_page_write(request->page, 0, tmem_entry_page(shim, entry), TMEM_PAGE_BYTES);
	TMEM_COUNT(shim, gets_staged);
	if (!tmem_pool_shared(pool))
		tmem_flush_handle(shim, pool, &request->oid, request->index);
	return TMEM_DONE;
}

static int miss(uint64_t *counter)
{
	(*counter)++;
	return TMEM_MISS;
}

/* What is on its way by a get that ran ahead is waited for, not asked for again: on a private pool
 * it has left the host. */
static bool wait_for_ahead(struct tmem_shim *shim, struct tmem_shim_pool *pool,
			   struct tmem_shim_request *request)
{
	uint64_t position = tmem_ahead_fetching(shim, tmem_pool_number(shim, pool), &request->oid,
						request->index);

	if (!position || voided(tmem_entry_at(shim, position), request->index))
		return false;
	tmem_shim_request_begin(shim, request, shim->config.get_ms);
	tmem_shim_request_attach(shim, request, position, TMEM_REQUEST_AHEAD);
	return true;
}

static int ask(struct tmem_shim *shim, struct tmem_shim_pool *pool,
	       struct tmem_shim_request *request, const struct tmem_summary *summary,
	       uint32_t ahead)
{
	struct tmem_entry *entry;

	entry = tmem_queue_append(shim, TMEM_OP_GET_PAGE, tmem_pool_number(shim, pool),
				  &request->oid, request->index, false);
	if (ahead && tmem_ahead_register(shim, shim->head - 1))
		entry->count = (uint16_t)ahead;
	if (entry->count)
		tmem_ahead_asked(shim, pool, &request->oid, request->index, entry->count);
	TMEM_COUNT(shim, round_trips);
	shim->counters.ahead_asked += entry->count;
	if (tmem_summary_ask(shim, pool, summary))
		entry->flags |= TMEM_ENTRY_PRESENCE;
	tmem_shim_request_begin(shim, request, shim->config.get_ms);
	tmem_shim_request_attach(shim, request, shim->head - 1, TMEM_REQUEST_QUEUED);
	return TMEM_SHIM_PENDING;
}

/* A load waits, whatever the channel does (P). */
static int begin_load(struct tmem_shim *shim, struct tmem_shim_pool *pool,
		      struct tmem_shim_request *request)
{
	uint64_t newest = tmem_queue_newest(shim, tmem_pool_number(shim, pool), &request->oid,
					    request->index);

	if (newest && tmem_entry_at(shim, newest)->op != TMEM_OP_PUT_PAGE)
		return miss(&shim->counters.gets_flushed);
	if (tmem_owed_covers(shim, pool, &request->oid, request->index))
		return miss(&shim->counters.gets_flushed);
	if (shim->state != TMEM_SHIM_RUNNING && !TMEM_RULE(P))
		return TMEM_MISS;
	request->is_load = 1;
	tmem_shim_request_begin(shim, request, TMEM_NEVER);
	TMEM_COUNT(shim, round_trips);
	if (shim->state != TMEM_SHIM_RUNNING) {
		TMEM_COUNT(shim, loads_waited);
		tmem_shim_tell(shim, TMEM_SHIM_LOAD_WAITS, (int64_t)request->index);
	}
	if (!tmem_queue_room(shim, false, false)) {
		tmem_shim_request_wait_for_room(shim, request);
		return TMEM_SHIM_PENDING;
	}
	tmem_queue_append(shim, TMEM_OP_GET_PAGE, tmem_pool_number(shim, pool), &request->oid,
			  request->index, false);
	tmem_shim_request_attach(shim, request, shim->head - 1, TMEM_REQUEST_QUEUED);
	return TMEM_SHIM_PENDING;
}

int tmem_get_begin(struct tmem_shim *shim, struct tmem_shim_pool *pool,
		   struct tmem_shim_request *request)
{
	struct tmem_shim_counters *counters = &shim->counters;
	const struct tmem_oid *oid = &request->oid;
	uint64_t index = request->index, newest;
	struct tmem_summary summary;
	uint32_t ahead;

	if (pool->state != TMEM_SHIM_POOL_READY)
		return miss(&counters->gets_no_pool);
	if (tmem_pool_persistent(pool))
		return begin_load(shim, pool, request);
	/* what is owed is newer than anything that is staged: puts are dropped meanwhile */
	if (tmem_owed_covers(shim, pool, oid, index))
		return miss(&counters->gets_flushed);
	newest = tmem_queue_newest(shim, tmem_pool_number(shim, pool), oid, index);
	if (newest && tmem_entry_at(shim, newest)->op == TMEM_OP_PUT_PAGE)
		return take_staged(shim, pool, request, newest);
	if (newest)
		return miss(&counters->gets_flushed);
	ahead = tmem_ahead_window(shim, pool, oid, index);
	if (tmem_landing_take(shim, pool, oid, index, request->page)) {
		counters->gets_landed++;
		tmem_ahead_refill(shim, pool, oid, index);
		return TMEM_DONE;
	}
	if (shim->state != TMEM_SHIM_RUNNING)
		return miss(&counters->gets_down);
	if (wait_for_ahead(shim, pool, request)) {
		tmem_ahead_refill(shim, pool, oid, index);
		return TMEM_SHIM_PENDING;
	}
	tmem_summary_sure(shim, pool);
	summary = tmem_summary_find(shim, pool, oid, index);
	if (tmem_summary_negative(shim, pool, &summary, index))
		return miss(&counters->gets_negative);
	if (!tmem_queue_room(shim, false, false))
		return miss(&counters->gets_no_room);
	return ask(shim, pool, request, &summary, ahead);
}
