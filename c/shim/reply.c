// SPDX-License-Identifier: GPL-2.0-or-later
#include "core.h"

/* Operations whose answers the host may leave out (CUMULATIVE). */
static bool may_be_left_out(uint8_t op)
{
	switch (op) {
	case TMEM_OP_PUT_PAGE:
	case TMEM_OP_FLUSH_PAGE:
	case TMEM_OP_FLUSH_OBJECT:
	case TMEM_OP_FLUSH_RANGE:
	case TMEM_OP_FLUSH_POOL:
		return true;
	default:
		return false;
	}
}

static struct tmem_shim_pool *pool_of(struct tmem_shim *shim, const struct tmem_entry *entry)
{
	struct tmem_shim_pool *pool =
		entry->pool < shim->config.pools ? &shim->pools[entry->pool] : NULL;

	return pool && pool->id != TMEM_NO_HOST_POOL ? pool : NULL;
}

static void done_with(struct tmem_shim *shim, uint64_t position)
{
	struct tmem_entry *entry = tmem_entry_at(shim, position);

	shim->answered_tag = entry->tag;
	shim->answered_digest = entry->digest;
	shim->answered = position + 1;
	tmem_queue_trim(shim);
	shim->progress_ns = shim->answered < shim->head ? shim->heard_ns : TMEM_NEVER;
}

static void flushed(struct tmem_shim *shim, struct tmem_entry *entry, uint64_t position)
{
	struct tmem_shim_pool *pool = pool_of(shim, entry);

	if (pool && entry->op == TMEM_OP_FLUSH_OBJECT && tmem_pool_shared(pool))
		tmem_own_flushed(shim, pool, &entry->oid, position);
}

