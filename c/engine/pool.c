/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Pools: leaving, emptying, destroying. (Making and joining: pool_new.c.)
 *
 * Order of what is durable, so that a kill at any instruction leaves a state before or after:
 *   new      the pool's row, then the member's row, which makes it exist (recovery ends a pool
 *            without members);
 *   leave    the pool's row with a new epoch (and owner), which empties it, then the member's row
 *            is cleared;
 *   destroy  the member's row is cleared, which ends the pool; its pages follow; its row is last;
 *   flush    the pool's row with a new epoch.
 */
#include "lists.h"
#include "ops.h"
#include "registry.h"
#include "rows.h"

/* Starts a new epoch, for the rest of the pool's members. Holds the control lock. */
static void start_epoch(struct tmem_engine *engine, struct tmem_pool *pool,
			struct tmem_client *owner)
{
	uint32_t epoch = (atomic_load(&pool->epoch) + 1) & 0xffff;

	/* A row that is there is always rewritten: rows.h keeps a spare place. */
	(void)tmem_pool_write(engine, pool, epoch, owner);
	tmem_list_new_epoch(engine, pool, epoch);
}

static uint64_t finish_epoch(struct tmem_engine *engine, struct tmem_pool *pool)
{
	tmem_shards_quiesce(engine);
	return tmem_pool_sweep(engine, pool);
}

/* Who is charged once @leaving is gone: the owner if it stays, else who joined first. */
static struct tmem_client *next_owner(const struct tmem_pool *pool,
				      const struct tmem_member *leaving)
{
	struct tmem_client *first = NULL;

	for (uint32_t i = 0; i < pool->member_count; i++) {
		if (pool->members[i] == leaving)
			continue;
		if (pool->members[i]->client == pool->owner)
			return pool->owner;
		if (first == NULL)
			first = pool->members[i]->client;
	}
	return first;
}

void tmem_member_end(struct tmem_engine *engine, struct tmem_member *member)
{
	struct tmem_pool *pool = atomic_load(&member->pool);
	struct tmem_client *owner;
	uint64_t found;

	tmem_lock(&engine->control);
	owner = next_owner(pool, member);
	if (owner != NULL) {
		start_epoch(engine, pool, owner);
		tmem_row_clear(engine, &member->row);
		tmem_member_leave(member);
		if (owner != pool->owner)
			tmem_pool_set_owner(engine, pool, owner);
		tmem_pool_update_served(pool);
	} else {
		tmem_row_clear(engine, &member->row);
		tmem_member_leave(member);
		atomic_store(&pool->state, TMEM_POOL_DYING);
		tmem_list_new_epoch(engine, pool, (atomic_load(&pool->epoch) + 1) & 0xffff);
	}
	tmem_unlock(&engine->control);

	found = finish_epoch(engine, pool);

	tmem_lock(&engine->control);
	tmem_count(member, pool_flushes, 1);
	tmem_count(member, pool_flushes_found, found);
	tmem_member_settle(member);
	if (owner == NULL) {
		tmem_pool_set_owner(engine, pool, NULL);
		if (atomic_load(&pool->orphans) > 0) {
			atomic_store(&pool->state, TMEM_POOL_TOMB);
			engine->tomb_count++;
		} else {
			tmem_row_clear(engine, &pool->row);
			tmem_pool_recycle(engine, pool);
		}
	}
	tmem_unlock(&engine->control);
}

int tmem_pool_destroy(struct tmem_client *client, uint32_t untrusted_pool_id)
{
	struct tmem_member *member;

	tmem_lock(&client->lock);
	member = tmem_member_find(client, untrusted_pool_id);
	if (member != NULL)
		tmem_member_end(client->engine, member);
	tmem_unlock(&client->lock);
	return member != NULL ? TMEM_DONE : TMEM_MISS;
}

static int empty_pool(struct tmem_client *client, uint32_t untrusted_pool_id, bool serve)
{
	struct tmem_engine *engine = client->engine;
	struct tmem_member *member;
	struct tmem_pool *pool;
	uint64_t found;

	tmem_lock(&client->lock);
	member = tmem_member_find(client, untrusted_pool_id);
	if (member == NULL) {
		tmem_unlock(&client->lock);
		return TMEM_ENODEV;
	}
	pool = atomic_load(&member->pool);
	if (serve && atomic_load(&pool->served)) {
		tmem_unlock(&client->lock);
		return TMEM_DONE;
	}
	tmem_lock(&engine->control);
	start_epoch(engine, pool, pool->owner);
	tmem_unlock(&engine->control);
	found = finish_epoch(engine, pool);
	tmem_count(member, pool_flushes, 1);
	tmem_count(member, pool_flushes_found, found);
	if (serve) {
		tmem_lock(&engine->control);
		for (uint32_t i = 0; i < pool->member_count; i++)
			pool->members[i]->resumed = true;
		tmem_pool_update_served(pool);
		tmem_unlock(&engine->control);
	}
	tmem_unlock(&client->lock);
	return TMEM_DONE;
}

int tmem_pool_flush(struct tmem_client *client, uint32_t untrusted_pool_id)
{
	return empty_pool(client, untrusted_pool_id, false);
}

int tmem_pool_serve_empty(struct tmem_client *client, uint32_t untrusted_pool_id)
{
	return empty_pool(client, untrusted_pool_id, true);
}
