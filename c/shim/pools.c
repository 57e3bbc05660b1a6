// SPDX-License-Identifier: GPL-2.0-or-later
#include "core.h"

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
void tmem_pool_remember_outcast(struct tmem_shim *shim, const struct tmem_shim_pool *pool)
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

	if (id >= 0 && flags & TMEM_POOL_SHARED) {
		forget_outcast(shim, uuid);
		/* those that were refused are asked for before it (tmem_pools_ask) */
		(void)tmem_pools_retry(shim, TMEM_NEVER);
	}
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

void tmem_pool_free_place(struct tmem_shim *shim, struct tmem_shim_pool *pool)
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
