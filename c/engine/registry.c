/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "registry.h"

#include <stdlib.h>

#include "group.h"
#include "lists.h"

int tmem_registry_init(struct tmem_engine *engine)
{
	tmem_lock_init(&engine->control, TMEM_RANK_CONTROL);
	tmem_rwlock_init(&engine->owners);
	engine->host_row = TMEM_REF_NONE;
	engine->spare_row = TMEM_REF_NONE;
	engine->next_serial = 1;
	engine->clients = tmem_sparse_alloc(TMEM_NUMBERS_MAX * sizeof(*engine->clients));
	engine->pools = tmem_sparse_alloc(TMEM_NUMBERS_MAX * sizeof(*engine->pools));
	return engine->clients != NULL && engine->pools != NULL ? 0 : -ENOMEM;
}

static void free_client(struct tmem_client *client)
{
	for (size_t i = 0; i < TMEM_POOLS_PER_CLIENT_MAX / TMEM_MEMBER_CHUNK; i++)
		tmem_free(client->engine, atomic_load(&client->chunks[i]),
			  TMEM_MEMBER_CHUNK * sizeof(struct tmem_member));
	tmem_lock_deinit(&client->lock);
	free(client->owned);
	free(client->auth);
	tmem_free(client->engine, client, sizeof(*client));
}

void tmem_registry_deinit(struct tmem_engine *engine)
{
	for (uint32_t i = 0; engine->clients != NULL && i < engine->client_slots; i++)
		if (engine->clients[i] != NULL)
			free_client(engine->clients[i]);
	while (engine->free_clients != NULL) {
		struct tmem_client *client = engine->free_clients;

		engine->free_clients = client->next_free;
		free_client(client);
	}
	for (uint32_t i = 0; engine->pools != NULL && i < engine->pool_slots; i++) {
		free(engine->pools[i]->members);
		tmem_lock_deinit(&engine->pools[i]->list_lock);
		tmem_free(engine, engine->pools[i], sizeof(struct tmem_pool));
	}
	tmem_sparse_free(engine->clients, TMEM_NUMBERS_MAX * sizeof(*engine->clients));
	tmem_sparse_free(engine->pools, TMEM_NUMBERS_MAX * sizeof(*engine->pools));
	tmem_lock_deinit(&engine->control);
	tmem_rwlock_deinit(&engine->owners);
}

/* ---- clients ---- */

struct tmem_client *tmem_client_struct(struct tmem_engine *engine, uint32_t uid, const char *name)
{
	struct tmem_client *client = engine->free_clients;

	if (client != NULL) {
		engine->free_clients = client->next_free;
	} else {
		client = tmem_alloc(engine, sizeof(*client));
		if (client == NULL)
			return NULL;
		tmem_lock_init(&client->lock, TMEM_RANK_CLIENT);
		client->engine = engine;
	}
	client->uid = uid;
	memset(client->name, 0, sizeof(client->name));
	memcpy(client->name, name, strnlen(name, TMEM_CLIENT_NAME_MAX));
	client->settings = (struct tmem_client_settings){
		.encoding = TMEM_ENCODING_LZ4,
		.zstd_level = 1,
	};
	tmem_client_apply(client);
	client->row = TMEM_REF_NONE;
	client->resumed = true;
	client->member_count = 0;
	client->next_serial = 0;
	client->serial_limit = 0;
	client->slot_cursor = 0;
	client->auth_count = 0;
	memset(client->counters_gone, 0, sizeof(client->counters_gone));
	atomic_store(&client->dead, false);
	atomic_store(&client->references, 1);
	return client;
}

void tmem_client_apply(struct tmem_client *client)
{
	const struct tmem_client_settings *settings = &client->settings;

	atomic_store(&client->weight, settings->weight);
	atomic_store(&client->encoding, settings->encoding);
	atomic_store(&client->zstd_level, settings->zstd_level);
	atomic_store(&client->dedup, settings->dedup != 0);
	atomic_store(&client->frozen, settings->frozen != 0);
	atomic_store(&client->cap_bytes, settings->cap_bytes);
	atomic_store(&client->quota_bytes, settings->persistent_quota_bytes);
}

void tmem_client_enter(struct tmem_client *client)
{
	struct tmem_engine *engine = client->engine;

	tmem_write_lock(&engine->owners);
	engine->clients[client->uid] = client;
	if (client->uid >= engine->client_slots)
		engine->client_slots = client->uid + 1;
	tmem_rw_unlock(&engine->owners);
}

