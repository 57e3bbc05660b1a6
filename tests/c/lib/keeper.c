// SPDX-License-Identifier: GPL-2.0-or-later
#include "keeper.h"

#include <errno.h>
#include <string.h>

#include "check.h"
#include "hooks.h"

static void enter(struct keeper *keeper)
{
	pthread_mutex_lock(&keeper->mutex);
	keeper->calls++;
	if (!keeper->attached)
		keeper->violations |= KEEPER_NOT_ATTACHED;
}

static void leave(struct keeper *keeper)
{
	keeper->calls--;
	pthread_mutex_unlock(&keeper->mutex);
}

/* In the middle of a call. */
#define SCENE(keeper, name, ...)                                                                   \
	do {                                                                                       \
		if ((keeper)->name) {                                                              \
			pthread_mutex_unlock(&(keeper)->mutex);                                    \
			(keeper)->name(__VA_ARGS__);                                               \
			pthread_mutex_lock(&(keeper)->mutex);                                      \
		}                                                                                  \
	} while (0)

static void need(struct keeper *keeper, bool fact, uint32_t violation)
{
	if (!fact)
		keeper->violations |= violation;
}

static uint8_t *state_of(struct keeper *keeper, int pool)
{
	CHECK(pool >= 0);
	return &keeper->states[pool % KEEPER_POOLS];
}

/* ---- pages ------------------------------------------------------------------------------ */

static int find(struct keeper *keeper, int pool, uint64_t object, uint64_t index)
{
	for (int i = 0; i < KEEPER_PAGES; i++)
		if (keeper->pages[i].pool == pool && keeper->pages[i].object == object &&
		    keeper->pages[i].index == index)
			return i;
	return -1;
}

static void drop(struct keeper *keeper, int pool, uint64_t object, uint64_t index)
{
	int at = find(keeper, pool, object, index);

	if (at >= 0)
		keeper->pages[at].pool = -1;
}

static bool keep(struct keeper *keeper, int pool, uint64_t object, uint64_t index,
		 const struct page *page)
{
	int at = find(keeper, pool, object, index);

	for (int i = 0; at < 0 && i < KEEPER_PAGES; i++)
		if (keeper->pages[i].pool == -1)
			at = i;
	if (at < 0)
		return false;
	keeper->pages[at].pool = pool;
	keeper->pages[at].object = object;
	keeper->pages[at].index = index;
	memcpy(&keeper->pages[at].value, page, sizeof(uint64_t));
	return true;
}

static bool fetch(struct keeper *keeper, int pool, uint64_t object, uint64_t index,
		  struct page *page, bool exclusive)
{
	int at = find(keeper, pool, object, index);

	if (at < 0)
		return false;
	memcpy(page, &keeper->pages[at].value, sizeof(uint64_t));
	if (exclusive)
		keeper->pages[at].pool = -1;
	return true;
}

static void drop_pool(struct keeper *keeper, int pool)
{
	for (int i = 0; i < KEEPER_PAGES; i++)
		if (keeper->pages[i].pool == pool)
			keeper->pages[i].pool = -1;
}

/* ---- cleancache ------------------------------------------------------------------------- */

static int new_pool(void *context, const uint8_t *uuid, bool was_member)
{
	struct keeper *keeper = context;
	int pool = -EMFILE;

	enter(keeper);
	if (keeper->pools < keeper->pools_max) {
		do {
			pool = ++keeper->last_pool;
		} while (*state_of(keeper, pool) == POOL_ALIVE ||
			 *state_of(keeper, pool) == POOL_GOING);
		*state_of(keeper, pool) = POOL_ALIVE;
		keeper->mounts[pool % KEEPER_POOLS] = uuid ? uuid[0] : 0;
		keeper->was_member[pool % KEEPER_POOLS] = was_member;
		keeper->pools++;
		SCENE(keeper, in_new_pool, keeper->scene, pool, uuid ? uuid[0] : 0);
	}
	leave(keeper);
	return pool;
}

