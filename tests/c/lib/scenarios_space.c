/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Crash scenarios: a full arena, eviction, growing, shrinking, moving. */
#include "scenarios.h"

#include "check.h"
#include "internal.h"

enum {
	EXTENT_BYTES = 16 << 10,
	RAW_PAGES_PER_EXTENT = 3,
	SMALL_ARENA_BYTES = 192 << 10,
	FIRST_NUMBER = 1000,
	PLENTY = 200, /* pages: more than a small arena holds */
};

/* What the operation is to change; kept by the child between preparing and verifying. */
static struct tmem_counters counters_before;
static struct tmem_usage usage_before;

static void remember(struct world *world)
{
	counters_before = scenario_counters(world);
	usage_before = scenario_usage(world);
}

static void verify_evicted(struct world *world)
{
	CHECK(scenario_counters(world).evicted > counters_before.evicted);
}

/* ---- a full arena ----------------------------------------------------------------------- */

/* Eviction makes room for a few pages at a time: the next put must be one that needs it. */
static void prepare_full_of_ephemeral(struct world *world)
{
	const struct tmem_class *raw;

	scenario_base(world);
	raw = &world->engine->classes[TMEM_CLASS_RAW];
	for (uint32_t i = 0; scenario_counters(world).evicted < 20 || raw->free_slots != 0; i++)
		world_put(world, ALPHA_EPHEMERAL, 8, i, page_value(PAGE_RAW, FIRST_NUMBER + i),
			  TMEM_DONE);
	remember(world);
}

static void put_evicting(struct world *world)
{
	world_put(world, ALPHA_PERSISTENT, 1, 5, page_value(PAGE_RAW, 100), TMEM_DONE);
}

/* There is no extent of this class: one has to be emptied of raw pages first. */
static void put_evicting_other_class(struct world *world)
{
	world_put(world, ALPHA_PERSISTENT, 1, 5, page_value(PAGE_SMALL, 100), TMEM_DONE);
}

