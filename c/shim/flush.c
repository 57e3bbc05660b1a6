// SPDX-License-Identifier: GPL-2.0-or-later
#include "core.h"

static void drop_cached(struct tmem_shim *shim, struct tmem_shim_pool *pool, uint8_t op,
			const struct tmem_oid *oid, uint64_t index, uint64_t count)
{
	switch (op) {
	case TMEM_OP_FLUSH_PAGE:
		tmem_landing_drop_page(shim, pool, oid, index);
		tmem_summary_gone(shim, pool, oid, index, false);
		break;
	case TMEM_OP_FLUSH_RANGE:
		tmem_landing_drop_range(shim, pool, oid, index, count);
		break;
	case TMEM_OP_FLUSH_OBJECT:
		tmem_landing_drop_object(shim, pool, oid);
		break;
	default:
		tmem_landing_drop_pool(shim, pool);
		break;
	}
}

/* Whether the flush of a page is done by what waits already, or by a small change to it. */
static bool absorbed(struct tmem_shim *shim, struct tmem_shim_pool *pool,
		     const struct tmem_oid *oid, uint64_t index)
{
	uint32_t number = tmem_pool_number(shim, pool);
	uint64_t position = tmem_queue_newest(shim, number, oid, index);
	struct tmem_entry *newest = tmem_entry_at(shim, position);

	if (tmem_owed_covers(shim, pool, oid, index))
		return true;
	if (position && newest->op != TMEM_OP_PUT_PAGE)
		return true;
	if (position >= shim->taken && position && !newest->requests && TMEM_RULE(K)) {
		newest->op = TMEM_OP_FLUSH_PAGE;
		return true;
	}
	return tmem_queue_extend(shim, number, oid, index);
}

static int append(struct tmem_shim *shim, struct tmem_shim_pool *pool, uint8_t op,
		  const struct tmem_oid *oid, uint64_t index, uint64_t count,
		  struct tmem_shim_request *request)
{
	uint64_t position = shim->head;
	struct tmem_entry *entry;

	entry = tmem_queue_append(shim, op, tmem_pool_number(shim, pool), oid, index, false);
	entry->count = (uint16_t)count;
	TMEM_COUNT(shim, flushes);
	tmem_owed_settle(shim, pool, op, oid);
	tmem_queue_overtake(shim);
	if (!request)
		return TMEM_DONE;
	tmem_shim_request_attach(shim, request, position, TMEM_REQUEST_QUEUED);
	return TMEM_SHIM_PENDING;
}

/* A range that does not fit in one message is an object; only ephemeral pools may be flushed so. */
static uint8_t rounded(const struct tmem_shim_pool *pool, uint8_t op, uint64_t count)
{
	if (op == TMEM_OP_FLUSH_RANGE && count > TMEM_WIRE_RANGE_MAX && !tmem_pool_persistent(pool))
		return TMEM_OP_FLUSH_OBJECT;
	return op;
}

/* Nothing is at the host, or nothing will be: what there is to wait for? */
static int not_ready(struct tmem_shim *shim, struct tmem_shim_pool *pool,
		     struct tmem_shim_request *request)
{
	bool leaving = pool->state == TMEM_SHIM_POOL_LEAVING && TMEM_RULE(LEAVE);

	if (!request || !tmem_pool_shared(pool) || !(leaving || pool->unacknowledged))
		return TMEM_DONE;
	TMEM_COUNT(shim, flush_waits);
	tmem_shim_request_begin(shim, request, shim->giveup_ms);
	request->state = TMEM_REQUEST_LEAVE;
	return TMEM_SHIM_PENDING;
}

int tmem_flush_begin(struct tmem_shim *shim, struct tmem_shim_pool *pool, uint8_t op,
		     const struct tmem_oid *oid, uint64_t index, uint64_t count,
		     struct tmem_shim_request *request)
{
	struct tmem_area *area;
	uint64_t bit;

