// SPDX-License-Identifier: GPL-2.0-or-later
#include "core.h"

/* A pool that the host would not make for want of something is asked for again after this. */
#define RETRY_NS (1000 * TMEM_NS_PER_MS)

struct tmem_shim_pool *tmem_pool_find(struct tmem_shim *shim, uint32_t id)
{
	struct tmem_shim_pool *pool = &shim->pools[id % shim->config.pools];

	return pool->id == id && id != TMEM_NO_HOST_POOL ? pool : NULL;
}

uint32_t tmem_pools_shared(const struct tmem_shim *shim)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < shim->used_count; i++) {
		const struct tmem_shim_pool *pool = &shim->pools[shim->used_pools[i]];

		count += pool->state == TMEM_SHIM_POOL_ASKED ? !!(pool->wanted & TMEM_POOL_SHARED)
			 : pool->state == TMEM_SHIM_POOL_READY ||
					 pool->state == TMEM_SHIM_POOL_LEAVING
				 ? tmem_pool_shared(pool)
				 : 0;
	}
	return count;
}

/* An id is a pool's place in the table and a count of its uses, so it does not come again before
 * 2^31 / pools later pools of that place. */
static struct tmem_shim_pool *new_place(struct tmem_shim *shim)
{
	for (uint32_t tries = 0; tries < shim->config.pools; tries++) {
		uint32_t id = shim->next_pool_id;
		struct tmem_shim_pool *pool = &shim->pools[id % shim->config.pools];
		struct tmem_owed *owed = pool->owed;

		shim->next_pool_id = id == INT32_MAX ? 0 : id + 1;
		if (pool->id != TMEM_NO_HOST_POOL)
			continue;
		memset(pool, 0, sizeof(*pool));
		pool->owed = owed;
		pool->id = id;
		pool->host_id = TMEM_NO_HOST_POOL;
		shim->used_pools[shim->used_count++] = tmem_pool_number(shim, pool);
		return pool;
	}
	return NULL;
}

static int make(struct tmem_shim *shim, uint32_t flags, const uint8_t *uuid)
{
	struct tmem_shim_pool *pool;

	if (flags & ~(uint32_t)(TMEM_POOL_PERSISTENT | TMEM_POOL_SHARED))
		return TMEM_EINVAL;
	if (flags == (TMEM_POOL_PERSISTENT | TMEM_POOL_SHARED))
		return TMEM_EPERM;
	if (flags & TMEM_POOL_SHARED && !uuid)
		return TMEM_EINVAL;
	pool = new_place(shim);
	if (!pool)
		return TMEM_EMFILE;
	pool->wanted = pool->granted = flags;
	pool->state = TMEM_SHIM_POOL_WANTED;
	if (flags & TMEM_POOL_SHARED)
		memcpy(pool->uuid, uuid, sizeof(pool->uuid));
	return (int)pool->id;
}

/* ---- who stays out -------------------------------------------------------------------- */

static uint8_t *outcast(struct tmem_shim *shim, const uint8_t *uuid)
{
	for (uint32_t i = 0; i < shim->outcast_count; i++)
		if (!memcmp(shim->outcasts[i], uuid, TMEM_UUID_BYTES))
			return shim->outcasts[i];
	return NULL;
}

/* A mount that stays out loses its pool, by recovery or since the backend is detached. It may live
 * on, and what it asks for next is no new mount's (R-a). */
static void remember_outcast(struct tmem_shim *shim, const struct tmem_shim_pool *pool)
{
	if (outcast(shim, pool->uuid))
		return;
	if (shim->outcast_count == TMEM_OUTCASTS)
		shim->all_outcast = true;
	else
		memcpy(shim->outcasts[shim->outcast_count++], pool->uuid, TMEM_UUID_BYTES);
}

static void forget_outcast(struct tmem_shim *shim, const uint8_t *uuid)
{
	uint8_t *found = outcast(shim, uuid);

	if (found)
		memcpy(found, shim->outcasts[--shim->outcast_count], TMEM_UUID_BYTES);
}

bool tmem_shim_stays_out(struct tmem_shim *shim)
{
	unsigned long irq = tmem_shim_lock(shim);
	bool any = shim->outcast_count || shim->all_outcast;

	for (uint32_t i = 0; i < shim->config.pools; i++)
		any |= shim->pools[i].id != TMEM_NO_HOST_POOL &&
		       shim->pools[i].state == TMEM_SHIM_POOL_STAYS_OUT;
	tmem_shim_unlock(shim, irq);
	return any;
}

int tmem_shim_new_pool(struct tmem_shim *shim, uint32_t flags, const uint8_t *uuid)
{
	unsigned long irq = tmem_shim_lock(shim);
	int id = make(shim, flags, uuid);

	if (id >= 0 && flags & TMEM_POOL_SHARED)
		forget_outcast(shim, uuid);
	tmem_shim_advance(shim);
	tmem_shim_unlock(shim, irq);
	return id;
}