#define REFUSED(reason)                                                                            \
	do {                                                                                       \
		TMEM_COUNT(shim, puts_refused_##reason);                                           \
		if (entry->requests)                                                               \
			TMEM_WHY(entry->requests, refused_##reason);                               \
	} while (0)

static void count_refusal(struct tmem_shim *shim, struct tmem_entry *entry, int status)
{
	switch (status) {
	case TMEM_ENOMEM:
		REFUSED(full);
		break;
	case TMEM_EDQUOT:
		REFUSED(quota);
		break;
	case TMEM_EFROZEN:
		REFUSED(frozen);
		break;
	case TMEM_EAGAIN:
		REFUSED(unserved);
		break;
	case TMEM_ENOSPC:
		REFUSED(dropped);
		break;
	default:
		REFUSED(other);
	}
}

/* A put or flush was answered, by itself or by a later answer. */
static void answer_simple(struct tmem_shim *shim, uint64_t position, int status)
{
	struct tmem_entry *entry = tmem_entry_at(shim, position);

	if (entry->op == TMEM_OP_PUT_PAGE) {
		if (status == TMEM_DONE)
			TMEM_COUNT(shim, puts_stored);
		else
			count_refusal(shim, entry, status);
	} else {
		flushed(shim, entry, position);
	}
	tmem_shim_request_finish_all(shim, entry, status);
	done_with(shim, position);
}

/* ---- gets ----------------------------------------------------------------------------- */

static void finish_get(struct tmem_shim *shim, struct tmem_shim_request *request, const void *page)
{
	uint32_t there = shim->early == request ? shim->early_bytes : 0;

	if (page)
		tmem_platform_page_write(request->page, there, (const uint8_t *)page + there,
					 TMEM_PAGE_BYTES - there);
	tmem_shim_request_finish(shim, request, page ? TMEM_DONE : TMEM_MISS);
}

/* Who waits for page @index of the entry. */
static struct tmem_shim_request *waiter(const struct tmem_entry *entry, uint64_t index)
{
	struct tmem_shim_request *request = entry->requests;

	while (request && request->index != index)
		request = request->next;
	return request;
}

void tmem_shim_reply_begins(struct tmem_shim *shim)
{
	const struct tmem_message *reply = &shim->begun;
	const struct tmem_entry *entry = tmem_entry_at(shim, shim->answered);
	uint32_t bytes = shim->assembled - TMEM_WIRE_HEADER_BYTES;
	struct tmem_shim_request *request;

	if (reply->op != TMEM_OP_GET_PAGE || reply->payload_bytes != TMEM_PAGE_BYTES ||
	    reply->flags & TMEM_WIRE_AHEAD || shim->answered == shim->taken ||
	    entry->op != TMEM_OP_GET_PAGE || entry->tag != reply->tag)
		return;
	request = waiter(entry, entry->index);
	if (!request)
		return;
	shim->early = request;
	/* a part of the tail may be there as well */
	shim->early_bytes = bytes < TMEM_PAGE_BYTES ? bytes : TMEM_PAGE_BYTES;
	tmem_platform_page_write(request->page, 0, shim->assembly + TMEM_WIRE_HEADER_BYTES,
				 shim->early_bytes);
}

static void first_reply(struct tmem_shim *shim, struct tmem_shim_pool *pool,
			struct tmem_entry *entry, const struct tmem_message *reply,
			const void *page)
{
	struct tmem_shim_request *request = waiter(entry, entry->index);
	bool persistent = tmem_pool_persistent(pool);
	int status = reply->status;

	if (persistent) {
		if (!request)
			return;
		if (page)
			finish_get(shim, request, page);
		else
			tmem_shim_request_finish(shim, request,
						 status == TMEM_EEMPTY ? TMEM_MISS : status);
		return;
	}
	if (reply->flags & TMEM_WIRE_PRESENCE)
		tmem_summary_presence(shim, pool, &entry->oid, entry->index, reply->oid.words);
	if (!page)
		tmem_summary_gone(shim, pool, &entry->oid, entry->index, true);
	else if (!tmem_pool_shared(pool))
		tmem_summary_gone(shim, pool, &entry->oid, entry->index, false);
	if (request) {
		shim->counters.gets_hit += page != NULL;
		shim->counters.gets_missed += page == NULL;
		finish_get(shim, request, page);
	} else if (page && entry->flags & TMEM_ENTRY_LANDS) {
		tmem_landing_add(shim, pool, &entry->oid, entry->index, page);
	}
}

static void ahead_reply(struct tmem_shim *shim, struct tmem_shim_pool *pool,
			struct tmem_entry *entry, const struct tmem_message *reply,
			const void *page)
{
	struct tmem_shim_request *request = waiter(entry, reply->index);
	uint64_t ahead = reply->index - entry->index - 1;
	bool void_page = ahead < 32 && entry->ahead_void >> ahead & 1;

	if (!tmem_pool_shared(pool))
		tmem_summary_gone(shim, pool, &entry->oid, reply->index, false);
	if (void_page) {
		TMEM_COUNT(shim, ahead_void);
		page = NULL;
	}
	if (request) {
		shim->counters.gets_landed += page != NULL;
		shim->counters.gets_flushed += page == NULL;
		finish_get(shim, request, page);
	} else if (page) {
		tmem_landing_add(shim, pool, &entry->oid, reply->index, page);
	}
}

/* The last reply to a get. Pages that did not come may be there all the same: who waits for one
 * asks by himself. */
static void end_get(struct tmem_shim *shim, struct tmem_shim_pool *pool, uint64_t position)
{
	struct tmem_entry *entry = tmem_entry_at(shim, position);

	tmem_ahead_unregister(shim, position);
	while (entry->requests) {
		struct tmem_shim_request *request = entry->requests;

		if (tmem_queue_room(shim, false, false) && pool) {
			tmem_shim_request_detach(shim, request);
			tmem_queue_append(shim, TMEM_OP_GET_PAGE, tmem_pool_number(shim, pool),
					  &request->oid, request->index, false);
			TMEM_COUNT(shim, round_trips);
			tmem_shim_request_attach(shim, request, shim->head - 1,
						 TMEM_REQUEST_QUEUED);
		} else {
			TMEM_COUNT(shim, gets_no_room);
			tmem_shim_request_finish(shim, request, TMEM_MISS);
		}
	}
	done_with(shim, position);
}

static bool answer_get(struct tmem_shim *shim, uint64_t position, const struct tmem_message *reply,
		       const void *payload)
{
	struct tmem_entry *entry = tmem_entry_at(shim, position);
	struct tmem_shim_pool *pool = pool_of(shim, entry);
	bool hit = reply->status == TMEM_DONE;

	if (hit != (reply->payload_bytes == TMEM_PAGE_BYTES) || (!hit && reply->payload_bytes != 0))
		return false;
	if (reply->flags & TMEM_WIRE_AHEAD) {
		uint64_t ahead = reply->index - entry->index - 1;

		if (!(entry->flags & TMEM_ENTRY_REPLIED) || !entry->ahead_count || !hit ||
		    ahead >= entry->count)
			return false;
		entry->ahead_count--;
		if (pool)
			ahead_reply(shim, pool, entry, reply, payload);
	} else {
		if (entry->flags & TMEM_ENTRY_REPLIED || reply->index != entry->index ||
		    reply->pool > entry->count)
			return false;
		entry->flags |= TMEM_ENTRY_REPLIED;
		entry->ahead_count = reply->pool;
		if (pool)
			first_reply(shim, pool, entry, reply, payload);
	}
	if (!entry->ahead_count)
		end_get(shim, pool, position);
	return true;
}

/* ---- everything else ------------------------------------------------------------------ */

static void answer_stat(struct tmem_shim *shim, struct tmem_entry *entry,
			const struct tmem_message *reply, const void *payload)
{
	struct tmem_shim_request *request = entry->requests;

	if (!request)
		return;
	request->bytes = reply->payload_bytes;
	if (payload)
		memcpy(request->page, payload, reply->payload_bytes);
	tmem_shim_request_finish(shim, request, reply->status);
}

static bool answer(struct tmem_shim *shim, uint64_t position, const struct tmem_message *reply,
		   const void *payload)
{
	struct tmem_entry *entry = tmem_entry_at(shim, position);
	struct tmem_shim_pool *pool = pool_of(shim, entry);

	if (reply->op != entry->op)
		return false;
	switch (entry->op) {
	case TMEM_OP_GET_PAGE:
		return answer_get(shim, position, reply, payload);
	case TMEM_OP_NEW_POOL:
		if (pool)
			tmem_pool_made(shim, entry, reply);
		break;
	case TMEM_OP_DESTROY_POOL:
		if (pool)
			tmem_pool_left(shim, pool, reply->status);
		break;
	case TMEM_OP_ECHO:
		if (!entry->index && shim->token)
			shim->echo_ns = 0; /* the first one: nothing counts before it is back */
		else if (reply->status == TMEM_DONE)
			shim->confirmed = entry->index;
		break;
	case TMEM_OP_STAT:
		answer_stat(shim, entry, reply, payload);
		break;
	case TMEM_OP_POOLS:
		tmem_pools_listed(shim, payload, reply->payload_bytes);
		break;
	default:
		answer_simple(shim, position, reply->status);
		return true;
	}
	done_with(shim, position);
	return true;
}

bool tmem_shim_reply(struct tmem_shim *shim, const struct tmem_message *reply, const void *payload)
{
	uint64_t position = shim->answered;

	if (!(reply->flags & TMEM_WIRE_REPLY))
		return false;
	for (; position < shim->taken; position = shim->answered) {
		struct tmem_entry *entry = tmem_entry_at(shim, position);

		if (entry->op != TMEM_OP_NONE && entry->tag == reply->tag)
			return answer(shim, position, reply, payload);
		if (entry->op == TMEM_OP_NONE) {
			shim->answered++;
			continue;
		}
		if (!(reply->flags & TMEM_WIRE_CUMULATIVE) || !may_be_left_out(entry->op) ||
		    reply->tag - entry->tag > INT32_MAX)
			return false;
		answer_simple(shim, position, TMEM_DONE);
	}
	return false;
}