void tmem_client_leave(struct tmem_client *client)
{
	struct tmem_engine *engine = client->engine;

	tmem_write_lock(&engine->owners);
	engine->clients[client->uid] = NULL;
	while (engine->client_slots > 0 && engine->clients[engine->client_slots - 1] == NULL)
		engine->client_slots--;
	tmem_rw_unlock(&engine->owners);
}

void tmem_client_recycle(struct tmem_client *client)
{
	client->next_free = client->engine->free_clients;
	client->engine->free_clients = client;
}

void tmem_client_hold(struct tmem_client *client)
{
	atomic_fetch_add(&client->references, 1);
}

/* ---- pools ---- */

struct tmem_pool *tmem_pool_struct(struct tmem_engine *engine, uint32_t number)
{
	struct tmem_pool *pool = engine->free_pools;

	if (number == UINT32_MAX && pool != NULL) {
		engine->free_pools = pool->next_free;
		return pool;
	}
	if (number == UINT32_MAX)
		number = engine->pool_slots;
	if (number >= TMEM_NUMBERS_MAX)
		return NULL;
	/* Recovery asks for numbers in any order: what lies between becomes free pools. */
	while (engine->pool_slots <= number) {
		pool = tmem_alloc(engine, sizeof(*pool));
		if (pool == NULL)
			return NULL;
		pool->number = engine->pool_slots;
		tmem_lock_init(&pool->list_lock, TMEM_RANK_LIST);
		pool->list.newest = pool->list.oldest = TMEM_REF_NONE;
		pool->stale.newest = pool->stale.oldest = TMEM_REF_NONE;
		pool->row = TMEM_REF_NONE;
		engine->pools[engine->pool_slots++] = pool;
		if (pool->number != number)
			tmem_pool_recycle(engine, pool);
	}
	pool = engine->pools[number];
	for (struct tmem_pool **link = &engine->free_pools; *link != NULL;
	     link = &(*link)->next_free)
		if (*link == pool) {
			*link = pool->next_free;
			break;
		}
	return pool;
}

void tmem_pool_recycle(struct tmem_engine *engine, struct tmem_pool *pool)
{
	atomic_store(&pool->state, TMEM_POOL_FREE);
	pool->next_free = engine->free_pools;
	engine->free_pools = pool;
}

static void disown(struct tmem_client *client, struct tmem_pool *pool)
{
	for (uint32_t i = 0; i < client->owned_count; i++)
		if (client->owned[i] == pool) {
			client->owned[i] = client->owned[--client->owned_count];
			return;
		}
}

int tmem_client_reserve_owned(struct tmem_client *client)
{
	uint32_t room = client->member_count + 1;
	struct tmem_pool **owned;

	if (room <= client->owned_room)
		return 0;
	tmem_write_lock(&client->engine->owners);
	owned = realloc(client->owned, room * sizeof(*owned));
	if (owned != NULL) {
		client->owned = owned;
		client->owned_room = room;
	}
	tmem_rw_unlock(&client->engine->owners);
	return owned != NULL ? 0 : -ENOMEM;
}

void tmem_pool_set_owner(struct tmem_engine *engine, struct tmem_pool *pool,
			 struct tmem_client *owner)
{
	struct tmem_client *before = pool->owner;

	tmem_write_lock(&engine->owners);
	if (owner != NULL) {
		assert(owner->owned_count < owner->owned_room);
		owner->owned[owner->owned_count++] = pool;
	}
	if (before != NULL) {
		disown(before, pool);
		/* what was counted so far was counted for the owner of that time */
		before->counters_gone[TMEM_COUNTER(evicted)] += atomic_exchange(&pool->evicted, 0);
		before->counters_gone[TMEM_COUNTER(damaged)] +=
			atomic_exchange(&pool->scrub_damaged, 0);
	}
	tmem_list_set_owner(pool, owner);
	tmem_rw_unlock(&engine->owners);
}

struct tmem_pool *tmem_pool_by_uuid(struct tmem_engine *engine, const uint8_t *uuid)
{
	for (uint32_t i = 0; i < engine->pool_slots; i++) {
		struct tmem_pool *pool = engine->pools[i];

		if (atomic_load(&pool->state) == TMEM_POOL_LIVE && tmem_pool_shared(pool) &&
		    memcmp(pool->uuid, uuid, TMEM_UUID_BYTES) == 0)
			return pool;
	}
	return NULL;
}

void tmem_pool_update_served(struct tmem_pool *pool)
{
	bool served = true;

	for (uint32_t i = 0; i < pool->member_count; i++)
		served = served && pool->members[i]->resumed;
	atomic_store(&pool->served, served || !tmem_pool_shared(pool));
}