int tmem_shim_rejoin_pool(struct tmem_shim *shim, const uint8_t *uuid)
{
	unsigned long irq = tmem_shim_lock(shim);
	int id = make(shim, TMEM_POOL_SHARED, uuid);

	if (id >= 0) {
		struct tmem_shim_pool *pool = tmem_pool_find(shim, (uint32_t)id);

		pool->was_member = true;
		if (shim->all_outcast || outcast(shim, uuid))
			pool->state = TMEM_SHIM_POOL_STAYS_OUT;
	}
	tmem_shim_advance(shim);
	tmem_shim_unlock(shim, irq);
	return id;
}

int tmem_shim_adopt_pool(struct tmem_shim *shim, const struct tmem_shim_pool_info *info)
{
	unsigned long irq = tmem_shim_lock(shim);
	int id = make(shim, info->flags, info->uuid);

	if (id >= 0) {
		struct tmem_shim_pool *pool = tmem_pool_find(shim, (uint32_t)id);

		pool->host_id = info->host_id;
		pool->state = TMEM_SHIM_POOL_READY;
		pool->was_member = info->flags & TMEM_POOL_SHARED;
		/* its pages were put by somebody whose summary we do not have */
		pool->unknown_puts = true;
		if (info->flags & TMEM_POOL_PERSISTENT)
			shim->had_persistent = true;
	}
	tmem_shim_unlock(shim, irq);
	return id;
}

static void free_place(struct tmem_shim *shim, struct tmem_shim_pool *pool)
{
	uint32_t number = tmem_pool_number(shim, pool), i = 0;

	while (i < shim->used_count - 1 && shim->used_pools[i] != number)
		i++;
	shim->used_pools[i] = shim->used_pools[--shim->used_count];
	pool->id = TMEM_NO_HOST_POOL;
	pool->state = 0;
}

int tmem_shim_pool_info(struct tmem_shim *shim, uint32_t id, struct tmem_shim_pool_info *ret)
{
	unsigned long irq = tmem_shim_lock(shim);
	const struct tmem_shim_pool *pool = tmem_pool_find(shim, id);

	memset(ret, 0, sizeof(*ret));
	if (pool) {
		ret->id = pool->id;
		ret->host_id = pool->host_id;
		ret->flags = pool->granted;
		ret->state = pool->state;
		memcpy(ret->uuid, pool->uuid, sizeof(ret->uuid));
		ret->refused = pool->refused;
		ret->owed_objects = pool->owed_count;
		ret->owed_pool = pool->owed_all;
		ret->owed_pages = pool->swap ? shim->owed_pages : 0;
	}
	tmem_shim_unlock(shim, irq);
	return pool ? 0 : TMEM_ENODEV;
}

int64_t tmem_shim_pool_next(struct tmem_shim *shim, int64_t pool)
{
	unsigned long irq = tmem_shim_lock(shim);
	uint32_t i = pool < 0 ? 0 : (uint32_t)pool % shim->config.pools + 1;
	int64_t next = -1;

	for (; next < 0 && i < shim->config.pools; i++)
		if (shim->pools[i].id != TMEM_NO_HOST_POOL)
			next = shim->pools[i].id;
	tmem_shim_unlock(shim, irq);
	return next;
}

/* ---- asking the host ------------------------------------------------------------------ */

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

void tmem_pools_ask(struct tmem_shim *shim)
{
	if (shim->state != TMEM_SHIM_RUNNING || shim->ending)
		return;
	if (shim->pools_unknown && !shim->pools_asked && tmem_queue_room(shim, false, false)) {
		tmem_queue_append(shim, TMEM_OP_POOLS, shim->config.pools, NULL, shim->pools_after,
				  false);
		shim->pools_asked = true;
	}
	for (uint32_t i = 0; i < shim->used_count && !shim->pools_unknown; i++) {
		struct tmem_shim_pool *pool = &shim->pools[shim->used_pools[i]];

		if (pool->state != TMEM_SHIM_POOL_WANTED)
			continue;
		if (!tmem_queue_room(shim, pool->wanted & TMEM_POOL_SHARED, false))
			return;
		ask(shim, pool);
	}
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
		remember_outcast(shim, pool);
	tmem_landing_drop_pool(shim, pool);
	tmem_owed_forget(shim, pool);
	tmem_shim_request_finish_waiters(shim, pool->id, TMEM_OP_NEW_POOL, TMEM_ENODEV);
	pool->state = TMEM_SHIM_POOL_LEAVING;
	waits = waits || pool->unacknowledged;
	if (before == TMEM_SHIM_POOL_READY)
		pool->owed_destroy = true;
	else if (before != TMEM_SHIM_POOL_ASKED && !pool->unacknowledged)
		free_place(shim, pool);
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
	free_place(shim, pool);
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