static void destroy_pool(void *context, int pool)
{
	struct keeper *keeper = context;

	enter(keeper);
	need(keeper, *state_of(keeper, pool) != POOL_NEVER, KEEPER_NO_POOL);
	need(keeper, *state_of(keeper, pool) == POOL_ALIVE, KEEPER_TWICE);
	*state_of(keeper, pool) = POOL_GOING;
	SCENE(keeper, in_destroy_pool, keeper->scene, pool);
	drop_pool(keeper, pool);
	*state_of(keeper, pool) = POOL_GONE;
	keeper->pools--;
	pthread_cond_broadcast(&keeper->changed);
	leave(keeper);
}

static int get(void *context, int pool, const struct tmem_oid *oid, uint64_t index,
	       struct page *page)
{
	struct keeper *keeper = context;
	bool hit;

	enter(keeper);
	need(keeper, *state_of(keeper, pool) == POOL_ALIVE, KEEPER_DEAD_POOL);
	hit = fetch(keeper, pool, oid->words[0], index, page, true);
	leave(keeper);
	return hit ? 0 : -ENOENT;
}

static void put(void *context, int pool, const struct tmem_oid *oid, uint64_t index,
		struct page *page)
{
	struct keeper *keeper = context;

	enter(keeper);
	SCENE(keeper, in_put, keeper->scene, pool);
	need(keeper, *state_of(keeper, pool) == POOL_ALIVE, KEEPER_DEAD_POOL);
	if (!keep(keeper, pool, oid->words[0], index, page))
		drop(keeper, pool, oid->words[0], index);
	leave(keeper);
}

static void flush_page(void *context, int pool, const struct tmem_oid *oid, uint64_t index)
{
	struct keeper *keeper = context;

	enter(keeper);
	need(keeper, *state_of(keeper, pool) == POOL_ALIVE, KEEPER_DEAD_POOL);
	drop(keeper, pool, oid->words[0], index);
	leave(keeper);
}

static void flush_object(void *context, int pool, const struct tmem_oid *oid)
{
	struct keeper *keeper = context;

	enter(keeper);
	need(keeper, *state_of(keeper, pool) != POOL_NEVER, KEEPER_NO_POOL);
	while (*state_of(keeper, pool) == POOL_GOING)
		pthread_cond_wait(&keeper->changed, &keeper->mutex);
	SCENE(keeper, in_flush_object, keeper->scene, pool);
	for (int i = 0; i < KEEPER_PAGES; i++)
		if (keeper->pages[i].pool == pool && keeper->pages[i].object == oid->words[0])
			keeper->pages[i].pool = -1;
	leave(keeper);
}

/* ---- frontswap -------------------------------------------------------------------------- */

static int swap_of(uint32_t type)
{
	CHECK(type < KEEPER_AREAS);
	return -2 - (int)type;
}

static int area_new(void *context, uint32_t type, uint64_t pages)
{
	struct keeper *keeper = context;
	int pool = swap_of(type);

	(void)pages;
	enter(keeper);
	need(keeper, !keeper->areas[type], KEEPER_TWICE);
	keeper->areas[type] = !keeper->refuses_areas;
	drop_pool(keeper, pool);
	leave(keeper);
	return keeper->refuses_areas ? -ENOMEM : 0;
}

static void area_gone(void *context, uint32_t type)
{
	struct keeper *keeper = context;

	enter(keeper);
	drop_pool(keeper, swap_of(type));
	need(keeper, keeper->areas[type], KEEPER_NO_AREA);
	keeper->areas[type] = false;
	leave(keeper);
}

static int store(void *context, uint32_t type, uint64_t offset, struct page *page)
{
	struct keeper *keeper = context;
	bool kept = false;

	enter(keeper);
	need(keeper, keeper->areas[type], KEEPER_NO_AREA);
	SCENE(keeper, in_store, keeper->scene);
	if (!keeper->refuses_stores)
		kept = keep(keeper, swap_of(type), 0, offset, page);
	leave(keeper);
	return kept ? 0 : -ENOSPC;
}