	op = rounded(pool, op, count);
	drop_cached(shim, pool, op, oid, index, count);
	if (pool->state != TMEM_SHIM_POOL_READY)
		return not_ready(shim, pool, request);
	if (op == TMEM_OP_FLUSH_PAGE && !request) {
		/* swap pages are freed by the hundred thousand: a bit each, paid by ranges */
		if (pool->swap && tmem_area_find(shim, oid, index, &area, &bit)) {
			tmem_area_owe(shim, area, bit);
			return TMEM_DONE;
		}
		if (absorbed(shim, pool, oid, index))
			return TMEM_DONE;
	}
	if (request) {
		TMEM_COUNT(shim, flush_waits);
		tmem_shim_request_begin(shim, request, shim->giveup_ms);
	}
	if (tmem_queue_room(shim, false, false))
		return append(shim, pool, op, oid, index, count, request);
	if (request) {
		tmem_shim_request_wait_for_room(shim, request);
		return TMEM_SHIM_PENDING;
	}
	if (!TMEM_RULE(N)) {
		uint64_t newest = tmem_queue_newest(shim, tmem_pool_number(shim, pool), oid, index);

		if (newest)
			tmem_entry_at(shim, newest)->flags |= TMEM_ENTRY_OLD;
		return TMEM_DONE;
	}
	return tmem_owed_add(shim, pool, op, oid, index) ? TMEM_DONE : TMEM_EAGAIN;
}

bool tmem_flush_handle(struct tmem_shim *shim, struct tmem_shim_pool *pool,
		       const struct tmem_oid *oid, uint64_t index)
{
	return tmem_flush_begin(shim, pool, TMEM_OP_FLUSH_PAGE, oid, index, 1, NULL) == TMEM_DONE;
}

bool tmem_shim_request_retry(struct tmem_shim *shim, struct tmem_shim_request *request)
{
	struct tmem_shim_pool *pool = tmem_pool_find(shim, request->pool);
	uint8_t op = (uint8_t)request->op;
	bool puts = op == TMEM_OP_PUT_PAGE && !request->outcome;

	if (!tmem_queue_room(shim, puts, false))
		return false;
	tmem_shim_request_detach(shim, request);
	if (!pool || pool->state != TMEM_SHIM_POOL_READY) {
		if (puts)
			TMEM_PUT_FAILS(shim, request, no_pool);
		tmem_shim_request_finish(shim, request,
					 puts                     ? TMEM_EAGAIN
					 : op == TMEM_OP_GET_PAGE ? TMEM_MISS
								  : TMEM_DONE);
		return true;
	}
	if (puts) {
		tmem_put_retry(shim, pool, request);
		return true;
	}
	if (op == TMEM_OP_GET_PAGE) {
		tmem_queue_append(shim, op, tmem_pool_number(shim, pool), &request->oid,
				  request->index, false);
		tmem_shim_request_attach(shim, request, shim->head - 1, TMEM_REQUEST_QUEUED);
		return true;
	}
	/* a put that became a flush */
	if (op == TMEM_OP_PUT_PAGE)
		op = TMEM_OP_FLUSH_PAGE;
	op = rounded(pool, op, request->count);
	drop_cached(shim, pool, op, &request->oid, request->index, request->count);
	append(shim, pool, op, &request->oid, request->index, request->count, request);
	return true;
}

/* ---- without K, for a test: a flush goes before whatever was not sent yet ------------- */

#ifdef TMEM_DEBUG
void tmem_queue_overtake(struct tmem_shim *shim)
{
	if (TMEM_RULE(K))
		return;
	for (uint64_t position = shim->head - 1; position > shim->taken; position--) {
		struct tmem_entry *entry = tmem_entry_at(shim, position);
		struct tmem_entry *earlier = tmem_entry_at(shim, position - 1);
		struct tmem_entry swapped = *entry;

		*entry = *earlier;
		*earlier = swapped;
		entry->flags |= TMEM_ENTRY_OLD;
	}
}
#endif
