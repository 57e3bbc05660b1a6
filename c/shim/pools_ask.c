// SPDX-License-Identifier: GPL-2.0-or-later
/* Asking the host for pools, leaving them, and waiting for either. */
#include "core.h"

/* A pool that the host would not make for want of something is asked for again after this. */
#define RETRY_NS (1000 * TMEM_NS_PER_MS)

/* Waits to join again what its mount was a member of. */
static bool rejoins(const struct tmem_shim_pool *pool)
{
	return pool->was_member && pool->wanted & TMEM_POOL_SHARED &&
	       (pool->state == TMEM_SHIM_POOL_WANTED ||
		(pool->state == TMEM_SHIM_POOL_REFUSED && pool->retry_ns != TMEM_NEVER));
}

bool tmem_pools_echo(const struct tmem_shim *shim)
{
	for (uint32_t i = 0; i < shim->used_count; i++)
		if (rejoins(&shim->pools[shim->used_pools[i]]))
			return true;
	return tmem_pools_shared(shim) > 0;
}

static void ask(struct tmem_shim *shim, struct tmem_shim_pool *pool)
{
	struct tmem_entry *entry;
	bool shared = pool->wanted & TMEM_POOL_SHARED;

	entry = tmem_queue_append(
		shim, TMEM_OP_NEW_POOL, tmem_pool_number(shim, pool), NULL,
		pool->wanted | (uint32_t)TMEM_ABI_VERSION << TMEM_POOL_VERSION_SHIFT, shared);
	if (shared)
		memcpy(tmem_entry_page(shim, entry), pool->uuid, sizeof(pool->uuid));
	entry->count = !pool->was_member;
	pool->state = TMEM_SHIM_POOL_ASKED;
	pool->granted = pool->wanted;
}

static bool ask_for(struct tmem_shim *shim, bool members)
{
	for (uint32_t i = 0; i < shim->used_count; i++) {
		struct tmem_shim_pool *pool = &shim->pools[shim->used_pools[i]];

		if (pool->state != TMEM_SHIM_POOL_WANTED || rejoins(pool) != members)
			continue;
		if (!tmem_queue_room(shim, pool->wanted & TMEM_POOL_SHARED, false))
			return false;
		ask(shim, pool);
	}
	return true;
}

static bool any_wanted(const struct tmem_shim *shim)
{
	for (uint32_t i = 0; i < shim->used_count; i++)
		if (shim->pools[shim->used_pools[i]].state == TMEM_SHIM_POOL_WANTED)
			return true;
	return false;
}

void tmem_pools_ask(struct tmem_shim *shim)
{
	if (shim->state != TMEM_SHIM_RUNNING || shim->ending)
		return;
	if (shim->pools_unknown && !shim->pools_asked && tmem_queue_room(shim, false, false)) {
		tmem_queue_append(shim, TMEM_OP_POOLS, shim->config.pools, NULL, shim->pools_after,
				  false);
		shim->pools_asked = true;
	}
	/* a new mount starts the host's clock, so who has to prove its age comes before it (R-a) */
	if (!shim->pools_unknown && any_wanted(shim) && ask_for(shim, true))
		ask_for(shim, false);
}

static bool worth_retrying(int refusal)
{
	return refusal == TMEM_EFROZEN || refusal == TMEM_ENOMEM || refusal == TMEM_EAGAIN ||
	       refusal == TMEM_EBUSY;
}

uint64_t tmem_pools_retry(struct tmem_shim *shim, uint64_t now_ns)
{
	uint64_t next_ns = TMEM_NEVER;

	for (uint32_t i = 0; i < shim->used_count; i++) {
		struct tmem_shim_pool *pool = &shim->pools[shim->used_pools[i]];

		if (pool->state != TMEM_SHIM_POOL_REFUSED || pool->retry_ns == TMEM_NEVER)
			continue;
		if (now_ns >= pool->retry_ns)
			pool->state = TMEM_SHIM_POOL_WANTED;
		else if (pool->retry_ns < next_ns)
			next_ns = pool->retry_ns;
	}
	return next_ns;
}

