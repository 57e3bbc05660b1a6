// SPDX-License-Identifier: GPL-2.0-or-later
/* The table of the hooks (c/hooks): what test_hooks_sequences.c does not reach. */
#include <errno.h>
#include <string.h>

#include "hooks_scene.h"

static uint64_t memory; /* of a page */

/* ---- ids --------------------------------------------------------------------------------- */

static void an_id_is_never_used_again(void)
{
	int id;

	set_up();
	for (int i = 1; i < 1000; i++) {
		id = mount_fs(NULL);
		CHECK_EQ(id, i);
		tmem_hooks_invalidate_fs(hooks, id);
	}
	hooks->last_id = TMEM_HOOKS_ID_MAX - 1;
	id = mount_fs(NULL);
	CHECK_EQ(id, TMEM_HOOKS_ID_MAX);
	CHECK_EQ(mount_fs(NULL), -ENOSPC);
	tmem_hooks_invalidate_fs(hooks, id);
	CHECK_EQ(mount_fs(NULL), -ENOSPC);
	CHECK_EQ(counters().mounts_no_id, 2);
	CHECK_EQ(counters().mounts, 1000);
	CHECK_EQ(counters().umounts, 1000);
	tear_down();
}

static void pages_of_another_size_are_refused(void)
{
	set_up();
	CHECK_EQ(tmem_hooks_init_fs(hooks, 65536, NULL, 0), -EOPNOTSUPP);
	CHECK_EQ(counters().mounts_page_size, 1);
	CHECK_EQ(counters().mounts, 0);
	tear_down();
}

/* More than there are buckets, and than the 32 of old. */
static void many_mounts(void)
{
	enum { MOUNTS = 1000 };
	struct tmem_hooks_mount_info info = {.id = 0};
	int last = 0;

	set_up();
	for (int i = 0; i < MOUNTS / 2; i++)
		mount_fs(NULL);
	CHECK_EQ(keeper_attach(keeper, hooks), 0);
	for (int i = 0; i < MOUNTS / 2; i++)
		mount_fs(uuids[0]);
	CHECK_EQ(keeper->pools, MOUNTS);
	for (int id = 2; id <= MOUNTS; id += 2)
		tmem_hooks_invalidate_fs(hooks, id);
	CHECK_EQ(keeper->pools, MOUNTS / 2);
	for (int id = 1; id <= MOUNTS; id++) {
		put(id, (uint64_t)id);
		CHECK_EQ(get(id), id % 2 ? id : 0);
	}
	while (!tmem_hooks_mount_info(hooks, info.id, &info)) {
		CHECK_EQ(info.id, last ? last + 2 : 1);
		last = info.id;
	}
	CHECK_EQ(last, MOUNTS - 1);
	CHECK_EQ(tmem_hooks_mount_info(hooks, 4, &info), 0); /* one that is gone */
	CHECK_EQ(info.id, 5);
	CHECK_EQ(keeper_detach(keeper, hooks, NULL), 0);
	CHECK_EQ(keeper->pools, 0);
	tear_down();
}

/* ---- pools ------------------------------------------------------------------------------- */

static void who_was_refused_gets_a_pool_when_another_goes(void)
{
	struct tmem_hooks_mount_info info;

	set_up();
	keeper->pools_max = 2;
	for (int i = 0; i < 5; i++)
		mount_fs(NULL);
	CHECK_EQ(keeper_attach(keeper, hooks), 0);
	CHECK_EQ(keeper->pools, 2);
	put(3, 1);
	CHECK_EQ(counters().puts_no_pool, 1);
	tmem_hooks_invalidate_fs(hooks, 1);
	CHECK_EQ(keeper->pools, 2);
	put(3, 1);
	CHECK_EQ(get(3), 1);
	tmem_hooks_invalidate_fs(hooks, 5); /* has none, so none becomes free */
	CHECK_EQ(tmem_hooks_mount_info(hooks, 3, &info), 0);
	CHECK_EQ(info.pool, -1);
	tmem_hooks_invalidate_fs(hooks, 2);
	CHECK_EQ(tmem_hooks_mount_info(hooks, 3, &info), 0);
	CHECK(info.pool >= 0);
	CHECK_EQ(hooks->poolless, 0);
	CHECK_EQ(keeper_detach(keeper, hooks, NULL), 0);
	keeper->pools_max = 1;
	CHECK_EQ(keeper_attach(keeper, hooks), 0);
	CHECK_EQ(hooks->poolless, 1);
	CHECK_EQ(keeper_detach(keeper, hooks, NULL), 0);
	CHECK_EQ(hooks->poolless, 0);
	tear_down();
}

