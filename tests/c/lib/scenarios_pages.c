/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Crash scenarios: put, get and flush of pages stored raw. */
#include "scenarios.h"

#include "check.h"

static void put_new_persistent(struct world *world)
{
	world_put(world, ALPHA_PERSISTENT, 1, 5, page_value(PAGE_RAW, 100), TMEM_DONE);
}

static void put_new_ephemeral(struct world *world)
{
	world_put(world, ALPHA_EPHEMERAL, 7, 5, page_value(PAGE_RAW, 100), TMEM_DONE);
}

/* It was flushed before: neither the flushed contents nor anything in between may come back. */
static void put_flushed(struct world *world)
{
	world_put(world, ALPHA_PERSISTENT, 3, 0, page_value(PAGE_RAW, 100), TMEM_DONE);
}

static void replace_persistent(struct world *world)
{
	world_put(world, ALPHA_PERSISTENT, 1, 0, page_value(PAGE_RAW, 100), TMEM_DONE);
}

static void replace_ephemeral(struct world *world)
{
	world_put(world, ALPHA_EPHEMERAL, 1, 0, page_value(PAGE_RAW, 100), TMEM_DONE);
}

static void replace_shared(struct world *world)
{
	world_put(world, BETA_SHARED, 1, 0, page_value(PAGE_RAW, 100), TMEM_DONE);
}

static void get_exclusive(struct world *world)
{
	world_get(world, ALPHA_EPHEMERAL, 1, 0);
}

/* Pages are dated by a clock that ticks once for many puts. */
static void prepare_older_page(struct world *world)
{
	scenario_base(world);
	for (uint32_t i = 0; i < 200; i++)
		world_put(world, ALPHA_EPHEMERAL, 1, 1, page_value(PAGE_SAME, 200 + i), TMEM_DONE);
}

/* Its date changes, so that after recovery, too, it is not the first to be evicted. */
static void get_shared(struct world *world)
{
	world_get(world, BETA_SHARED, 1, 0);
}

static void flush_page_persistent(struct world *world)
{
	world_flush_page(world, ALPHA_PERSISTENT, 1, 0);
}

static void flush_page_shared(struct world *world)
{
	world_flush_page(world, BETA_SHARED, 1, 0);
}

static void flush_range(struct world *world)
{
	world_flush_range(world, ALPHA_PERSISTENT, 1, 1, 500);
}

/* Wider than what the object holds: found by walking the object. */
static void flush_wide_range(struct world *world)
{
	world_flush_range(world, ALPHA_PERSISTENT, 2, 1, UINT64_MAX);
}

static void flush_object(struct world *world)
{
	world_flush_object(world, ALPHA_PERSISTENT, 1);
}

static void flush_pool_persistent(struct world *world)
{
	world_pool_flush(world, ALPHA_PERSISTENT);
}

static void flush_pool_shared(struct world *world)
{
	world_pool_flush(world, BETA_SHARED);
}

/* So many replacements that the generation of the handle is about to wrap. */
static void prepare_wrap(struct world *world)
{
	scenario_base(world);
	for (uint32_t i = 0; i < UINT16_MAX; i++)
		world_put(world, ALPHA_PERSISTENT, 2, 0, page_value(PAGE_SAME, 200 + (i & 1)),
			  TMEM_DONE);
}

static void replace_at_wrap(struct world *world)
{
	world_put(world, ALPHA_PERSISTENT, 2, 0, page_value(PAGE_RAW, 100), TMEM_DONE);
}

static void verify_replaced(struct world *world)
{
	CHECK(scenario_counters(world).puts_replaced > 0);
}

const struct crash_scenario page_scenarios[] = {
	{.name = "put-new-persistent",
	 .prepare = scenario_base,
	 .operate = put_new_persistent,
	 .then_recover = true},
	{.name = "put-new-ephemeral", .prepare = scenario_base, .operate = put_new_ephemeral},
	{.name = "put-flushed-page", .prepare = scenario_base, .operate = put_flushed},
	{.name = "replace-persistent",
	 .prepare = scenario_base,
	 .operate = replace_persistent,
	 .verify = verify_replaced,
	 .then_recover = true},
	{.name = "replace-ephemeral",
	 .prepare = scenario_base,
	 .operate = replace_ephemeral,
	 .verify = verify_replaced},
	{.name = "replace-shared",
	 .prepare = scenario_base,
	 .operate = replace_shared,
	 .verify = verify_replaced},
	{.name = "replace-at-generation-wrap",
	 .prepare = prepare_wrap,
	 .operate = replace_at_wrap,
	 .verify = verify_replaced},
	{.name = "get-exclusive", .prepare = scenario_base, .operate = get_exclusive},
	{.name = "get-shared", .prepare = prepare_older_page, .operate = get_shared},
	{.name = "flush-page-persistent",
	 .prepare = scenario_base,
	 .operate = flush_page_persistent},
	{.name = "flush-page-shared", .prepare = scenario_base, .operate = flush_page_shared},
	{.name = "flush-range", .prepare = scenario_base, .operate = flush_range},
	{.name = "flush-wide-range", .prepare = scenario_base, .operate = flush_wide_range},
	{.name = "flush-object", .prepare = scenario_base, .operate = flush_object},
	{.name = "flush-pool-persistent",
	 .prepare = scenario_base,
	 .operate = flush_pool_persistent,
	 .then_recover = true},
	{.name = "flush-pool-shared", .prepare = scenario_base, .operate = flush_pool_shared},
	{.name = NULL},
};
