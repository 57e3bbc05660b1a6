// SPDX-License-Identifier: GPL-2.0-or-later
#include "core.h"

/*
 * Flushes that found no room (N). A swap area has a bit for each page (area.c). An ephemeral pool
 * has a small table of objects, each owed as a whole; when that is full, the pool is. A persistent
 * pool that is no swap area's has a table of pages; when that is full its caller waits for room,
 * since more must not be flushed than what was asked for.
 */

static bool by_page(const struct tmem_shim_pool *pool)
{
	return tmem_pool_persistent(pool);
}

static struct tmem_owed *find(const struct tmem_shim_pool *pool, const struct tmem_oid *oid,
			      uint64_t index)
{
	for (uint32_t i = 0; i < pool->owed_count; i++)
		if (tmem_oid_equal(&pool->owed[i].oid, oid) &&
		    (!by_page(pool) || pool->owed[i].index == index))
			return &pool->owed[i];
	return NULL;
}

bool tmem_owed_covers(struct tmem_shim *shim, const struct tmem_shim_pool *pool,
		      const struct tmem_oid *oid, uint64_t index)
{
	struct tmem_area *area;
	uint64_t bit;

	if (pool->swap && tmem_area_find(shim, oid, index, &area, &bit))
		return tmem_area_owes(area, bit);
	return pool->owed_all || find(pool, oid, index);
}

bool tmem_owed_add(struct tmem_shim *shim, struct tmem_shim_pool *pool, uint8_t op,
		   const struct tmem_oid *oid, uint64_t index)
{
	if (by_page(pool) && op != TMEM_OP_FLUSH_PAGE)
		return false;
	if (op == TMEM_OP_FLUSH_POOL) {
		pool->owed_count = 0;
		pool->owed_all = true;
		TMEM_COUNT(shim, owed_pools);
	} else if (!tmem_owed_covers(shim, pool, oid, index)) {
		if (pool->owed_count < shim->config.owed_objects) {
			pool->owed[pool->owed_count].oid = *oid;
			pool->owed[pool->owed_count++].index = index;
			TMEM_COUNT(shim, owed_objects);
		} else if (by_page(pool)) {
			return false;
		} else {
			pool->owed_count = 0;
			pool->owed_all = true;
			TMEM_COUNT(shim, owed_pools);
		}
	}
	TMEM_COUNT(shim, flushes_owed);
	return true;
}

void tmem_owed_settle(struct tmem_shim *shim, struct tmem_shim_pool *pool, uint8_t op,
		      const struct tmem_oid *oid)
{
	(void)shim;
	if (op == TMEM_OP_FLUSH_POOL)
		tmem_owed_forget(shim, pool);
	if (op != TMEM_OP_FLUSH_OBJECT)
		return;
	for (uint32_t i = 0; i < pool->owed_count;)
		if (tmem_oid_equal(&pool->owed[i].oid, oid))
			pool->owed[i] = pool->owed[--pool->owed_count];
		else
			i++;
}

void tmem_owed_forget(struct tmem_shim *shim, struct tmem_shim_pool *pool)
{
	(void)shim;
	pool->owed_count = 0;
	pool->owed_all = false;
}

static void pay(struct tmem_shim *shim, struct tmem_shim_pool *pool, uint8_t op,
		const struct tmem_oid *oid, uint64_t index)
{
	tmem_queue_append(shim, op, tmem_pool_number(shim, pool), oid, index, false);
	TMEM_COUNT(shim, owed_paid);
}

static void pay_pool(struct tmem_shim *shim, struct tmem_shim_pool *pool)
{
	if (pool->owed_destroy && pool->host_id != TMEM_NO_HOST_POOL) {
		pool->owed_destroy = false;
		pay(shim, pool, TMEM_OP_DESTROY_POOL, NULL, 0);
		return;
	}
	if (pool->state != TMEM_SHIM_POOL_READY)
		return;
	if (pool->owed_all) {
		pool->owed_all = false;
		pay(shim, pool, TMEM_OP_FLUSH_POOL, NULL, 0);
		return;
	}
	while (pool->owed_count && tmem_queue_room(shim, false, false)) {
		const struct tmem_owed *owed = &pool->owed[--pool->owed_count];

		pay(shim, pool, by_page(pool) ? TMEM_OP_FLUSH_PAGE : TMEM_OP_FLUSH_OBJECT,
		    &owed->oid, owed->index);
	}
}

void tmem_owed_pay(struct tmem_shim *shim)
{
	for (uint32_t i = 0; i < shim->used_count; i++) {
		struct tmem_shim_pool *pool = &shim->pools[shim->used_pools[i]];

		if (!tmem_pool_owes(pool))
			continue;
		if (!tmem_queue_room(shim, false, false))
			return;
		pay_pool(shim, pool);
	}
	tmem_areas_pay(shim);
}

bool tmem_owed_anything(const struct tmem_shim *shim)
{
	for (uint32_t i = 0; i < shim->used_count; i++)
		if (tmem_pool_owes(&shim->pools[shim->used_pools[i]]))
			return true;
	return tmem_areas_owe(shim);
}

bool tmem_owed_shared(const struct tmem_shim *shim)
{
	for (uint32_t i = 0; i < shim->used_count; i++) {
		const struct tmem_shim_pool *pool = &shim->pools[shim->used_pools[i]];

		if (tmem_pool_shared(pool) && tmem_pool_owes(pool))
			return true;
	}
	return false;
}
