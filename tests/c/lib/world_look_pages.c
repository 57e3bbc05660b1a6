/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Looking at the pages of a recovered arena, and using it. */
#include <string.h>

#include "page.h"
#include "world_look.h"

/* A pool through which the pages of @store can be reached, or -1. */
static int way_to(const struct world_look *look, int store)
{
	for (int i = 0; i < WORLD_POOLS; i++)
		if (look->seen.pool_id[i] >= 0 && look->world->pools[i].store == store)
			return i;
	return -1;
}

static bool changes(const struct world_page *page)
{
	return page->value[WORLD_BEFORE] != page->value[WORLD_AFTER];
}

static bool may_read(const struct world_look *look, const struct world_page *page, bool persistent,
		     uint32_t value)
{
	for (int m = 0; m < WORLD_MOMENTS; m++)
		if ((look->moments >> m & 1) != 0 && page->value[m] == value)
			return true;
	if (value != 0 || persistent)
		return false;
	return look->world->evicts || (look->moments == WORLD_AT_EITHER && changes(page));
}

static int read_page(struct world_look *look, const struct world_page *page, uint32_t *value)
{
	int pool = way_to(look, page->store);
	struct tmem_oid oid = world_oid(page->object);
	unsigned char contents[TMEM_PAGE_BYTES];
	int result;

	*value = 0;
	if (pool < 0)
		return 0;
	result = tmem_get(look->refs[look->world->pools[pool].client],
			  (uint32_t)look->seen.pool_id[pool], &oid, page->index, contents);
	if (result == TMEM_MISS || result == TMEM_EEMPTY)
		return 0;
	LOOK_REQUIRE(look, result == TMEM_DONE, "get of store %d object %llu page %llu gives %d",
		     page->store, (unsigned long long)page->object, (unsigned long long)page->index,
		     result);
	*value = page_read(contents);
	LOOK_REQUIRE(look, *value != 0, "store %d object %llu page %llu is torn", page->store,
		     (unsigned long long)page->object, (unsigned long long)page->index);
	return 0;
}

/* R(1): whoever has left a shared pool has emptied it. */
static bool left_behind(const struct world_look *look, int store)
{
	for (int i = 0; i < WORLD_POOLS; i++) {
		const struct world_pool *pool = &look->world->pools[i];

		if (pool->store == store && pool->exists[WORLD_BEFORE] && look->seen.pool_id[i] < 0)
			return true;
	}
	return false;
}

static int count_pages(struct world_look *look, bool persistent)
{
	const struct world *world = look->world;

	for (int i = 0; i < WORLD_POOLS; i++) {
		uint64_t found = 0;

		if (look->seen.pool_id[i] < 0 || world->pools[i].persistent != persistent)
			continue;
		for (uint32_t n = 0; n < world->page_count; n++)
			found += world->pages[n].store == world->pools[i].store &&
				 look->seen.value[n] != 0;
		LOOK_REQUIRE(look, look->seen.pool_pages[i] == found,
			     "pool %d counts %llu pages, %llu can be read", i,
			     (unsigned long long)look->seen.pool_pages[i],
			     (unsigned long long)found);
	}
	return 0;
}

int look_pages(struct world_look *look, bool persistent)
{
	const struct world *world = look->world;

	for (uint32_t i = 0; i < world->page_count; i++) {
		const struct world_page *page = &world->pages[i];
		uint32_t value;

		if (world->pools[page->store].persistent != persistent)
			continue;
		if (read_page(look, page, &value) != 0)
			return -1;
		LOOK_REQUIRE(look, may_read(look, page, persistent, value),
			     "store %d object %llu page %llu reads %#x, was %#x, becomes %#x",
			     page->store, (unsigned long long)page->object,
			     (unsigned long long)page->index, value, page->value[WORLD_BEFORE],
			     page->value[WORLD_AFTER]);
		LOOK_REQUIRE(look, value == 0 || !left_behind(look, page->store),
			     "store %d object %llu page %llu outlives a member that left",
			     page->store, (unsigned long long)page->object,
			     (unsigned long long)page->index);
		look->seen.value[i] = value;
	}
	return count_pages(look, persistent);
}

static bool refusal_for_room(int result)
{
	return result == TMEM_ENOMEM || result == TMEM_ENOSPC || result == TMEM_EDQUOT;
}

/* Put, get and flush, by client @ref in its pool @id. */
static int use(struct world_look *look, struct tmem_client *ref, uint32_t id, uint64_t object,
	       uint64_t index)
{
	uint32_t value = page_value(PAGE_RAW, 0xfffffff);
	struct tmem_oid oid = world_oid(object);
	unsigned char contents[TMEM_PAGE_BYTES];
	int result;

	page_make(contents, value);
	result = tmem_put(ref, id, &oid, index, contents);
	LOOK_REQUIRE(look, result == TMEM_DONE || refusal_for_room(result),
		     "after recovery a put gives %d", result);
	if (result == TMEM_DONE) {
		memset(contents, 0, sizeof(contents));
		result = tmem_get(ref, id, &oid, index, contents);
		LOOK_REQUIRE(look, result == TMEM_DONE && page_equals(contents, value),
			     "after recovery a page that was put can not be had back (%d)", result);
		result = tmem_flush_page(ref, id, &oid, index);
		LOOK_REQUIRE(look, result == TMEM_DONE, "after recovery a flush gives %d", result);
	}
	result = tmem_get(ref, id, &oid, index, contents);
	LOOK_REQUIRE(look, result == TMEM_MISS || result == TMEM_EEMPTY,
		     "after recovery a get of a flushed or refused page gives %d", result);
	return 0;
}

static int use_newcomer(struct world_look *look)
{
	struct tmem_client *ref;
	uint32_t granted;
	uint32_t id;
	int result = tmem_client_create(look->engine, "newcomer", &ref);

	if (refusal_for_room(result))
		return 0;
	LOOK_REQUIRE(look, result == 0, "after recovery a new client gives %d", result);
	result = tmem_pool_new(ref, NULL,
			       TMEM_POOL_PERSISTENT | TMEM_ABI_VERSION << TMEM_POOL_VERSION_SHIFT,
			       &id, &granted);
	if (result == 0)
		result = use(look, ref, id, 1, 1);
	else
		result = refusal_for_room(result) ? 0 : result;
	if (result == 0)
		result = tmem_client_destroy(ref);
	tmem_client_release(ref);
	LOOK_REQUIRE(look, result == 0 || look->why[0] != '\0',
		     "after recovery a new client's pool gives %d", result);
	return result;
}

int look_round(struct world_look *look)
{
	enum { ENOUGH = 4 };
	const struct world *world = look->world;
	int used = 0;

	for (uint32_t i = 0; i < world->page_count && used < ENOUGH; i++) {
		const struct world_page *page = &world->pages[i];
		int pool = way_to(look, page->store);

		if (!changes(page) || pool < 0)
			continue;
		if (use(look, look->refs[world->pools[pool].client],
			(uint32_t)look->seen.pool_id[pool], page->object, page->index) != 0)
			return -1;
		used++;
	}
	return use_newcomer(look);
}
