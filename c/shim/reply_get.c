// SPDX-License-Identifier: GPL-2.0-or-later
/* Replies to gets: the page that was asked for, those that come ahead, and their end. */
#include "core.h"

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
	tmem_reply_done(shim, position);
}

bool tmem_reply_get(struct tmem_shim *shim, uint64_t position, const struct tmem_message *reply,
		    const void *payload)
{
	struct tmem_entry *entry = tmem_entry_at(shim, position);
	struct tmem_shim_pool *pool = tmem_entry_pool(shim, entry);
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