void tmem_pool_made(struct tmem_shim *shim, const struct tmem_entry *entry,
		    const struct tmem_message *reply)
{
	struct tmem_shim_pool *pool = &shim->pools[entry->pool];
	bool made = reply->status >= 0;

	pool->refused = made ? 0 : reply->status;
	pool->host_id = made ? reply->pool : TMEM_NO_HOST_POOL;
	if (pool->state == TMEM_SHIM_POOL_LEAVING) {
		/* what was true before the round trip need not be true after it */
		pool->owed_destroy = made && TMEM_RULE(RECHECK);
		if (!made)
			tmem_pool_left(shim, pool, TMEM_DONE);
		return;
	}
	if (made) {
		pool->state = TMEM_SHIM_POOL_READY;
		pool->granted = (uint32_t)reply->index & (TMEM_POOL_PERSISTENT | TMEM_POOL_SHARED);
		pool->era++;
		tmem_summary_unsure(shim);
		if (tmem_pool_shared(pool))
			pool->was_member = true;
		else if (pool->wanted & TMEM_POOL_SHARED)
			tmem_shim_tell(shim, TMEM_SHIM_DOWNGRADED, pool->id);
	} else if (reply->status == TMEM_ETIMEDOUT) {
		pool->state = TMEM_SHIM_POOL_STAYS_OUT;
	} else {
		pool->state = TMEM_SHIM_POOL_REFUSED;
		pool->retry_ns =
			worth_retrying(reply->status) ? tmem_shim_now(shim) + RETRY_NS : TMEM_NEVER;
	}
	tmem_shim_request_finish_waiters(shim, pool->id, TMEM_OP_NEW_POOL,
					 made ? TMEM_DONE : reply->status);
}

/* ---- leaving -------------------------------------------------------------------------- */

int tmem_pool_destroy_begin(struct tmem_shim *shim, struct tmem_shim_pool *pool,
			    struct tmem_shim_request *request)
{
	uint32_t before = pool->state;
	/* before the host has answered NEW_POOL nothing of ours is in the pool */
	bool waits = tmem_pool_shared(pool) && before == TMEM_SHIM_POOL_READY;

	if (before == TMEM_SHIM_POOL_LEAVING)
		return TMEM_ENODEV;
	if (before == TMEM_SHIM_POOL_STAYS_OUT)
		tmem_pool_remember_outcast(shim, pool);
	tmem_landing_drop_pool(shim, pool);
	tmem_owed_forget(shim, pool);
	tmem_shim_request_finish_waiters(shim, pool->id, TMEM_OP_NEW_POOL, TMEM_ENODEV);
	pool->state = TMEM_SHIM_POOL_LEAVING;
	waits = waits || pool->unacknowledged;
	if (before == TMEM_SHIM_POOL_READY)
		pool->owed_destroy = true;
	else if (before != TMEM_SHIM_POOL_ASKED && !pool->unacknowledged)
		tmem_pool_free_place(shim, pool);
	if (!waits || !request)
		return TMEM_DONE;
	TMEM_COUNT(shim, flush_waits);
	tmem_shim_request_begin(shim, request, shim->giveup_ms);
	request->state = TMEM_REQUEST_LEAVE;
	return TMEM_SHIM_PENDING;
}

void tmem_pool_left(struct tmem_shim *shim, struct tmem_shim_pool *pool, int result)
{
	tmem_shim_request_finish_waiters(shim, pool->id, 0,
					 result == TMEM_MISS ? TMEM_DONE : result);
	tmem_pool_free_place(shim, pool);
}

/* ---- waiting for one ------------------------------------------------------------------ */

int tmem_shim_pool_wait(struct tmem_shim *shim, uint32_t id, uint32_t timeout_ms)
{
	struct tmem_shim_request request = {.op = TMEM_OP_NEW_POOL, .pool = id};
	unsigned long irq = tmem_shim_lock(shim);
	struct tmem_shim_pool *pool = tmem_pool_find(shim, id);
	int result = TMEM_SHIM_PENDING;

	if (!pool || pool->state == TMEM_SHIM_POOL_LEAVING)
		result = TMEM_ENODEV;
	else if (pool->state == TMEM_SHIM_POOL_READY)
		result = TMEM_DONE;
	else if (pool->state == TMEM_SHIM_POOL_STAYS_OUT)
		result = TMEM_ETIMEDOUT;
	else if (pool->state == TMEM_SHIM_POOL_REFUSED)
		result = pool->refused;
	if (result == TMEM_SHIM_PENDING) {
		tmem_platform_done_init(&request.done);
		tmem_shim_request_begin(shim, &request, timeout_ms);
		request.state = TMEM_REQUEST_LEAVE;
	}
	tmem_shim_unlock(shim, irq);
	return result == TMEM_SHIM_PENDING ? tmem_shim_wait(shim, &request) : result;
}
