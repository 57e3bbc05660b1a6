/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "policy.h"

#include "group.h"
#include "lists.h"

/*
 * "lru": fair by weight, oldest first (rules 41-43).
 *
 * A client with a weight is entitled to weight / (sum of weights) of the ephemeral memory that all
 * clients with weights hold. While anybody is above that, or has no weight, only their pages go,
 * oldest first, so a client below its share never loses a page to one above. Who is above its own
 * share pays for its own puts.
 */

struct shares {
	uint64_t weights;
	uint64_t bytes;
};

/* Of the clients that hold something, and of @newcomer (or NULL), who may hold nothing yet. */
static struct shares sum_shares(struct tmem_engine *engine, const struct tmem_client *newcomer)
{
	struct shares sum = {0, 0};

	for (uint32_t i = 0; i < engine->client_slots; i++) {
		const struct tmem_client *client = engine->clients[i];
		uint64_t bytes;
		uint32_t weight;

		if (client == NULL)
			continue;
		weight = atomic_load_explicit(&client->weight, memory_order_relaxed);
		bytes = atomic_load_explicit(&client->ephemeral_bytes, memory_order_relaxed);
		if (weight == 0 || (bytes == 0 && client != newcomer))
			continue;
		sum.weights += weight;
		sum.bytes += bytes;
	}
	return sum;
}

static bool above_share(const struct tmem_client *client, const struct shares *sum)
{
	uint32_t weight = atomic_load_explicit(&client->weight, memory_order_relaxed);
	uint64_t bytes = atomic_load_explicit(&client->ephemeral_bytes, memory_order_relaxed);

	/* bytes > sum.bytes * weight / sum.weights, without rounding */
	return (unsigned __int128)bytes * sum->weights > (unsigned __int128)sum->bytes * weight;
}

uint64_t tmem_share_bytes(struct tmem_engine *engine, const struct tmem_client *client)
{
	struct shares sum = sum_shares(engine, client);
	uint32_t weight = atomic_load(&client->weight);

	if (weight == 0)
		return 0;
	return (uint64_t)((unsigned __int128)sum.bytes * weight / sum.weights);
}

static void consider_pools(struct tmem_engine *engine, const struct tmem_client *client,
			   struct tmem_pool **best, uint32_t *best_age)
{
	uint32_t now = atomic_load_explicit(&engine->clock, memory_order_relaxed);

	for (uint32_t i = 0; i < client->owned_count; i++) {
		struct tmem_pool *pool = client->owned[i];
		uint32_t age;

		if (tmem_pool_persistent(pool) ||
		    atomic_load_explicit(&pool->pages, memory_order_relaxed) == 0)
			continue;
		age = (now - atomic_load_explicit(&pool->oldest_stamp, memory_order_relaxed)) &
		      TMEM_STAMP_MASK;
		if (*best == NULL || age > *best_age) {
			*best = pool;
			*best_age = age;
		}
	}
}

struct tmem_pool *tmem_oldest_pool(struct tmem_engine *engine, const struct tmem_client *client)
{
	struct tmem_pool *best = NULL;
	uint32_t best_age = 0;

	consider_pools(engine, client, &best, &best_age);
	return best;
}

static struct tmem_pool *choose_lru(struct tmem_engine *engine, struct tmem_client *requester)
{
	struct shares sum = sum_shares(engine, NULL);
	struct tmem_pool *best = NULL;
	uint32_t best_age = 0;

	if (requester != NULL && atomic_load(&requester->weight) != 0 &&
	    above_share(requester, &sum)) {
		best = tmem_oldest_pool(engine, requester);
		if (best != NULL)
			return best;
	}
	for (int everybody = 0; everybody < 2 && best == NULL; everybody++) {
		for (uint32_t i = 0; i < engine->client_slots; i++) {
			struct tmem_client *client = engine->clients[i];

			if (client == NULL)
				continue;
			/* Nobody above its share means everybody exactly at it. */
			if (everybody || atomic_load(&client->weight) == 0 ||
			    above_share(client, &sum))
				consider_pools(engine, client, &best, &best_age);
		}
	}
	return best;
}

/* Rule 47: a page whose contents others share is spared once. */
static bool spare_shared(struct tmem_engine *engine, const struct tmem_handle *handle, tmem_ref ref)
{
	struct tmem_record *record = tmem_ref_record(engine, ref);
	uint8_t mark = tmem_commit_mark(atomic_load(&record->commit));

	if (mark == TMEM_MARK_PAGE || record->stamp & TMEM_STAMP_SPARED)
		return false;
	return mark == TMEM_MARK_REFERENCE ||
	       tmem_group_references(engine, atomic_load(&handle->pool->group), ref) > 0;
}

const struct tmem_policy_eviction tmem_eviction_lru = {
	.name = "lru",
	.choose = choose_lru,
	.spare = spare_shared,
};

static bool admit_always(struct tmem_engine *engine, const struct tmem_handle *handle)
{
	(void)engine;
	(void)handle;
	return true;
}

const struct tmem_policy_admission tmem_admission_always = {
	.name = "always",
	.admit = admit_always,
};

/*
 * "second-chance": a page is taken when it is put for the second time. Pages read once, by a backup
 * for instance, then never push out pages that are read again and again.
 */
static bool admit_second(struct tmem_engine *engine, const struct tmem_handle *handle)
{
	uint64_t hash = tmem_mix(tmem_page_hash(handle->object_hash, handle->index));
	_Atomic uint32_t *ghost = &engine->ghosts[hash % TMEM_GHOSTS];
	uint32_t fingerprint = (uint32_t)(hash >> 32) | 1;

	return atomic_exchange_explicit(ghost, fingerprint, memory_order_relaxed) == fingerprint;
}

const struct tmem_policy_admission tmem_admission_second_chance = {
	.name = "second-chance",
	.admit = admit_second,
	.uses_ghosts = true,
};
