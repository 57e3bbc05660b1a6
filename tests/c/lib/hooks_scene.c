// SPDX-License-Identifier: GPL-2.0-or-later
#include "hooks_scene.h"

const struct tmem_oid oid = {{7, 0, 0}};
const uint8_t uuids[2][16] = {{1}, {2}};

struct tmem_hooks *hooks;
static struct keeper keepers[2];
struct keeper *keeper = &keepers[0], *other = &keepers[1];

void set_up(void)
{
	hooks = tmem_hooks_new();
	CHECK(hooks);
	keeper_init(keeper);
	keeper_init(other);
}

void tear_down(void)
{
	CHECK_EQ(keeper->violations, 0);
	CHECK_EQ(other->violations, 0);
	tear_down_unchecked();
}

void tear_down_unchecked(void)
{
	tmem_hooks_free(hooks);
	keeper_destroy(keeper);
	keeper_destroy(other);
}

void set_up_attached(void)
{
	set_up();
	CHECK_EQ(keeper_attach(keeper, hooks), 0);
	CHECK_EQ(tmem_hooks_area_init(hooks, 0, PAGES), 0);
}

void tear_down_attached(void)
{
	if (keeper->attached)
		CHECK_EQ(keeper_detach(keeper, hooks, NULL), 0);
	CHECK_EQ(keeper->pools, 0);
	tear_down();
}

int mount_fs(const uint8_t *uuid)
{
	return tmem_hooks_init_fs(hooks, BIG, uuid, 0);
}

void put(int id, uint64_t value)
{
	tmem_hooks_put_page(hooks, id, &oid, 0, (struct page *)&value);
}

uint64_t get(int id)
{
	uint64_t page = 0;

	return tmem_hooks_get_page(hooks, id, &oid, 0, (struct page *)&page) ? 0 : page;
}

int store(uint32_t type, uint64_t offset)
{
	return tmem_hooks_store(hooks, type, offset, (struct page *)&offset);
}

struct tmem_hooks_counters counters(void)
{
	struct tmem_hooks_counters ret;

	tmem_hooks_counters(hooks, &ret);
	return ret;
}
