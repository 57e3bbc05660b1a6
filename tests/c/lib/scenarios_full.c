/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Crash scenarios: an arena, a quota or a table without room. */
#include "scenarios.h"

#include "check.h"
#include "internal.h"

enum { PLENTY = 200 }; /* pages: more than a small arena holds */

static void put_evicting(struct world *world)
{
	world_put(world, ALPHA_PERSISTENT, 1, 5, page_value(PAGE_RAW, 100), TMEM_DONE);
}

/* There is no extent of this class: a raw page makes way, and its place is used. */
static void put_evicting_other_class(struct world *world)
{
	world_put(world, ALPHA_PERSISTENT, 1, 5, page_value(PAGE_SMALL, 100), TMEM_DONE);
}

static void prepare_other_class(struct world *world)
{
	scenario_full_of_ephemeral(world);
	scenario_encode(world, ALPHA, TMEM_ENCODING_LZ4, false);
}

static void replace_evicting(struct world *world)
{
	world_put(world, ALPHA_PERSISTENT, 1, 0, page_value(PAGE_RAW, 100), TMEM_DONE);
}

static void prepare_full_of_persistent(struct world *world)
{
	scenario_base(world);
	world_flush_object(world, ALPHA_EPHEMERAL, 1);
	world_flush_object(world, ALPHA_SHARED, 1);
	CHECK(world_fill(world, ALPHA_PERSISTENT, 8, PAGE_RAW, FIRST_NUMBER, PLENTY) < PLENTY);
	scenario_remember(world);
}

/* A refused put leaves no older copy (B), and until then the older copy is whole. */
static void replace_refused(struct world *world)
{
	world_put(world, ALPHA_PERSISTENT, 1, 2, page_value(PAGE_RAW, 100), TMEM_ENOSPC);
}

static void prepare_quota(struct world *world)
{
	struct tmem_client_settings settings;
	struct tmem_client_info info;

	scenario_base(world);
	tmem_client_info(world->clients[ALPHA].ref, &info);
	settings = world_settings(world, ALPHA);
	settings.persistent_quota_bytes = info.persistent_bytes;
	world_client_set(world, ALPHA, &settings);
}

static void reclaim(struct world *world)
{
	world_reclaim(world, ALPHA, 2 * TMEM_PAGE_BYTES);
}

static void verify_reclaimed(struct world *world)
{
	CHECK(world->freed_bytes >= 2 * TMEM_PAGE_BYTES);
	scenario_verify_evicted(world);
}

/* ---- no room for a row either ----------------------------------------------------------- */

/* Neither a row nor a page can be added, and there is nothing that could be evicted. */
static void prepare_no_room_for_rows(struct world *world)
{
	const struct tmem_class *rows;
	int client = GAMMA;

	scenario_base(world);
	world_flush_object(world, ALPHA_EPHEMERAL, 1);
	world_flush_object(world, ALPHA_SHARED, 1);
	rows = &world->engine->classes[TMEM_CLASS_ROW];
	for (; rows->free_slots != 0 && client < WORLD_CLIENTS; client++)
		world_client_create(world, client);
	for (int uuid = 1; rows->free_slots != 0 && uuid < WORLD_UUIDS; uuid++)
		world_auth_add(world, ALPHA, uuid);
	for (int pool = NEW_POOL; rows->free_slots > 1 && pool < WORLD_POOLS; pool++)
		world_pool_new(world, pool, ALPHA, true, WORLD_PRIVATE);
	if (rows->free_slots != 0)
		world_auth_add(world, BETA, 1);
	CHECK(rows->free_slots == 0);
	CHECK(world_fill(world, BETA_PERSISTENT, 8, PAGE_RAW, FIRST_NUMBER, PLENTY) < PLENTY);
}

static void flush_pool(struct world *world)
{
	world_pool_flush(world, ALPHA_PERSISTENT);
}

/* What is put after the flush must outlive a restart. */
static void verify_flushed_for_good(struct world *world)
{
	world->phase = WORLD_PREPARE;
	world_put(world, ALPHA_PERSISTENT, 10, 0, page_value(PAGE_RAW, 101), TMEM_DONE);
	world_close(world);
	world_open(world);
	world_get(world, ALPHA_PERSISTENT, 10, 0);
	CHECK(page_equals(world->operand, page_value(PAGE_RAW, 101)));
}

const struct crash_scenario full_scenarios[] = {
	{.name = "put-evicting",
	 .prepare = scenario_full_of_ephemeral,
	 .operate = put_evicting,
	 .verify = scenario_verify_evicted,
	 .max_bytes = SMALL_ARENA_BYTES,
	 .evicts = true},
	{.name = "put-evicting-other-class",
	 .prepare = prepare_other_class,
	 .operate = put_evicting_other_class,
	 .verify = scenario_verify_evicted,
	 .max_bytes = SMALL_ARENA_BYTES,
	 .evicts = true},
	{.name = "replace-evicting",
	 .prepare = scenario_full_of_ephemeral,
	 .operate = replace_evicting,
	 .verify = scenario_verify_evicted,
	 .max_bytes = SMALL_ARENA_BYTES,
	 .evicts = true,
	 .then_recover = true},
	{.name = "replace-refused-full",
	 .prepare = prepare_full_of_persistent,
	 .operate = replace_refused,
	 .max_bytes = SMALL_ARENA_BYTES},
	{.name = "replace-refused-quota", .prepare = prepare_quota, .operate = replace_refused},
	{.name = "flush-pool-without-room",
	 .prepare = prepare_no_room_for_rows,
	 .operate = flush_pool,
	 .verify = verify_flushed_for_good,
	 .max_bytes = SMALL_ARENA_BYTES},
	{.name = "reclaim",
	 .prepare = scenario_ephemeral,
	 .operate = reclaim,
	 .verify = verify_reclaimed,
	 .evicts = true},
	{.name = NULL},
};
