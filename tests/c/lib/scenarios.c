/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "scenarios.h"

#include "check.h"
#include "internal.h"

struct scenario_before scenario_before;

void scenario_encode(struct world *world, int client, enum tmem_encoding encoding, bool dedup)
{
	struct tmem_client_settings settings = world_settings(world, client);

	settings.encoding = encoding;
	settings.dedup = dedup;
	settings.zstd_level = 1;
	world_client_set(world, client, &settings);
}

void scenario_tables(struct world *world)
{
	world_open(world);
	world_client_create(world, ALPHA);
	world_client_create(world, BETA);
	scenario_encode(world, ALPHA, TMEM_ENCODING_RAW, false);
	scenario_encode(world, BETA, TMEM_ENCODING_RAW, false);
	world_auth_add(world, ALPHA, 0);
	world_auth_add(world, BETA, 0);
	world_pool_new(world, ALPHA_PERSISTENT, ALPHA, true, WORLD_PRIVATE);
	world_pool_new(world, ALPHA_EPHEMERAL, ALPHA, false, WORLD_PRIVATE);
	world_pool_new(world, ALPHA_SHARED, ALPHA, false, 0);
	world_pool_new(world, BETA_SHARED, BETA, false, 0);
	world_pool_new(world, BETA_PERSISTENT, BETA, true, WORLD_PRIVATE);
}

void scenario_base(struct world *world)
{
	scenario_tables(world);
	world_put(world, ALPHA_PERSISTENT, 1, 0, page_value(PAGE_RAW, 10), TMEM_DONE);
	world_put(world, ALPHA_PERSISTENT, 1, 1, page_value(PAGE_HALF, 11), TMEM_DONE);
	world_put(world, ALPHA_PERSISTENT, 1, 2, page_value(PAGE_SAME, 12), TMEM_DONE);
	world_put(world, ALPHA_PERSISTENT, 2, 0, page_value(PAGE_RAW, 13), TMEM_DONE);
	world_put(world, ALPHA_PERSISTENT, 2, 1000, page_value(PAGE_RAW, 14), TMEM_DONE);
	world_put(world, BETA_PERSISTENT, 1, 0, page_value(PAGE_RAW, 20), TMEM_DONE);
	world_put(world, ALPHA_EPHEMERAL, 1, 0, page_value(PAGE_RAW, 30), TMEM_DONE);
	world_put(world, ALPHA_EPHEMERAL, 1, 1, page_value(PAGE_RAW, 31), TMEM_DONE);
	world_put(world, ALPHA_SHARED, 1, 0, page_value(PAGE_RAW, 40), TMEM_DONE);
	world_put(world, BETA_SHARED, 1, 1, page_value(PAGE_RAW, 41), TMEM_DONE);
	for (int pool = ALPHA_PERSISTENT; pool <= ALPHA_SHARED; pool++)
		for (uint64_t index = 0; index < 2; index++) {
			world_put(world, pool, 3, index, page_value(PAGE_RAW, 50), TMEM_DONE);
			world_flush_page(world, pool, 3, index);
		}
}

struct tmem_counters scenario_counters(struct world *world)
{
	struct tmem_counters counters;

	tmem_engine_counters(world->engine, &counters);
	return counters;
}

struct tmem_usage scenario_usage(struct world *world)
{
	struct tmem_usage usage;

	tmem_engine_usage(world->engine, &usage);
	return usage;
}

void scenario_remember(struct world *world)
{
	scenario_before.counters = scenario_counters(world);
	scenario_before.usage = scenario_usage(world);
}

void scenario_verify_evicted(struct world *world)
{
	CHECK(scenario_counters(world).evicted > scenario_before.counters.evicted);
}

void scenario_ephemeral(struct world *world)
{
	scenario_base(world);
	world_fill(world, ALPHA_EPHEMERAL, 8, PAGE_RAW, FIRST_NUMBER, 15);
	scenario_remember(world);
}

void scenario_full_of_ephemeral(struct world *world)
{
	const struct tmem_class *raw;

	scenario_base(world);
	raw = &world->engine->classes[TMEM_CLASS_RAW];
	for (uint32_t i = 0; scenario_counters(world).evicted < 20 || raw->free_slots != 0; i++)
		world_put(world, ALPHA_EPHEMERAL, 8, i, page_value(PAGE_RAW, FIRST_NUMBER + i),
			  TMEM_DONE);
	scenario_remember(world);
}
