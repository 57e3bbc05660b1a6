/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Crash scenarios: growing, shrinking, moving. */
#include "scenarios.h"

#include "check.h"
#include "internal.h"

enum { EXTENT_BYTES = 16 << 10, RAW_PAGES_PER_EXTENT = 3 };

/* ---- growing ---------------------------------------------------------------------------- */

static void prepare_full_extents(struct world *world)
{
	uint64_t index = 0;

	scenario_base(world);
	scenario_before.usage = scenario_usage(world);
	while (scenario_usage(world).resident_bytes == scenario_before.usage.resident_bytes) {
		world_put(world, ALPHA_PERSISTENT, 8, index, page_value(PAGE_RAW, 400), TMEM_DONE);
		index++;
	}
	for (int i = 1; i < RAW_PAGES_PER_EXTENT; i++, index++)
		world_put(world, ALPHA_PERSISTENT, 8, index, page_value(PAGE_RAW, 400), TMEM_DONE);
	scenario_remember(world);
}

static void put_growing(struct world *world)
{
	world_put(world, ALPHA_PERSISTENT, 9, 0, page_value(PAGE_RAW, 100), TMEM_DONE);
}

static void verify_grown(struct world *world)
{
	CHECK(scenario_usage(world).resident_bytes > scenario_before.usage.resident_bytes);
}

/* ---- shrinking -------------------------------------------------------------------------- */

static void shrink_two_extents(struct world *world)
{
	world_shrink(world, 2 * EXTENT_BYTES);
}

static void verify_shrunk(struct world *world)
{
	CHECK_EQ(world->report.returned_bytes, 2 * EXTENT_BYTES);
	CHECK_EQ(scenario_usage(world).resident_bytes + 2 * EXTENT_BYTES,
		 scenario_before.usage.resident_bytes);
}

static void lower_budget(struct world *world)
{
	world_set_budget(world, scenario_before.usage.resident_bytes - 2 * EXTENT_BYTES);
}

static void raise_budget(struct world *world)
{
	world_set_budget(world, world->options.max_bytes);
}

/* A budget is a setting of the running engine, so raising it changes the arena only by what is
 * then put. */
static void prepare_low_budget(struct world *world)
{
	scenario_full_of_ephemeral(world);
	world_set_budget(world, scenario_usage(world).resident_bytes - 2 * EXTENT_BYTES);
	raise_budget(world);
	scenario_remember(world);
}

/* An extent of raw pages becomes one of records only: what was contents is where records go. */
static void prepare_idle_and_no_slot(struct world *world)
{
	const struct tmem_class *empty;

	scenario_ephemeral(world);
	empty = &world->engine->classes[TMEM_CLASS_EMPTY];
	for (uint32_t i = 0; empty->free_slots != 0; i++)
		world_put(world, BETA_PERSISTENT, 9, i, page_value(PAGE_SAME, FIRST_NUMBER + i),
			  TMEM_DONE);
	world_flush_object(world, ALPHA_EPHEMERAL, 8);
	scenario_remember(world);
	CHECK(scenario_before.usage.idle_bytes > 0);
}

static void put_same_filled(struct world *world)
{
	world_put(world, ALPHA_PERSISTENT, 9, 0, page_value(PAGE_SAME, 100), TMEM_DONE);
}

static void verify_reused(struct world *world)
{
	CHECK_EQ(scenario_usage(world).idle_bytes + EXTENT_BYTES, scenario_before.usage.idle_bytes);
}

static void prepare_idle(struct world *world)
{
	scenario_ephemeral(world);
	world_flush_object(world, ALPHA_EPHEMERAL, 8);
	scenario_remember(world);
	CHECK(scenario_before.usage.idle_bytes >= 2 * EXTENT_BYTES);
}

/* Extents of three raw pages, of which every other page and then some are flushed. */
static void prepare_sparse_pages(struct world *world)
{
	scenario_base(world);
	CHECK_EQ(world_fill(world, ALPHA_PERSISTENT, 8, PAGE_RAW, FIRST_NUMBER, 18), 18);
	for (uint64_t index = 0; index < 18; index++)
		if (index % RAW_PAGES_PER_EXTENT != 0)
			world_flush_page(world, ALPHA_PERSISTENT, 8, index);
	scenario_remember(world);
}

