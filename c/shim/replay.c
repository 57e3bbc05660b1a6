// SPDX-License-Identifier: GPL-2.0-or-later
#include "core.h"

bool tmem_replay_digest(struct tmem_shim *shim, uint32_t tag, uint64_t *digest)
{
	if (tag == shim->answered_tag) {
		*digest = shim->answered_digest;
		return true;
	}
	for (uint64_t position = shim->answered; position < shim->taken; position++) {
		const struct tmem_entry *entry = tmem_entry_at(shim, position);

		if (entry->flags & TMEM_ENTRY_TAGGED && entry->tag == tag) {
			*digest = entry->digest;
			return true;
		}
	}
	/* only a guest that was put back does not know it; without the rule nobody compares */
	return false;
}

/* Everything from the oldest unanswered entry on is handed out again, with new tags. */
static uint32_t rewind(struct tmem_shim *shim)
{
	uint32_t again = 0;

	for (uint64_t position = shim->answered; position < shim->taken; position++) {
		struct tmem_entry *entry = tmem_entry_at(shim, position);

		again += entry->op != TMEM_OP_NONE;
		entry->flags &= (uint8_t) ~(TMEM_ENTRY_TAGGED | TMEM_ENTRY_REPLIED);
	}
	shim->taken = shim->answered;
	if (shim->returned > shim->taken)
		shim->returned = shim->taken;
	return again;
}

uint32_t tmem_replay_resume(struct tmem_shim *shim, uint32_t tag, uint64_t digest)
{
	uint32_t again;

	/* a put that was under way may be older by now than what another guest has written (R-b) */
	for (uint64_t position = shim->answered; position < shim->head; position++) {
		struct tmem_entry *entry = tmem_entry_at(shim, position);
		struct tmem_shim_pool *pool = tmem_entry_pool(shim, entry);

		if (entry->op != TMEM_OP_PUT_PAGE || !pool || !tmem_pool_shared(pool) ||
		    !TMEM_RULE(REPLAY))
			continue;
		entry->op = TMEM_OP_FLUSH_PAGE;
		TMEM_COUNT(shim, replayed_as_flush);
	}
	again = rewind(shim);
	shim->counters.replayed += again;
	shim->last_tag = shim->answered_tag = tag;
	shim->last_digest = shim->answered_digest = digest;
	return again;
}

/* Flushes that are waited for and that the host has not acknowledged wait for it to know (R-b). */
static void release(struct tmem_shim *shim, struct tmem_entry *entry, bool told)
{
	struct tmem_shim_pool *pool = tmem_entry_pool(shim, entry);

	while (entry->requests) {
		struct tmem_shim_request *request = entry->requests;

		if (entry->op == TMEM_OP_GET_PAGE)
			tmem_shim_request_finish(shim, request, TMEM_MISS);
		else if (entry->op == TMEM_OP_PUT_PAGE)
			tmem_shim_request_finish(shim, request, TMEM_EAGAIN);
		else if (told || !pool || !tmem_pool_shared(pool))
			tmem_shim_request_finish(shim, request, TMEM_DONE);
		else
			tmem_shim_request_detach(shim, request);
	}
}

static bool keeps(struct tmem_shim *shim, const struct tmem_entry *entry)
{
	struct tmem_shim_pool *pool = tmem_entry_pool(shim, entry);

	return pool && tmem_pool_persistent(pool) && entry->op != TMEM_OP_NEW_POOL;
}

void tmem_replay_over(struct tmem_shim *shim, bool told)
{
	struct tmem_shim_request *request = shim->room_first, *next;

	for (uint64_t position = shim->answered; position < shim->head; position++) {
		struct tmem_entry *entry = tmem_entry_at(shim, position);

		if (entry->op == TMEM_OP_NONE || keeps(shim, entry))
			continue;
		if (entry->op == TMEM_OP_NEW_POOL && entry->flags & TMEM_ENTRY_TAGGED)
			shim->pools_unknown = true;
		release(shim, entry, told);
		tmem_queue_drop(shim, entry);
	}
	for (; request; request = next) {
		struct tmem_shim_pool *pool = tmem_pool_find(shim, request->pool);

		next = request->next;
		if (pool && tmem_pool_persistent(pool))
			continue;
		if (told || !pool || !tmem_pool_shared(pool))
			tmem_shim_request_finish(shim, request, TMEM_DONE);
		else
			tmem_shim_request_detach(shim, request);
	}
	rewind(shim);
	tmem_queue_trim(shim);
}

void tmem_replay_lost(struct tmem_shim *shim)
{
	struct tmem_shim_request *request = shim->active, *next;

	for (uint64_t position = shim->answered; position < shim->head; position++) {
		struct tmem_entry *entry = tmem_entry_at(shim, position);

		if (keeps(shim, entry) && entry->op != TMEM_OP_NONE) {
			tmem_shim_request_finish_all(shim, entry,
						     entry->op == TMEM_OP_GET_PAGE ? TMEM_EUCLEAN
										   : TMEM_DONE);
			tmem_queue_drop(shim, entry);
		}
	}
	for (; request; request = next) {
		next = request->active_next;
		if (request->state == TMEM_REQUEST_ROOM)
			tmem_shim_request_finish(shim, request,
						 request->is_load ? TMEM_EUCLEAN : TMEM_DONE);
	}
}

void tmem_replay_epoch(struct tmem_shim *shim)
{
	rewind(shim);
	shim->last_tag = shim->answered_tag = 0;
	shim->last_digest = shim->answered_digest = 0;
}
