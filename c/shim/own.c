// SPDX-License-Identifier: GPL-2.0-or-later
#include "core.h"

/*
 * Objects of shared pools into which this guest has put a page since it issued the last flush of
 * them that was acknowledged. invalidate_inode of any other object needs neither flush nor wait
 * (F10): whatever is there was put by others, who flush it before this guest is granted EX.
 *
 * The table is exact; what falls out of it goes to a filter that never forgets until the pools are
 * new. Unknown counts as put.
 */

enum { WAYS = 4 };

static uint64_t hash_of(const struct tmem_shim *shim, const struct tmem_shim_pool *pool,
			const struct tmem_oid *oid)
{
	return tmem_shim_hash(shim, pool->id, oid, 0);
}

static struct tmem_own *find(struct tmem_shim *shim, const struct tmem_shim_pool *pool,
			     const struct tmem_oid *oid, uint64_t hash)
{
	struct tmem_own *own = &shim->own[hash % (TMEM_OWN_OBJECTS / WAYS) * WAYS];

	for (int way = 0; way < WAYS; way++, own++)
		if (own->pool == pool->id && tmem_oid_equal(&own->oid, oid))
			return own;
	return NULL;
}

static uint64_t filter_bit(uint64_t hash)
{
	return hash >> 40 & (TMEM_OWN_FILTER_BITS - 1);
}

void tmem_own_put(struct tmem_shim *shim, const struct tmem_shim_pool *pool,
		  const struct tmem_oid *oid, uint64_t position)
{
	uint64_t hash = hash_of(shim, pool, oid);
	struct tmem_own *own = find(shim, pool, oid, hash);
	struct tmem_own *way = &shim->own[hash % (TMEM_OWN_OBJECTS / WAYS) * WAYS];

	if (!own) {
		own = way;
		for (int i = 0; i < WAYS; i++) {
			if (way[i].pool == TMEM_NO_HOST_POOL) {
				own = &way[i];
				break;
			}
			if (way[i].put < own->put)
				own = &way[i];
		}
		if (own->pool != TMEM_NO_HOST_POOL) {
			uint64_t bit = filter_bit(own->hash);

			shim->own_filter[bit >> 6] |= 1ull << (bit & 63);
		}
		own->pool = pool->id;
		own->oid = *oid;
		own->hash = hash;
	}
	own->put = position;
}

bool tmem_own_any(struct tmem_shim *shim, const struct tmem_shim_pool *pool,
		  const struct tmem_oid *oid)
{
	uint64_t hash = hash_of(shim, pool, oid), bit = filter_bit(hash);

	return find(shim, pool, oid, hash) || shim->own_filter[bit >> 6] >> (bit & 63) & 1;
}

void tmem_own_flushed(struct tmem_shim *shim, const struct tmem_shim_pool *pool,
		      const struct tmem_oid *oid, uint64_t position)
{
	struct tmem_own *own = find(shim, pool, oid, hash_of(shim, pool, oid));

	/* a put made while the flush was under way comes after it */
	if (own && (own->put < position || !TMEM_RULE(F10)))
		own->pool = TMEM_NO_HOST_POOL;
}

void tmem_own_reset(struct tmem_shim *shim)
{
	for (uint32_t i = 0; i < TMEM_OWN_OBJECTS; i++)
		shim->own[i].pool = TMEM_NO_HOST_POOL;
	memset(shim->own_filter, 0, TMEM_OWN_FILTER_BITS / 8);
}