static void prepare_other_class(struct world *world)
{
	prepare_full_of_ephemeral(world);
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
	remember(world);
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
	verify_evicted(world);
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

/* ---- growing ---------------------------------------------------------------------------- */

static void prepare_full_extents(struct world *world)
{
	uint64_t index = 0;

	scenario_base(world);
	usage_before = scenario_usage(world);
	while (scenario_usage(world).resident_bytes == usage_before.resident_bytes) {
		world_put(world, ALPHA_PERSISTENT, 8, index, page_value(PAGE_RAW, 400), TMEM_DONE);
		index++;
	}
	for (int i = 1; i < RAW_PAGES_PER_EXTENT; i++, index++)
		world_put(world, ALPHA_PERSISTENT, 8, index, page_value(PAGE_RAW, 400), TMEM_DONE);
	remember(world);
}

static void put_growing(struct world *world)
{
	world_put(world, ALPHA_PERSISTENT, 9, 0, page_value(PAGE_RAW, 100), TMEM_DONE);
}

static void verify_grown(struct world *world)
{
	CHECK(scenario_usage(world).resident_bytes > usage_before.resident_bytes);
}

/* ---- shrinking -------------------------------------------------------------------------- */

static void prepare_ephemeral(struct world *world)
{
	scenario_base(world);
	world_fill(world, ALPHA_EPHEMERAL, 8, PAGE_RAW, FIRST_NUMBER, 15);
	remember(world);
}

static void shrink_two_extents(struct world *world)
{
	world_shrink(world, 2 * EXTENT_BYTES);
}

static void verify_shrunk(struct world *world)
{
	CHECK_EQ(world->report.returned_bytes, 2 * EXTENT_BYTES);
	CHECK_EQ(scenario_usage(world).resident_bytes + 2 * EXTENT_BYTES,
		 usage_before.resident_bytes);
}

static void lower_budget(struct world *world)
{
	world_set_budget(world, usage_before.resident_bytes - 2 * EXTENT_BYTES);
}

static void raise_budget(struct world *world)
{
	world_set_budget(world, world->options.max_bytes);
}

/* A budget is a setting of the running engine, so raising it changes the arena only by what is
 * then put. */
static void prepare_low_budget(struct world *world)
{
	prepare_full_of_ephemeral(world);
	world_set_budget(world, scenario_usage(world).resident_bytes - 2 * EXTENT_BYTES);
	raise_budget(world);
	remember(world);
}

/* An extent of raw pages becomes one of records only: what was contents is where records go. */
static void prepare_idle_and_no_slot(struct world *world)
{
	const struct tmem_class *empty;

	prepare_ephemeral(world);
	empty = &world->engine->classes[TMEM_CLASS_EMPTY];
	for (uint32_t i = 0; empty->free_slots != 0; i++)
		world_put(world, BETA_PERSISTENT, 9, i, page_value(PAGE_SAME, FIRST_NUMBER + i),
			  TMEM_DONE);
	world_flush_object(world, ALPHA_EPHEMERAL, 8);
	remember(world);
	CHECK(usage_before.idle_bytes > 0);
}

static void put_same_filled(struct world *world)
{
	world_put(world, ALPHA_PERSISTENT, 9, 0, page_value(PAGE_SAME, 100), TMEM_DONE);
}

static void verify_reused(struct world *world)
{
	CHECK_EQ(scenario_usage(world).idle_bytes + EXTENT_BYTES, usage_before.idle_bytes);
}

static void prepare_idle(struct world *world)
{
	prepare_ephemeral(world);
	world_flush_object(world, ALPHA_EPHEMERAL, 8);
	remember(world);
	CHECK(usage_before.idle_bytes >= 2 * EXTENT_BYTES);
}

/* Extents of three raw pages, of which every other page and then some are flushed. */
static void prepare_sparse_pages(struct world *world)
{
	scenario_base(world);
	CHECK_EQ(world_fill(world, ALPHA_PERSISTENT, 8, PAGE_RAW, FIRST_NUMBER, 18), 18);
	for (uint64_t index = 0; index < 18; index++)
		if (index % RAW_PAGES_PER_EXTENT != 0)
			world_flush_page(world, ALPHA_PERSISTENT, 8, index);
	remember(world);
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
	remember(world);
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
	remember(world);
}

static void shrink_to_the_last(struct world *world)
{
	world_shrink(world, UINT32_MAX);
}

static void verify_something_returned(struct world *world)
{
	CHECK(world->report.returned_bytes > 0);
	CHECK_EQ(scenario_usage(world).resident_bytes + world->report.returned_bytes,
		 usage_before.resident_bytes);
}

const struct crash_scenario space_scenarios[] = {
	{.name = "put-evicting",
	 .prepare = prepare_full_of_ephemeral,
	 .operate = put_evicting,
	 .verify = verify_evicted,
	 .max_bytes = SMALL_ARENA_BYTES,
	 .evicts = true},
	{.name = "put-evicting-other-class",
	 .prepare = prepare_other_class,
	 .operate = put_evicting_other_class,
	 .verify = verify_evicted,
	 .max_bytes = SMALL_ARENA_BYTES,
	 .evicts = true},
	{.name = "replace-evicting",
	 .prepare = prepare_full_of_ephemeral,
	 .operate = replace_evicting,
	 .verify = verify_evicted,
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
	 .prepare = prepare_ephemeral,
	 .operate = reclaim,
	 .verify = verify_reclaimed,
	 .evicts = true},
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
	 .prepare = prepare_ephemeral,
	 .operate = shrink_two_extents,
	 .verify = verify_evicted,
	 .evicts = true},
	{.name = "lower-budget",
	 .prepare = prepare_ephemeral,
	 .operate = lower_budget,
	 .verify = verify_evicted,
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
