/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The clients and the pools of a world. */
#include <string.h>

#include "check.h"
#include "world.h"

void world_client_create(struct world *world, int client)
{
	struct world_client *c = &world->clients[client];
	char name[TMEM_CLIENT_NAME_MAX + 1];

	if (world_runs(world)) {
		world_client_name(client, name);
		CHECK_EQ(tmem_client_create(world->engine, name, &c->ref), 0);
	}
	if (world->phase == WORLD_PREPARE) {
		struct tmem_client_info info;

		tmem_client_info(c->ref, &info);
		world->defaults = info.settings;
	}
	for (int m = world_first_moment(world); world_models(world) && m < WORLD_MOMENTS; m++)
		c->state[m] =
			(struct world_client_state){.exists = true, .settings = world->defaults};
}

static void leave(struct world *world, struct world_pool *pool)
{
	world_empty_store(world, pool->store);
	for (int m = world_first_moment(world); m < WORLD_MOMENTS; m++)
		pool->exists[m] = false;
}

void world_client_destroy(struct world *world, int client)
{
	struct world_client *c = &world->clients[client];

	if (world_models(world)) {
		for (int i = 0; i < WORLD_POOLS; i++)
			if (world->pools[i].client == client && world->pools[i].exists[WORLD_AFTER])
				leave(world, &world->pools[i]);
		for (int m = world_first_moment(world); m < WORLD_MOMENTS; m++)
			c->state[m].exists = false;
	}
	if (world_runs(world)) {
		CHECK_EQ(tmem_client_destroy(c->ref), 0);
		tmem_client_release(c->ref);
		c->ref = NULL;
	}
}

void world_client_set(struct world *world, int client, const struct tmem_client_settings *settings)
{
	struct world_client *c = &world->clients[client];

	for (int m = world_first_moment(world); world_models(world) && m < WORLD_MOMENTS; m++)
		c->state[m].settings = *settings;
	if (world_runs(world))
		CHECK_EQ(tmem_client_set(c->ref, settings), 0);
}

void world_client_resume(struct world *world, int client)
{
	if (world_runs(world))
		CHECK_EQ(tmem_client_resume(world->clients[client].ref), 0);
}

void world_auth_add(struct world *world, int client, int uuid)
{
	struct world_client *c = &world->clients[client];
	uint8_t bytes[TMEM_UUID_BYTES];

	for (int m = world_first_moment(world); world_models(world) && m < WORLD_MOMENTS; m++)
		c->state[m].auth |= 1U << uuid;
	world_uuid(uuid, bytes);
	if (world_runs(world))
		CHECK_EQ(tmem_client_auth_add(c->ref, bytes), 0);
}

void world_auth_remove(struct world *world, int client, int uuid)
{
	struct world_client *c = &world->clients[client];
	uint8_t bytes[TMEM_UUID_BYTES];

	for (int m = world_first_moment(world); world_models(world) && m < WORLD_MOMENTS; m++)
		c->state[m].auth &= ~(1U << uuid);
	world_uuid(uuid, bytes);
	if (world_runs(world))
		CHECK_EQ(tmem_client_auth_remove(c->ref, bytes), 0);
}

void world_reclaim(struct world *world, int client, uint64_t bytes)
{
	if (world_runs(world))
		world->freed_bytes = tmem_client_reclaim(world->clients[client].ref, bytes);
}

/* The store of the shared pool that is joined, or a new one. */
static int store_of(const struct world *world, int pool, int uuid)
{
	for (int i = 0; uuid != WORLD_PRIVATE && i < WORLD_POOLS; i++)
		if (i != pool && world->pools[i].exists[WORLD_AFTER] &&
		    world->pools[i].uuid == uuid)
			return world->pools[i].store;
	return pool;
}

void world_pool_new(struct world *world, int pool, int client, bool persistent, int uuid)
{
	struct world_pool *p = &world->pools[pool];
	uint32_t kind = (persistent ? TMEM_POOL_PERSISTENT : 0) |
			(uuid != WORLD_PRIVATE ? TMEM_POOL_SHARED : 0);
	uint8_t bytes[TMEM_UUID_BYTES];
	uint32_t id;
	uint32_t granted;

	if (world_models(world)) {
		p->client = client;
		p->store = store_of(world, pool, uuid);
		p->uuid = uuid;
		p->persistent = persistent;
		p->id = -1;
		for (int m = world_first_moment(world); m < WORLD_MOMENTS; m++)
			p->exists[m] = true;
	}
	world_uuid(uuid, bytes);
	if (world_runs(world)) {
		CHECK_EQ(tmem_pool_new(
				 world->clients[client].ref, uuid != WORLD_PRIVATE ? bytes : NULL,
				 kind | TMEM_ABI_VERSION << TMEM_POOL_VERSION_SHIFT, &id, &granted),
			 0);
		CHECK_EQ(granted, kind);
		p->id = id;
	}
}

void world_pool_destroy(struct world *world, int pool)
{
	struct world_pool *p = &world->pools[pool];

	if (world_models(world))
		leave(world, p);
	if (world_runs(world))
		CHECK_EQ(tmem_pool_destroy(world->clients[p->client].ref, (uint32_t)p->id),
			 TMEM_DONE);
}

void world_pool_flush(struct world *world, int pool)
{
	struct world_pool *p = &world->pools[pool];

	if (world_models(world))
		world_empty_store(world, p->store);
	if (world_runs(world))
		CHECK_EQ(tmem_pool_flush(world->clients[p->client].ref, (uint32_t)p->id),
			 TMEM_DONE);
}

void world_pool_serve_empty(struct world *world, int pool)
{
	struct world_pool *p = &world->pools[pool];

	if (world_models(world))
		world_empty_store(world, p->store);
	if (world_runs(world))
		CHECK_EQ(tmem_pool_serve_empty(world->clients[p->client].ref, (uint32_t)p->id),
			 TMEM_DONE);
}
