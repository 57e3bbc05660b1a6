// SPDX-License-Identifier: GPL-2.0-or-later
#include "core.h"

/* Whether anything is owed, or a pool is to be asked for. Most calls ask, and seldom is there
 * anything. */
static bool has_chores(const struct tmem_shim *shim)
{
	if (shim->owing_areas || shim->pools_unknown)
		return true;
	for (uint32_t i = 0; i < shim->used_count; i++) {
		const struct tmem_shim_pool *pool = &shim->pools[shim->used_pools[i]];

		if (pool->state == TMEM_SHIM_POOL_WANTED || tmem_pool_owes(pool))
			return true;
	}
	return false;
}

void tmem_shim_advance(struct tmem_shim *shim)
{
	struct tmem_shim_request *request;
	bool chores;

	tmem_queue_trim(shim);
	chores = has_chores(shim);
	if (chores)
		tmem_owed_pay(shim);
	while ((request = shim->room_first))
		if (!tmem_shim_request_retry(shim, request))
			break;
	if (chores)
		tmem_pools_ask(shim);
	if (shim->pump_idle && (shim->control_bytes || shim->reopen_wanted ||
				(shim->state == TMEM_SHIM_RUNNING && shim->taken < shim->head)))
		shim->wake_wanted = true;
}

/* ---- the end of a stream, of a session ------------------------------------------------ */

/* What the end of a stream means for what is under way. */
static void break_entry(struct tmem_shim *shim, struct tmem_entry *entry)
{
	struct tmem_shim_pool *pool =
		entry->pool < shim->config.pools ? &shim->pools[entry->pool] : NULL;
	bool persistent = pool && pool->id != TMEM_NO_HOST_POOL && tmem_pool_persistent(pool);

	switch (entry->op) {
	case TMEM_OP_PUT_PAGE:
		if (!TMEM_RULE(WAIT))
			break;
		tmem_shim_request_finish_all(shim, entry, TMEM_EAGAIN);
		/* the store has failed, so whatever the host made of it has to go */
		if (persistent)
			entry->op = TMEM_OP_FLUSH_PAGE;
		break;
	case TMEM_OP_GET_PAGE:
		if (persistent && TMEM_RULE(P))
			break;
		if (!TMEM_RULE(WAIT))
			break;
		if (entry->requests)
			TMEM_COUNT(shim, gets_down);
		tmem_shim_request_finish_all(shim, entry, TMEM_MISS);
		tmem_queue_drop(shim, entry);
		break;
	case TMEM_OP_NEW_POOL:
		if (pool->state == TMEM_SHIM_POOL_ASKED)
			pool->state = TMEM_SHIM_POOL_WANTED;
		else if (pool->state == TMEM_SHIM_POOL_LEAVING)
			tmem_pool_left(shim, pool, TMEM_DONE);
		if (entry->flags & TMEM_ENTRY_TAGGED)
			shim->pools_unknown = true;
		tmem_queue_drop(shim, entry);
		break;
	case TMEM_OP_STAT:
	case TMEM_OP_POOLS:
	case TMEM_OP_ECHO:
		tmem_shim_request_finish_all(shim, entry, TMEM_EAGAIN);
		tmem_queue_drop(shim, entry);
		break;
	default:
		break;
	}
}

/* Every put fails, those that still wait for room as well. */
static void fail_waiting_puts(struct tmem_shim *shim)
{
	struct tmem_shim_request *request;

	do {
		for (request = shim->room_first; request; request = request->next)
			if (request->op == TMEM_OP_PUT_PAGE && !request->outcome)
				break;
		if (request) {
			TMEM_PUT_FAILS(shim, request, down);
			tmem_shim_request_fail_put(shim, request);
		}
	} while (request);
}

void tmem_link_broken(struct tmem_shim *shim, int code)
{
	bool running = shim->state == TMEM_SHIM_RUNNING;

	shim->last_code = code;
	shim->reopen_wanted = true;
	shim->wake_wanted = true;
	if (shim->state == TMEM_SHIM_CLOSED || shim->state == TMEM_SHIM_ENDED)
		return;
	shim->state = TMEM_SHIM_CLOSED;
	shim->hello_ns = shim->echo_ns = TMEM_NEVER;
	shim->control_bytes = 0;
	shim->echo_queued = false;
	shim->pools_asked = false;
	shim->pools_after = UINT64_MAX;
	tmem_decoder_search(&shim->decoder);
	tmem_decoder_offer(&shim->decoder, 0, 0);
	shim->assembled = 0;
	shim->begun.op = TMEM_OP_NONE;
	shim->early = NULL;
	if (!running)
		return;
	TMEM_COUNT(shim, breaks);
	tmem_shim_tell(shim, TMEM_SHIM_BROKEN, code);
	for (uint64_t position = shim->answered; position < shim->head; position++)
		break_entry(shim, tmem_entry_at(shim, position));
	fail_waiting_puts(shim);
	tmem_ahead_unregister_all(shim);
	tmem_landing_drop_all(shim);
	if (!TMEM_RULE(STAGED))
		for (uint64_t position = shim->answered; position < shim->taken; position++)
			tmem_queue_drop(shim, tmem_entry_at(shim, position));
	tmem_shim_advance(shim);
}

void tmem_link_over(struct tmem_shim *shim, bool told)
{
	if (shim->session || shim->epoch)
		TMEM_COUNT(shim, sessions_over);
	shim->session = 0;
	shim->key = 0;
	shim->token = 0;
	tmem_replay_over(shim, told);
	tmem_pools_over(shim, told);
	tmem_landing_drop_all(shim);
	tmem_summary_reset(shim);
}

void tmem_link_lost(struct tmem_shim *shim)
{
	if (shim->had_persistent)
		tmem_shim_tell(shim, TMEM_SHIM_LOST, 0);
	shim->had_persistent = false;
	tmem_replay_lost(shim);
	for (uint32_t i = 0; i < shim->config.pools; i++)
		if (shim->pools[i].id != TMEM_NO_HOST_POOL && tmem_pool_persistent(&shim->pools[i]))
			tmem_pool_lost(shim, &shim->pools[i]);
}

void tmem_link_bye(struct tmem_shim *shim, int reason)
{
	switch (reason) {
	case TMEM_ETIMEDOUT:
		tmem_shim_tell(shim, TMEM_SHIM_EXPELLED, 0);
		tmem_link_over(shim, true);
		break;
	case TMEM_EUCLEAN:
	case TMEM_ESTALE:
		tmem_link_over(shim, true);
		tmem_link_lost(shim);
		break;
	case TMEM_ENODEV:
		tmem_link_over(shim, true);
		break;
	default: /* to be resumed */
		break;
	}
	tmem_link_broken(shim, reason);
}
