/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Crash scenarios: encodings, changes of size class, and contents shared by several pages. */
#include "scenarios.h"

#include "check.h"

static void prepare_lz4(struct world *world)
{
	scenario_base(world);
	scenario_encode(world, ALPHA, TMEM_ENCODING_LZ4, false);
	world_put(world, ALPHA_PERSISTENT, 4, 0, page_value(PAGE_HALF, 100), TMEM_DONE);
	world_put(world, ALPHA_PERSISTENT, 4, 1, page_value(PAGE_SMALL, 101), TMEM_DONE);
	CHECK(scenario_counters(world).encoded_lz4 == 2);
}

static void prepare_zstd(struct world *world)
{
	scenario_base(world);
	scenario_encode(world, ALPHA, TMEM_ENCODING_ZSTD, false);
	world_put(world, ALPHA_PERSISTENT, 4, 0, page_value(PAGE_HALF, 100), TMEM_DONE);
	CHECK(scenario_counters(world).encoded_zstd == 1);
}

static void put_half(struct world *world)
{
	world_put(world, ALPHA_PERSISTENT, 4, 9, page_value(PAGE_HALF, 110), TMEM_DONE);
}

static void replace_half_by_half(struct world *world)
{
	world_put(world, ALPHA_PERSISTENT, 4, 0, page_value(PAGE_HALF, 110), TMEM_DONE);
}

static void replace_small_by_raw(struct world *world)
{
	world_put(world, ALPHA_PERSISTENT, 4, 1, page_value(PAGE_RAW, 110), TMEM_DONE);
}

static void put_same(struct world *world)
{
	world_put(world, ALPHA_PERSISTENT, 4, 9, page_value(PAGE_SAME, 110), TMEM_DONE);
}

static void replace_raw_by_same(struct world *world)
{
	world_put(world, ALPHA_PERSISTENT, 1, 0, page_value(PAGE_SAME, 110), TMEM_DONE);
}

static void replace_same_by_raw(struct world *world)
{
	world_put(world, ALPHA_PERSISTENT, 1, 2, page_value(PAGE_RAW, 110), TMEM_DONE);
}

/* ---- shared contents: object 5 page 0 is put first, pages 1, 2 and another pool's refer to it */

enum { SHARED_NUMBER = 300 };

static void prepare_dedup(struct world *world)
{
	uint32_t value = page_value(PAGE_RAW, SHARED_NUMBER);

	scenario_base(world);
	world_pool_new(world, NEW_POOL, ALPHA, true, WORLD_PRIVATE);
	scenario_encode(world, ALPHA, TMEM_ENCODING_RAW, true);
	world_put(world, ALPHA_PERSISTENT, 5, 0, value, TMEM_DONE);
	world_put(world, ALPHA_PERSISTENT, 5, 1, value, TMEM_DONE);
	world_put(world, ALPHA_PERSISTENT, 5, 2, value, TMEM_DONE);
	world_put(world, NEW_POOL, 5, 0, value, TMEM_DONE);
	world_put(world, ALPHA_EPHEMERAL, 5, 0, value, TMEM_DONE);
	CHECK_EQ(scenario_counters(world).deduplicated, 4);
}

static void put_duplicate(struct world *world)
{
	world_put(world, ALPHA_PERSISTENT, 6, 0, page_value(PAGE_RAW, SHARED_NUMBER), TMEM_DONE);
}

static void replace_by_duplicate(struct world *world)
{
	world_put(world, ALPHA_PERSISTENT, 1, 0, page_value(PAGE_RAW, SHARED_NUMBER), TMEM_DONE);
}

static void flush_owner(struct world *world)
{
	world_flush_page(world, ALPHA_PERSISTENT, 5, 0);
}

static void flush_reference(struct world *world)
{
	world_flush_page(world, ALPHA_PERSISTENT, 5, 1);
}

static void replace_owner(struct world *world)
{
	world_put(world, ALPHA_PERSISTENT, 5, 0, page_value(PAGE_RAW, 301), TMEM_DONE);
}

static void replace_reference(struct world *world)
{
	world_put(world, ALPHA_PERSISTENT, 5, 1, page_value(PAGE_RAW, 301), TMEM_DONE);
}

static void replace_owner_by_itself(struct world *world)
{
	world_put(world, ALPHA_PERSISTENT, 5, 0, page_value(PAGE_RAW, SHARED_NUMBER), TMEM_DONE);
}

static void get_exclusive_reference(struct world *world)
{
	world_get(world, ALPHA_EPHEMERAL, 5, 0);
}

/* Contents outlive the pool of the page that brought them. */
static void flush_owner_pool(struct world *world)
{
	world_pool_flush(world, ALPHA_PERSISTENT);
}

static void destroy_owner_pool(struct world *world)
{
	world_pool_destroy(world, ALPHA_PERSISTENT);
}

static void prepare_ownerless(struct world *world)
{
	prepare_dedup(world);
	world_flush_object(world, ALPHA_PERSISTENT, 5);
	world_get(world, ALPHA_EPHEMERAL, 5, 0);
}

/* The last reference goes, and with it contents that have had no page of their own. */
static void flush_last_reference(struct world *world)
{
	world_flush_page(world, NEW_POOL, 5, 0);
}

static void put_again(struct world *world)
{
	world_put(world, ALPHA_PERSISTENT, 5, 0, page_value(PAGE_RAW, SHARED_NUMBER), TMEM_DONE);
}

const struct crash_scenario encoding_scenarios[] = {
	{.name = "put-lz4", .prepare = prepare_lz4, .operate = put_half},
	{.name = "replace-lz4", .prepare = prepare_lz4, .operate = replace_half_by_half},
	{.name = "replace-lz4-by-raw", .prepare = prepare_lz4, .operate = replace_small_by_raw},
	{.name = "put-zstd", .prepare = prepare_zstd, .operate = put_half},
	{.name = "put-same-filled", .prepare = scenario_base, .operate = put_same},
	{.name = "replace-raw-by-same-filled",
	 .prepare = scenario_base,
	 .operate = replace_raw_by_same},
	{.name = "replace-same-filled-by-raw",
	 .prepare = scenario_base,
	 .operate = replace_same_by_raw},
	{.name = "dedup-put", .prepare = prepare_dedup, .operate = put_duplicate},
	{.name = "dedup-replace-by-duplicate",
	 .prepare = prepare_dedup,
	 .operate = replace_by_duplicate},
	{.name = "dedup-flush-owner", .prepare = prepare_dedup, .operate = flush_owner},
	{.name = "dedup-flush-reference", .prepare = prepare_dedup, .operate = flush_reference},
	{.name = "dedup-replace-owner",
	 .prepare = prepare_dedup,
	 .operate = replace_owner,
	 .then_recover = true},
	{.name = "dedup-replace-reference", .prepare = prepare_dedup, .operate = replace_reference},
	{.name = "dedup-replace-owner-by-itself",
	 .prepare = prepare_dedup,
	 .operate = replace_owner_by_itself},
	{.name = "dedup-get-exclusive",
	 .prepare = prepare_dedup,
	 .operate = get_exclusive_reference},
	{.name = "dedup-flush-owner-pool", .prepare = prepare_dedup, .operate = flush_owner_pool},
	{.name = "dedup-destroy-owner-pool",
	 .prepare = prepare_dedup,
	 .operate = destroy_owner_pool,
	 .then_recover = true},
	{.name = "dedup-flush-last-reference",
	 .prepare = prepare_ownerless,
	 .operate = flush_last_reference},
	{.name = "dedup-put-ownerless", .prepare = prepare_ownerless, .operate = put_again},
	{.name = NULL},
};
