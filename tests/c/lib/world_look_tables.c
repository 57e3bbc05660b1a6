/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Looking at the clients and pools of a recovered arena. */
#include <string.h>

#include "world_look.h"

static bool accepts(const struct world_look *look, int moment)
{
	return (look->moments >> moment & 1) != 0;
}

static int slot_of_client(const char *name)
{
	char candidate[TMEM_CLIENT_NAME_MAX + 1];

	for (int i = 0; i < WORLD_CLIENTS; i++) {
		world_client_name(i, candidate);
		if (strcmp(candidate, name) == 0)
			return i;
	}
	return -1;
}

static uint32_t auth_of(struct tmem_client *client)
{
	uint8_t list[(WORLD_UUIDS + 1) * TMEM_UUID_BYTES];
	uint32_t count = tmem_client_auth_list(client, list, WORLD_UUIDS + 1);
	uint32_t auth = 0;

	for (uint32_t i = 0; i < count && i <= WORLD_UUIDS; i++)
		for (int uuid = 0; uuid < WORLD_UUIDS; uuid++) {
			uint8_t bytes[TMEM_UUID_BYTES];

			world_uuid(uuid, bytes);
			if (memcmp(list + i * TMEM_UUID_BYTES, bytes, sizeof(bytes)) == 0)
				auth |= 1U << uuid;
		}
	/* One that nobody added, or one twice, shows in the number. */
	return (uint32_t)__builtin_popcount(auth) == count ? auth : UINT32_MAX;
}

static int check_client(struct world_look *look, int slot)
{
	const struct world_client *client = &look->world->clients[slot];
	struct world_seen *seen = &look->seen;
	bool presence_right = false;
	bool settings_right = !seen->client[slot];
	bool auth_right = !seen->client[slot];

	for (int m = 0; m < WORLD_MOMENTS; m++) {
		const struct world_client_state *state = &client->state[m];

		if (!accepts(look, m))
			continue;
		presence_right |= state->exists == seen->client[slot];
		settings_right |= state->exists && memcmp(&state->settings, &seen->settings[slot],
							  sizeof(state->settings)) == 0;
		/* Its authorisations go one by one with a client that is being destroyed. */
		auth_right |= state->exists ? state->auth == seen->auth[slot]
					    : (seen->auth[slot] & ~client->state[0].auth) == 0;
	}
	LOOK_REQUIRE(look, presence_right, "client %d is %s", slot,
		     seen->client[slot] ? "there" : "missing");
	LOOK_REQUIRE(look, settings_right, "client %d has settings nobody made", slot);
	LOOK_REQUIRE(look, auth_right, "client %d has authorisations %#x", slot, seen->auth[slot]);
	return 0;
}

int look_clients(struct world_look *look)
{
	const struct world *world = look->world;
	struct tmem_client *ref;
	bool switch_right = false;

	for (int64_t uid = -1; tmem_client_next(look->engine, uid, &ref) == 0;) {
		struct tmem_client_info info;
		int slot;

		tmem_client_info(ref, &info);
		slot = slot_of_client(info.name);
		if (slot < 0 || look->refs[slot] != NULL || (int64_t)info.uid <= uid)
			tmem_client_release(ref);
		LOOK_REQUIRE(look, slot >= 0, "there is a client \"%s\"", info.name);
		LOOK_REQUIRE(look, look->refs[slot] == NULL, "client %d is there twice", slot);
		LOOK_REQUIRE(look, (int64_t)info.uid > uid, "client %d is listed again", slot);
		uid = info.uid;
		look->refs[slot] = ref;
		look->uid[slot] = info.uid;
		look->seen.client[slot] = true;
		look->seen.settings[slot] = info.settings;
		look->seen.auth[slot] = auth_of(ref);
	}
	for (int i = 0; i < WORLD_CLIENTS; i++)
		if (check_client(look, i) != 0)
			return -1;
	look->seen.shared_auth_all = tmem_engine_shared_auth_all(look->engine);
	for (int m = 0; m < WORLD_MOMENTS; m++)
		switch_right |=
			accepts(look, m) && world->shared_auth_all[m] == look->seen.shared_auth_all;
	LOOK_REQUIRE(look, switch_right, "shared_auth_all is %d", look->seen.shared_auth_all);
	return 0;
}

