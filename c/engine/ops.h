/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the page operations share with reclaim, moving and scrubbing. */
#ifndef TMEM_OPS_H
#define TMEM_OPS_H

#include "pages.h"

/* What a processor fetches at once. */
enum { TMEM_CACHE_LINE_BYTES = 64 };

/* One data call: which pool of which client, as looked up without a lock. */
struct tmem_call {
	struct tmem_engine *engine;
	struct tmem_client *client;
	struct tmem_member *member;
	struct tmem_pool *pool;
	uint64_t serial;
	uint32_t id;
};

/* Looks the pool up. 0 or -ENODEV. Inline, since each put and get begins with it. */
static inline int tmem_call_begin(struct tmem_client *client, uint32_t untrusted_pool_id,
				  struct tmem_call *ret)
{
	uint32_t slot = untrusted_pool_id & (TMEM_POOLS_PER_CLIENT_MAX - 1);
	struct tmem_member *chunk = atomic_load_explicit(&client->chunks[slot / TMEM_MEMBER_CHUNK],
							 memory_order_acquire);

	if (chunk == NULL)
		return TMEM_ENODEV;
	ret->engine = client->engine;
	ret->client = client;
	ret->member = &chunk[slot % TMEM_MEMBER_CHUNK];
	ret->id = untrusted_pool_id;
	if (atomic_load(&ret->member->id) != (int64_t)untrusted_pool_id)
		return TMEM_ENODEV;
	ret->pool = atomic_load(&ret->member->pool);
	ret->serial = atomic_load(&ret->member->serial);
	return 0;
}

/* Whether the call's pool is still its pool. Holds a shard lock (of the call's object). */
static inline bool tmem_call_valid(const struct tmem_call *call)
{
	TMEM_ASSERT_HELD(TMEM_RANK_SHARD);
	return atomic_load(&call->member->id) == (int64_t)call->id &&
	       atomic_load(&call->pool->serial) == call->serial &&
	       atomic_load(&call->pool->state) == TMEM_POOL_LIVE;
}

/* Removes the page at @ref for good: from tables and list, its record, its slot. Holds the shard
 * lock. */
void tmem_page_remove(struct tmem_engine *engine, const struct tmem_handle *handle, tmem_ref ref);

/* Removes every page on the pool's stale list; returns how many. Holds no lock below control. */
uint64_t tmem_pool_sweep(struct tmem_engine *engine, struct tmem_pool *pool);

#endif
