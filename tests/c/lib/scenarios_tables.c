/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Crash scenarios: clients, pools, memberships, authorisations, and the arena's creation. */
#include "scenarios.h"

#include "check.h"

static void destroy_private_persistent(struct world *world)
{
	world_pool_destroy(world, ALPHA_PERSISTENT);
}

static void destroy_private_ephemeral(struct world *world)
{
	world_pool_destroy(world, ALPHA_EPHEMERAL);
}

static void new_private_pool(struct world *world)
{
	world_pool_new(world, NEW_POOL, ALPHA, true, WORLD_PRIVATE);
}

static void prepare_reuse(struct world *world)
{
	scenario_base(world);
	world_pool_destroy(world, ALPHA_EPHEMERAL);
	world_pool_destroy(world, BETA_PERSISTENT);
}

/* In the place of pools that are gone: their pages must not turn up in it. */
static void reuse_pool(struct world *world)
{
	world_pool_new(world, NEW_POOL, BETA, false, WORLD_PRIVATE);
}

static void prepare_shared(struct world *world)
{
	scenario_base(world);
	world_auth_add(world, ALPHA, 1);
	world_client_create(world, GAMMA);
	world_auth_add(world, GAMMA, 0);
}

static void new_shared_pool(struct world *world)
{
	world_pool_new(world, NEW_POOL, ALPHA, false, 1);
}

static void join(struct world *world)
{
	world_pool_new(world, NEW_POOL, GAMMA, false, 0);
}

static void join_twice(struct world *world)
{
	world_pool_new(world, NEW_POOL, ALPHA, false, 0);
}

static void leave_as_owner(struct world *world)
{
	world_pool_destroy(world, ALPHA_SHARED);
}

static void leave_as_other(struct world *world)
{
	world_pool_destroy(world, BETA_SHARED);
}

static void prepare_alone(struct world *world)
{
	scenario_base(world);
	world_pool_destroy(world, ALPHA_SHARED);
	world_put(world, BETA_SHARED, 1, 0, page_value(PAGE_RAW, 60), TMEM_DONE);
}

static void leave_as_last(struct world *world)
{
	world_pool_destroy(world, BETA_SHARED);
}

static void prepare_unserved(struct world *world)
{
	scenario_base(world);
	world_close(world);
	world_open(world);
	world_client_resume(world, ALPHA);
}

static void serve_empty(struct world *world)
{
	world_pool_serve_empty(world, ALPHA_SHARED);
}

static void create_client(struct world *world)
{
	world_client_create(world, GAMMA);
}

/* Alpha owns the shared pool, and has pools of both kinds and an authorisation. */
static void destroy_client(struct world *world)
{
	world_client_destroy(world, ALPHA);
}

static void set_client(struct world *world)
{
	struct tmem_client_settings settings = world_settings(world, ALPHA);

	settings.weight = 3;
	settings.cap_bytes = 1 << 30;
	settings.persistent_quota_bytes = 1 << 29;
	settings.encoding = TMEM_ENCODING_ZSTD;
	settings.zstd_level = 5;
	settings.dedup = 1;
	settings.frozen = 1;
	world_client_set(world, ALPHA, &settings);
}

static void add_auth(struct world *world)
{
	world_auth_add(world, BETA, 2);
}

static void remove_auth(struct world *world)
{
	world_auth_remove(world, BETA, 0);
}

static void allow_all(struct world *world)
{
	world_set_shared_auth_all(world, 1);
}

/* ---- a table that has to grow ----------------------------------------------------------- */

static uint64_t resident_bytes;

static void prepare_full_table(struct world *world)
{
	struct tmem_usage usage;

	scenario_tables(world);
	resident_bytes = scenario_usage(world).resident_bytes;
	/* Rows are added until a new extent is taken for them, and then until one is left in it:
	 * a row each for a client, which takes as many as the first extent had left. */
	for (int client = GAMMA; client < WORLD_CLIENTS; client++)
		world_client_create(world, client);
	for (int pool = NEW_POOL; pool < WORLD_POOLS - 1; pool++) {
		world_pool_new(world, pool, ALPHA, true, WORLD_PRIVATE);
		usage = scenario_usage(world);
		if (usage.resident_bytes != resident_bytes)
			world_pool_destroy(world, pool);
		if (usage.resident_bytes != resident_bytes)
			break;
	}
	world_shrink(world, UINT64_MAX);
	resident_bytes = scenario_usage(world).resident_bytes;
}

static void grow_table(struct world *world)
{
	world_pool_new(world, WORLD_POOLS - 1, ALPHA, true, WORLD_PRIVATE);
}

static void verify_grown(struct world *world)
{
	CHECK(scenario_usage(world).resident_bytes > resident_bytes);
}

/* ---- creation --------------------------------------------------------------------------- */

static void create_arena(struct world *world)
{
	world_open(world);
}

const struct crash_scenario table_scenarios[] = {
	{.name = "create-arena", .operate = create_arena, .creates = true},
	{.name = "destroy-private-persistent",
	 .prepare = scenario_base,
	 .operate = destroy_private_persistent,
	 .then_recover = true},
	{.name = "destroy-private-ephemeral",
	 .prepare = scenario_base,
	 .operate = destroy_private_ephemeral},
	{.name = "new-private-pool", .prepare = scenario_base, .operate = new_private_pool},
	{.name = "new-pool-in-place-of-old", .prepare = prepare_reuse, .operate = reuse_pool},
	{.name = "new-shared-pool", .prepare = prepare_shared, .operate = new_shared_pool},
	{.name = "join", .prepare = prepare_shared, .operate = join},
	{.name = "join-twice", .prepare = scenario_base, .operate = join_twice},
	{.name = "leave-as-owner",
	 .prepare = scenario_base,
	 .operate = leave_as_owner,
	 .then_recover = true},
	{.name = "leave-as-other", .prepare = scenario_base, .operate = leave_as_other},
	{.name = "leave-as-last", .prepare = prepare_alone, .operate = leave_as_last},
	{.name = "serve-empty", .prepare = prepare_unserved, .operate = serve_empty},
	{.name = "create-client", .prepare = scenario_base, .operate = create_client},
	{.name = "destroy-client",
	 .prepare = scenario_base,
	 .operate = destroy_client,
	 .then_recover = true},
	{.name = "set-client", .prepare = scenario_base, .operate = set_client},
	{.name = "add-auth", .prepare = scenario_base, .operate = add_auth},
	{.name = "remove-auth", .prepare = scenario_base, .operate = remove_auth},
	{.name = "allow-all", .prepare = scenario_base, .operate = allow_all},
	{.name = "grow-table",
	 .prepare = prepare_full_table,
	 .operate = grow_table,
	 .verify = verify_grown},
	{.name = NULL},
};