static void verify_moved(struct world *world)
{
	CHECK(world->report.moved_pages > 0);
	verify_shrunk(world);
}

/* The same with contents that several pages share. */
static void prepare_sparse_shared(struct world *world)
{
	scenario_base(world);
	scenario_encode(world, ALPHA, TMEM_ENCODING_RAW, true);
	CHECK_EQ(world_fill(world, ALPHA_PERSISTENT, 8, PAGE_RAW, FIRST_NUMBER, 18), 18);
	for (uint32_t index = 0; index < 18; index += RAW_PAGES_PER_EXTENT)
		world_put(world, ALPHA_PERSISTENT, 9, index,
			  page_value(PAGE_RAW, FIRST_NUMBER + index), TMEM_DONE);
	CHECK(scenario_counters(world).deduplicated >= 6);
	for (uint64_t index = 0; index < 18; index++)
		if (index % RAW_PAGES_PER_EXTENT != 0)
			world_flush_page(world, ALPHA_PERSISTENT, 8, index);
	/* one whose owner has gone */
	world_flush_page(world, ALPHA_PERSISTENT, 8, 0);
	scenario_remember(world);
}

/* Tables that were large once, beside pages of all kinds. */
static void prepare_sparse_rows(struct world *world)
{
	enum { FIRST = 5 };

	scenario_base(world);
	for (int client = GAMMA; client < WORLD_CLIENTS; client++)
		world_client_create(world, client);
	for (int pool = FIRST; pool < WORLD_POOLS; pool++)
		world_pool_new(world, pool, BETA, true, WORLD_PRIVATE);
	for (int pool = FIRST; pool < WORLD_POOLS - 2; pool++)
		world_pool_destroy(world, pool);
	for (int client = GAMMA; client < WORLD_CLIENTS - 2; client++)
		world_client_destroy(world, client);
	scenario_remember(world);
}

static void shrink_to_the_last(struct world *world)
{
	world_shrink(world, UINT32_MAX);
}

static void verify_something_returned(struct world *world)
{
	CHECK(world->report.returned_bytes > 0);
	CHECK_EQ(scenario_usage(world).resident_bytes + world->report.returned_bytes,
		 scenario_before.usage.resident_bytes);
}

const struct crash_scenario space_scenarios[] = {
	{.name = "put-growing",
	 .prepare = prepare_full_extents,
	 .operate = put_growing,
	 .verify = verify_grown},
	{.name = "put-into-reused-extent",
	 .prepare = prepare_idle_and_no_slot,
	 .operate = put_same_filled,
	 .verify = verify_reused},
	{.name = "shrink-idle",
	 .prepare = prepare_idle,
	 .operate = shrink_two_extents,
	 .verify = verify_shrunk},
	{.name = "shrink-evicting",
	 .prepare = scenario_ephemeral,
	 .operate = shrink_two_extents,
	 .verify = scenario_verify_evicted,
	 .evicts = true},
	{.name = "lower-budget",
	 .prepare = scenario_ephemeral,
	 .operate = lower_budget,
	 .verify = scenario_verify_evicted,
	 .evicts = true},
	{.name = "put-after-raised-budget",
	 .prepare = prepare_low_budget,
	 .operate = put_growing,
	 .verify = verify_grown,
	 .max_bytes = SMALL_ARENA_BYTES,
	 .evicts = true},
	{.name = "move-pages",
	 .prepare = prepare_sparse_pages,
	 .operate = shrink_two_extents,
	 .verify = verify_moved,
	 .then_recover = true},
	{.name = "move-shared-contents",
	 .prepare = prepare_sparse_shared,
	 .operate = shrink_two_extents,
	 .verify = verify_moved,
	 .then_recover = true},
	{.name = "shrink-to-the-last",
	 .prepare = prepare_sparse_rows,
	 .operate = shrink_to_the_last,
	 .verify = verify_something_returned,
	 .evicts = true},
	{.name = NULL},
};