/* R-a: what the mount was is told to every backend, not what another one of the same uuid was. */
static void a_member_is_known_as_one(void)
{
	set_up();
	mount_fs(uuids[0]);
	CHECK_EQ(keeper_attach(keeper, hooks), 0);
	CHECK_EQ(keeper->was_member[1], 0);
	CHECK_EQ(keeper_detach(keeper, hooks, NULL), 0);
	CHECK_EQ(keeper_attach(other, hooks), 0);
	CHECK_EQ(other->was_member[1], 1);
	mount_fs(uuids[0]);
	CHECK_EQ(other->was_member[2], 0);
	tmem_hooks_invalidate_fs(hooks, 1);
	CHECK_EQ(tmem_hooks_init_fs(hooks, BIG, uuids[0], 1), 3);
	CHECK_EQ(other->was_member[3], 1);
	mount_fs(NULL);
	CHECK_EQ(keeper_detach(other, hooks, NULL), 0);
	CHECK_EQ(keeper_attach(keeper, hooks), 0);
	CHECK_EQ(keeper->was_member[2], 1);
	CHECK_EQ(keeper->was_member[4], 0); /* private */
	CHECK_EQ(keeper_detach(keeper, hooks, NULL), 0);
	tear_down();
}

static void larger_pages_are_flushed(void)
{
	set_up();
	CHECK_EQ(keeper_attach(keeper, hooks), 0);
	mount_fs(NULL);
	tmem_hooks_put_page(hooks, 1, &oid, 3, keeper_page(&memory, 1));
	tmem_hooks_put_page(hooks, 1, &oid, 4, keeper_page(&memory, 2));
	tmem_hooks_refuse_put(hooks, 1, &oid, 0, 4);
	CHECK_EQ(tmem_hooks_get_page(hooks, 1, &oid, 3, (struct page *)&memory), -ENOENT);
	CHECK_EQ(tmem_hooks_get_page(hooks, 1, &oid, 4, (struct page *)&memory), 0);
	CHECK_EQ(memory, 2);
	CHECK_EQ(counters().puts_compound, 1);
	CHECK_EQ(counters().puts, 2);
	CHECK_EQ(counters().page_flushes, 4);
	CHECK_EQ(keeper_detach(keeper, hooks, NULL), 0);
	tear_down();
}

/* ---- swap -------------------------------------------------------------------------------- */

static void each_refused_store_has_its_counter(void)
{
	set_up();
	CHECK_EQ(tmem_hooks_area_init(hooks, TMEM_HOOKS_AREAS, PAGES), -EINVAL);
	CHECK_EQ(tmem_hooks_area_init(hooks, 1, 0), -EINVAL);
	CHECK_EQ(tmem_hooks_area_init(hooks, 1, PAGES), 0);
	CHECK(store(1, 0) != 0);
	CHECK_EQ(counters().stores_no_backend, 1);
	keeper->refuses_areas = 1;
	CHECK_EQ(keeper_attach(keeper, hooks), 0);
	CHECK(store(1, 0) != 0);
	CHECK_EQ(counters().stores_area_refused, 1);
	CHECK_EQ(counters().areas_refused, 1);
	keeper->refuses_areas = 0;
	CHECK_EQ(tmem_hooks_area_init(hooks, 2, PAGES), 0);
	CHECK(store(0, 0) != 0);
	CHECK(store(99, 0) != 0);
	CHECK_EQ(counters().stores_no_area, 2);
	CHECK(store(2, PAGES) != 0);
	CHECK(store(2, UINT64_MAX) != 0);
	CHECK_EQ(counters().stores_beyond, 2);
	keeper->refuses_stores = 1;
	CHECK_EQ(store(2, 0), -ENOSPC);
	CHECK_EQ(counters().stores_refused, 1);
	keeper->refuses_stores = 0;
	CHECK_EQ(store(2, PAGES - 1), 0);
	CHECK_EQ(counters().stores, 1);
	tmem_hooks_area_gone(hooks, 99);
	tmem_hooks_area_gone(hooks, 1); /* the backend never took it, and is not told */
	tmem_hooks_area_gone(hooks, 2);
	CHECK_EQ(keeper_detach(keeper, hooks, NULL), 0);
	tear_down();
}