static int load(void *context, uint32_t type, uint64_t offset, struct page *page)
{
	struct keeper *keeper = context;
	bool found;

	enter(keeper);
	SCENE(keeper, in_load, keeper->scene);
	found = fetch(keeper, swap_of(type), 0, offset, page, false);
	need(keeper, found, KEEPER_NOT_STORED);
	leave(keeper);
	return !found ? -EIO : keeper->loses ? -ENOENT : 0;
}

static void flush_slot(void *context, uint32_t type, uint64_t offset)
{
	struct keeper *keeper = context;

	enter(keeper);
	SCENE(keeper, in_flush_slot, keeper->scene);
	need(keeper, find(keeper, swap_of(type), 0, offset) >= 0, KEEPER_NOT_STORED);
	drop(keeper, swap_of(type), 0, offset);
	leave(keeper);
}

/* ---- made, attached --------------------------------------------------------------------- */

void keeper_init(struct keeper *keeper)
{
	memset(keeper, 0, sizeof(*keeper));
	pthread_mutex_init(&keeper->mutex, NULL);
	pthread_cond_init(&keeper->changed, NULL);
	keeper->pools_max = UINT32_MAX;
	for (int i = 0; i < KEEPER_PAGES; i++)
		keeper->pages[i].pool = -1;
	keeper->ops = (struct tmem_backend){
		.name = "keeper",
		.context = keeper,
		.new_pool = new_pool,
		.destroy_pool = destroy_pool,
		.get = get,
		.put = put,
		.flush_page = flush_page,
		.flush_object = flush_object,
		.area_new = area_new,
		.store = store,
		.load = load,
		.flush_slot = flush_slot,
		.area_gone = area_gone,
	};
}

void keeper_destroy(struct keeper *keeper)
{
	pthread_cond_destroy(&keeper->changed);
	pthread_mutex_destroy(&keeper->mutex);
}

static void set_attached(struct keeper *keeper, bool attached)
{
	pthread_mutex_lock(&keeper->mutex);
	keeper->attached = attached;
	if (!attached) {
		memset(keeper->areas, 0, sizeof(keeper->areas));
		need(keeper, !keeper->calls, KEEPER_NOT_ATTACHED);
	}
	pthread_mutex_unlock(&keeper->mutex);
}

int keeper_attach(struct keeper *keeper, struct tmem_hooks *hooks)
{
	int result;

	if (keeper->attached)
		return tmem_hooks_attach(hooks, &keeper->ops);
	set_attached(keeper, true);
	result = tmem_hooks_attach(hooks, &keeper->ops);
	if (result)
		set_attached(keeper, false);
	return result;
}

int keeper_detach(struct keeper *keeper, struct tmem_hooks *hooks, uint64_t *pages)
{
	int result = tmem_hooks_detach(hooks, &keeper->ops, pages);

	if (!result)
		set_attached(keeper, false);
	return result;
}

uint32_t keeper_pools_of(struct keeper *keeper, uint8_t mount)
{
	uint32_t count = 0;

	pthread_mutex_lock(&keeper->mutex);
	for (int pool = 0; pool < KEEPER_POOLS; pool++)
		count += keeper->states[pool] == POOL_ALIVE &&
			 (!mount || keeper->mounts[pool] == mount);
	pthread_mutex_unlock(&keeper->mutex);
	return count;
}

uint32_t keeper_swapped(struct keeper *keeper)
{
	uint32_t count = 0;

	pthread_mutex_lock(&keeper->mutex);
	for (int i = 0; i < KEEPER_PAGES; i++)
		count += keeper->pages[i].pool < -1;
	pthread_mutex_unlock(&keeper->mutex);
	return count;
}

struct page *keeper_page(uint64_t *memory, uint64_t value)
{
	*memory = value;
	return (struct page *)memory;
}
