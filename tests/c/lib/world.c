/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "world.h"

#include <stdio.h>
#include <string.h>

#include "check.h"
#include "page.h"

void world_init(struct world *world, const char *name, uint64_t max_bytes)
{
	memset(world, 0, sizeof(*world));
	scratch_path(world->path, name);
	world->options = (struct tmem_options){
		.budget_bytes = max_bytes,
		.max_bytes = max_bytes,
		.extent_bytes = 16 << 10,
		.create = 1,
	};
	for (int i = 0; i < WORLD_POOLS; i++)
		world->pools[i].id = -1;
}

void world_client_name(int client, char *name)
{
	snprintf(name, TMEM_CLIENT_NAME_MAX + 1, "client-%d", client);
}

void world_uuid(int uuid, uint8_t *bytes)
{
	memset(bytes, 0xa0 + uuid, TMEM_UUID_BYTES);
}

struct tmem_oid world_oid(uint64_t object)
{
	return (struct tmem_oid){.words = {object, ~object, 7}};
}

struct tmem_client_settings world_settings(const struct world *world, int client)
{
	return world->clients[client].state[WORLD_AFTER].settings;
}

struct world_page *world_page(struct world *world, int store, uint64_t object, uint64_t index)
{
	struct world_page *page;

	for (uint32_t i = 0; i < world->page_count; i++) {
		page = &world->pages[i];
		if (page->store == store && page->object == object && page->index == index)
			return page;
	}
	CHECK(world->page_count < WORLD_PAGES);
	page = &world->pages[world->page_count++];
	*page = (struct world_page){.store = store, .object = object, .index = index};
	return page;
}

static void set_value(struct world *world, struct world_page *page, uint32_t value)
{
	for (int moment = world_first_moment(world); moment < WORLD_MOMENTS; moment++)
		page->value[moment] = value;
}

void world_empty_store(struct world *world, int store)
{
	for (uint32_t i = 0; i < world->page_count; i++)
		if (world->pages[i].store == store)
			set_value(world, &world->pages[i], 0);
}

void world_open(struct world *world)
{
	struct tmem_error error;
	char name[TMEM_CLIENT_NAME_MAX + 1];

	if (!world_runs(world))
		return;
	if (tmem_engine_open(world->path, &world->options, &world->engine, &error) != 0)
		check_failed(__FILE__, __LINE__, "cannot open the arena: %s", error.message);
	if (world->phase != WORLD_PREPARE)
		return;
	for (int i = 0; i < WORLD_CLIENTS; i++) {
		if (!world->clients[i].state[WORLD_BEFORE].exists)
			continue;
		world_client_name(i, name);
		CHECK_EQ(tmem_client_find(world->engine, name, &world->clients[i].ref), 0);
	}
}

void world_close(struct world *world)
{
	if (!world_runs(world))
		return;
	for (int i = 0; i < WORLD_CLIENTS; i++) {
		tmem_client_release(world->clients[i].ref);
		world->clients[i].ref = NULL;
	}
	tmem_engine_close(world->engine);
	world->engine = NULL;
}

void world_set_shared_auth_all(struct world *world, int allow)
{
	if (world_models(world))
		for (int moment = world_first_moment(world); moment < WORLD_MOMENTS; moment++)
			world->shared_auth_all[moment] = allow;
	if (world_runs(world))
		CHECK_EQ(tmem_engine_set_shared_auth_all(world->engine, allow), 0);
}

void world_set_budget(struct world *world, uint64_t budget_bytes)
{
	if (world_runs(world))
		CHECK_EQ(tmem_engine_set_budget(world->engine, budget_bytes, &world->report), 0);
}

void world_shrink(struct world *world, uint64_t bytes)
{
	if (world_runs(world))
		tmem_engine_shrink(world->engine, bytes, &world->report);
}

void world_put(struct world *world, int pool, uint64_t object, uint64_t index, uint32_t value,
	       int expected)
{
	struct world_pool *p = &world->pools[pool];
	struct tmem_oid oid = world_oid(object);

	if (world_models(world)) {
		page_make(world->operand, value);
		set_value(world, world_page(world, p->store, object, index),
			  expected == TMEM_DONE ? value : 0);
	}
	if (world_runs(world))
		CHECK_EQ(tmem_put(world->clients[p->client].ref, (uint32_t)p->id, &oid, index,
				  world->operand),
			 expected);
}

uint32_t world_fill(struct world *world, int pool, uint64_t object, uint32_t fill, uint32_t number,
		    uint32_t limit)
{
	struct world_pool *p = &world->pools[pool];
	struct tmem_oid oid = world_oid(object);

	CHECK(world->phase == WORLD_PREPARE);
	for (uint32_t i = 0; i < limit; i++) {
		uint32_t value = page_value(fill, number + i);

		page_make(world->operand, value);
		if (tmem_put(world->clients[p->client].ref, (uint32_t)p->id, &oid, i,
			     world->operand) != TMEM_DONE)
			return i;
		set_value(world, world_page(world, p->store, object, i), value);
	}
	return limit;
}

void world_get(struct world *world, int pool, uint64_t object, uint64_t index)
{
	struct world_pool *p = &world->pools[pool];
	struct tmem_oid oid = world_oid(object);

	if (world_models(world) && !p->persistent && p->uuid == WORLD_PRIVATE)
		set_value(world, world_page(world, p->store, object, index), 0);
	if (world_runs(world))
		CHECK_EQ(tmem_get(world->clients[p->client].ref, (uint32_t)p->id, &oid, index,
				  world->operand),
			 TMEM_DONE);
}

void world_flush_page(struct world *world, int pool, uint64_t object, uint64_t index)
{
	struct world_pool *p = &world->pools[pool];
	struct tmem_oid oid = world_oid(object);

	if (world_models(world))
		set_value(world, world_page(world, p->store, object, index), 0);
	if (world_runs(world))
		CHECK_EQ(tmem_flush_page(world->clients[p->client].ref, (uint32_t)p->id, &oid,
					 index),
			 TMEM_DONE);
}

void world_flush_range(struct world *world, int pool, uint64_t object, uint64_t first,
		       uint64_t count)
{
	struct world_pool *p = &world->pools[pool];
	struct tmem_oid oid = world_oid(object);

	for (uint32_t i = 0; world_models(world) && i < world->page_count; i++) {
		struct world_page *page = &world->pages[i];

		if (page->store == p->store && page->object == object &&
		    page->index - first < count)
			set_value(world, page, 0);
	}
	if (world_runs(world))
		CHECK_EQ(tmem_flush_range(world->clients[p->client].ref, (uint32_t)p->id, &oid,
					  first, count),
			 TMEM_DONE);
}

void world_flush_object(struct world *world, int pool, uint64_t object)
{
	struct world_pool *p = &world->pools[pool];
	struct tmem_oid oid = world_oid(object);

	for (uint32_t i = 0; world_models(world) && i < world->page_count; i++)
		if (world->pages[i].store == p->store && world->pages[i].object == object)
			set_value(world, &world->pages[i], 0);
	if (world_runs(world))
		CHECK_EQ(tmem_flush_object(world->clients[p->client].ref, (uint32_t)p->id, &oid),
			 TMEM_DONE);
}