/* B: a store that fails, for whatever reason, leaves nothing older behind. */
static void a_failed_store_leaves_nothing(void)
{
	uint64_t pages;

	set_up();
	CHECK_EQ(tmem_hooks_area_init(hooks, 0, PAGES), 0);
	CHECK_EQ(keeper_attach(keeper, hooks), 0);
	CHECK_EQ(store(0, 5), 0);
	CHECK_EQ(store(0, 5), 0);
	CHECK_EQ(tmem_areas_held(hooks), 1);
	keeper->refuses_stores = 1;
	CHECK_EQ(store(0, 5), -ENOSPC);
	CHECK_EQ(tmem_hooks_load(hooks, 0, 5, (struct page *)&memory), -ENOENT);
	CHECK_EQ(counters().loads_not_ours, 1);
	keeper->refuses_stores = 0;
	CHECK_EQ(store(0, 5), 0);
	CHECK_EQ(store(0, 6), 0);
	CHECK_EQ(keeper_detach(keeper, hooks, &pages), -EBUSY);
	CHECK_EQ(pages, 2);
	CHECK_EQ(counters().detach_busy, 1);
	CHECK_EQ(store(0, 7), 0); /* taken again */
	tmem_hooks_refuse_store(hooks, 0, 4, 8);
	CHECK_EQ(counters().stores_compound, 1);
	CHECK_EQ(tmem_areas_held(hooks), 0);
	CHECK_EQ(keeper_detach(keeper, hooks, &pages), 0);
	CHECK_EQ(pages, 0);
	tear_down();
}

/* P: what was stored is on no disk, so its load may fail, but never says "not mine". */
static void a_lost_page_is_an_error(void)
{
	set_up();
	CHECK_EQ(tmem_hooks_area_init(hooks, 0, PAGES), 0);
	CHECK_EQ(keeper_attach(keeper, hooks), 0);
	CHECK_EQ(store(0, 5), 0);
	keeper->loses = 1;
	CHECK_EQ(tmem_hooks_load(hooks, 0, 5, (struct page *)&memory), -EIO);
	CHECK_EQ(counters().loads_failed, 1);
	CHECK_EQ(counters().loads_not_ours, 0);
	tmem_hooks_invalidate_slot(hooks, 0, 5);
	CHECK_EQ(keeper_detach(keeper, hooks, NULL), 0);
	tear_down();
}

/* Another frontswap implementation may hold slots, too. */
static void slots_of_others_are_left_alone(void)
{
	set_up();
	CHECK_EQ(tmem_hooks_area_init(hooks, 0, PAGES), 0);
	CHECK_EQ(keeper_attach(keeper, hooks), 0);
	tmem_hooks_invalidate_slot(hooks, 0, 1);
	tmem_hooks_invalidate_slot(hooks, 0, PAGES);
	tmem_hooks_invalidate_slot(hooks, 1, 1);
	tmem_hooks_invalidate_slot(hooks, 99, 1);
	CHECK_EQ(counters().slot_flushes_not_ours, 4);
	CHECK_EQ(counters().slot_flushes, 0);
	CHECK_EQ(keeper_detach(keeper, hooks, NULL), 0);
	tear_down();
}

/* What the counters are called is what they are. */
static void counters_have_names(void)
{
	set_up();
	CHECK_EQ(tmem_hooks_counter_count * sizeof(uint64_t), sizeof(struct tmem_hooks_counters));
	CHECK(strcmp(tmem_hooks_counter_texts[0].name, "gets_hit") == 0);
	CHECK(strcmp(tmem_hooks_counter_texts[tmem_hooks_counter_count - 1].name, "detach_busy") ==
	      0);
	tear_down();
}

static const struct test tests[] = {
	{"an id is never used again", an_id_is_never_used_again},
	{"pages of another size are refused", pages_of_another_size_are_refused},
	{"many mounts", many_mounts},
	{"who was refused gets a pool when another goes",
	 who_was_refused_gets_a_pool_when_another_goes},
	{"a member is known as one", a_member_is_known_as_one},
	{"larger pages are flushed", larger_pages_are_flushed},
	{"each refused store has its counter", each_refused_store_has_its_counter},
	{"a failed store leaves nothing", a_failed_store_leaves_nothing},
	{"a lost page is an error", a_lost_page_is_an_error},
	{"slots of others are left alone", slots_of_others_are_left_alone},
	{"counters have names", counters_have_names},
};

int main(int argc, char **argv)
{
	return RUN_TESTS(tests, argc, argv);
}
