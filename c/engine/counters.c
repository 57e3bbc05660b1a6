/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "counters.h"

#include "registry.h"

#define TMEM_COUNTER_TEXT(name, meaning) {#name, meaning},
const struct tmem_counter_text tmem_counter_texts[] = {TMEM_COUNTERS(TMEM_COUNTER_TEXT)};
const uint32_t tmem_counter_count = sizeof(struct tmem_counters) / sizeof(uint64_t);

enum { COUNTERS = sizeof(struct tmem_counters) / sizeof(uint64_t) };

static void add_pool(uint64_t *sums, struct tmem_pool *pool)
{
	sums[TMEM_COUNTER(evicted)] += atomic_load(&pool->evicted);
	sums[TMEM_COUNTER(damaged)] += atomic_load(&pool->scrub_damaged);
}

static void add_member(uint64_t *sums, struct tmem_member *member)
{
	for (int i = 0; i < COUNTERS; i++)
		sums[i] += atomic_load_explicit(&member->counters[i], memory_order_relaxed);
}

/* All of the client's, whether the members are still in use or about to be settled. */
static void add_client(uint64_t *sums, struct tmem_client *client)
{
	for (int i = 0; i < COUNTERS; i++)
		sums[i] += client->counters_gone[i];
	for (size_t i = 0; i < TMEM_POOLS_PER_CLIENT_MAX / TMEM_MEMBER_CHUNK; i++) {
		struct tmem_member *chunk = atomic_load(&client->chunks[i]);

		for (int at = 0; chunk != NULL && at < TMEM_MEMBER_CHUNK; at++)
			add_member(sums, &chunk[at]);
	}
	for (uint32_t i = 0; i < client->owned_count; i++)
		add_pool(sums, client->owned[i]);
}

void tmem_engine_counters(struct tmem_engine *engine, struct tmem_counters *ret)
{
	uint64_t sums[COUNTERS];

	tmem_lock(&engine->control);
	memcpy(sums, engine->counters_gone, sizeof(sums));
	for (uint32_t i = 0; i < engine->client_slots; i++)
		if (engine->clients[i] != NULL)
			add_client(sums, engine->clients[i]);
	tmem_unlock(&engine->control);
	memcpy(ret, sums, sizeof(*ret));
}

void tmem_client_counters(struct tmem_client *client, struct tmem_counters *ret)
{
	uint64_t sums[COUNTERS] = {0};

	tmem_lock(&client->engine->control);
	add_client(sums, client);
	tmem_unlock(&client->engine->control);
	memcpy(ret, sums, sizeof(*ret));
}

int tmem_pool_counters(struct tmem_client *client, uint32_t untrusted_pool_id,
		       struct tmem_counters *ret)
{
	uint64_t sums[COUNTERS] = {0};
	struct tmem_member *member;

	tmem_lock(&client->engine->control);
	member = tmem_member_find(client, untrusted_pool_id);
	if (member != NULL) {
		struct tmem_pool *pool = atomic_load(&member->pool);

		add_member(sums, member);
		if (pool->owner == client)
			add_pool(sums, pool);
	}
	tmem_unlock(&client->engine->control);
	memcpy(ret, sums, sizeof(*ret));
	return member != NULL ? 0 : TMEM_ENODEV;
}
