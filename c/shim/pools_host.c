// SPDX-License-Identifier: GPL-2.0-or-later
#include "core.h"

/* ---- what the host has that we know nothing of ---------------------------------------- */

static bool known(const struct tmem_shim *shim, uint32_t host_id)
{
	for (uint32_t i = 0; i < shim->config.pools; i++)
		if (shim->pools[i].id != TMEM_NO_HOST_POOL && shim->pools[i].host_id == host_id)
			return true;
	return false;
}

void tmem_pools_listed(struct tmem_shim *shim, const void *untrusted_payload, uint32_t bytes)
{
	const uint8_t *at = untrusted_payload;

	shim->pools_asked = false;
	if (bytes < 4) {
		shim->pools_unknown = false;
		shim->pools_after = UINT64_MAX;
		return;
	}
	for (uint32_t i = 0; i + 4 <= bytes; i += 4) {
		uint32_t host_id = (uint32_t)at[i] | (uint32_t)at[i + 1] << 8 |
				   (uint32_t)at[i + 2] << 16 | (uint32_t)at[i + 3] << 24;

		if (!known(shim, host_id)) {
			if (!tmem_queue_room(shim, false, false))
				return; /* the rest when it is asked for again */
			/* no pool of ours: the host's id stands in the index */
			tmem_queue_append(shim, TMEM_OP_DESTROY_POOL, shim->config.pools, NULL,
					  host_id, false);
		}
		shim->pools_after = host_id;
	}
}

/* ---- a session has ended -------------------------------------------------------------- */

/* Ephemeral pools are gone with their session; of shared ones it has to be known. */
void tmem_pools_over(struct tmem_shim *shim, bool told)
{
	for (uint32_t i = 0; i < shim->config.pools; i++) {
		struct tmem_shim_pool *pool = &shim->pools[i];

		if (pool->id == TMEM_NO_HOST_POOL || tmem_pool_persistent(pool))
			continue;
		if (pool->state == TMEM_SHIM_POOL_READY && tmem_pool_shared(pool))
			pool->unacknowledged = true;
		if (pool->state == TMEM_SHIM_POOL_READY || pool->state == TMEM_SHIM_POOL_ASKED)
			pool->state = TMEM_SHIM_POOL_WANTED;
		if (pool->state == TMEM_SHIM_POOL_LEAVING)
			pool->unacknowledged = true;
		tmem_owed_forget(shim, pool);
		pool->owed_destroy = false;
		pool->host_id = TMEM_NO_HOST_POOL;
		pool->unknown_puts = false;
		pool->era++;
		tmem_summary_unsure(shim);
	}
	if (told)
		tmem_pools_told(shim);
}

/* The host has said that the session is over, and has emptied what was shared. */
void tmem_pools_told(struct tmem_shim *shim)
{
	for (uint32_t i = 0; i < shim->config.pools; i++) {
		struct tmem_shim_pool *pool = &shim->pools[i];

		if (pool->id == TMEM_NO_HOST_POOL || tmem_pool_persistent(pool))
			continue;
		if (!pool->unacknowledged)
			continue;
		pool->unacknowledged = false;
		if (pool->state == TMEM_SHIM_POOL_LEAVING)
			tmem_pool_left(shim, pool, TMEM_DONE);
		else
			tmem_shim_request_finish_waiters(shim, pool->id, 0, TMEM_DONE);
	}
	tmem_own_reset(shim);
}

void tmem_pools_epoch(struct tmem_shim *shim, bool rejoin, bool kept)
{
	tmem_pools_told(shim);
	for (uint32_t i = 0; i < shim->config.pools; i++) {
		struct tmem_shim_pool *pool = &shim->pools[i];

		if (pool->id == TMEM_NO_HOST_POOL)
			continue;
		if (tmem_pool_persistent(pool)) {
			if (!kept)
				tmem_pool_lost(shim, pool);
			continue;
		}
		if (pool->state == TMEM_SHIM_POOL_REFUSED)
			pool->state = TMEM_SHIM_POOL_WANTED;
		if (!rejoin && pool->was_member && pool->state == TMEM_SHIM_POOL_WANTED &&
		    pool->wanted & TMEM_POOL_SHARED)
			pool->state = TMEM_SHIM_POOL_STAYS_OUT;
		if (pool->state == TMEM_SHIM_POOL_STAYS_OUT)
			tmem_shim_request_finish_waiters(shim, pool->id, TMEM_OP_NEW_POOL,
							 TMEM_ETIMEDOUT);
	}
}

/* A persistent pool whose pages the host no longer has. Another one is made for what comes. */
void tmem_pool_lost(struct tmem_shim *shim, struct tmem_shim_pool *pool)
{
	if (pool->state == TMEM_SHIM_POOL_LEAVING) {
		tmem_pool_left(shim, pool, TMEM_DONE);
		return;
	}
	pool->state = TMEM_SHIM_POOL_WANTED;
	pool->host_id = TMEM_NO_HOST_POOL;
	pool->era++;
	tmem_summary_unsure(shim);
	tmem_owed_forget(shim, pool);
	for (uint32_t type = 0; pool->swap && type < TMEM_SWAP_AREAS; type++)
		if (shim->areas[type].owed)
			tmem_area_settle_all(shim, &shim->areas[type]);
}