static int slot_of_pool(const struct world_look *look, int client, int64_t id)
{
	int unnamed = -1;

	for (int i = 0; i < WORLD_POOLS; i++) {
		const struct world_pool *pool = &look->world->pools[i];

		if (pool->client != client || !(pool->exists[0] || pool->exists[1]))
			continue;
		if (pool->id == id)
			return i;
		if (pool->id == -1 && look->seen.pool_id[i] == -1)
			unnamed = i;
	}
	return unnamed;
}

static int see_pool(struct world_look *look, int client, int64_t id)
{
	struct world_seen *seen = &look->seen;
	int slot = slot_of_pool(look, client, id);
	const struct world_pool *pool = &look->world->pools[slot < 0 ? 0 : slot];
	bool shared = pool->uuid != WORLD_PRIVATE;
	uint8_t uuid[TMEM_UUID_BYTES] = {0};
	struct tmem_pool_info info;
	uint32_t flags;

	LOOK_REQUIRE(look, slot >= 0, "client %d has a pool %lld", client, (long long)id);
	LOOK_REQUIRE(look, tmem_pool_info(look->refs[client], (uint32_t)id, &info) == 0,
		     "pool %lld of client %d is listed, but unknown", (long long)id, client);
	flags = (pool->persistent ? TMEM_POOL_PERSISTENT : 0) | (shared ? TMEM_POOL_SHARED : 0);
	LOOK_REQUIRE(look, info.flags == flags, "pool %d has flags %#x", slot, info.flags);
	if (shared)
		world_uuid(pool->uuid, uuid);
	LOOK_REQUIRE(look, memcmp(info.uuid, uuid, sizeof(uuid)) == 0, "pool %d has another uuid",
		     slot);
	LOOK_REQUIRE(look, (info.served != 0) == (!shared || look->resumed), "pool %d is %sserved",
		     slot, info.served ? "" : "un");
	seen->pool_id[slot] = id;
	seen->pool_pages[slot] = info.pages;
	seen->pool_owner[slot] = info.owner;
	seen->pool_members[slot] = info.members;
	return 0;
}

static int check_membership(struct world_look *look, int slot)
{
	const struct world_pool *pools = look->world->pools;
	uint32_t members = 0;
	bool owned = false;

	for (int i = 0; i < WORLD_POOLS; i++) {
		if (look->seen.pool_id[i] < 0 || pools[i].store != pools[slot].store)
			continue;
		members++;
		owned |= look->uid[pools[i].client] == look->seen.pool_owner[slot];
	}
	LOOK_REQUIRE(look, look->seen.pool_members[slot] == members,
		     "pool %d counts %u members, there are %u", slot, look->seen.pool_members[slot],
		     members);
	LOOK_REQUIRE(look, owned, "pool %d is charged to client uid %u, not a member", slot,
		     look->seen.pool_owner[slot]);
	return 0;
}

int look_pools(struct world_look *look)
{
	const struct world_pool *pools = look->world->pools;

	memset(look->seen.pool_id, 0xff, sizeof(look->seen.pool_id));
	for (int client = 0; client < WORLD_CLIENTS; client++)
		for (int64_t id = -1; look->refs[client] != NULL &&
				      (id = tmem_pool_next(look->refs[client], id)) >= 0;)
			if (see_pool(look, client, id) != 0)
				return -1;
	for (int i = 0; i < WORLD_POOLS; i++) {
		bool present = look->seen.pool_id[i] >= 0;
		bool right = false;

		for (int m = 0; m < WORLD_MOMENTS; m++)
			right |= accepts(look, m) && pools[i].exists[m] == present;
		LOOK_REQUIRE(look, right, "pool %d is %s", i, present ? "there" : "missing");
		if (present && check_membership(look, i) != 0)
			return -1;
	}
	return 0;
}
