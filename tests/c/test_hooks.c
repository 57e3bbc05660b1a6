// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The table of the hooks (c/hooks): every sequence of up to DEPTH events against a model of a few
 * lines, and what the sequences do not reach.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "keeper.h"
#include "hooks_table.h"
#include "user/hooks_user.h"

enum { PAGES = 8, BIG = 4096 };

/* A sanitizer takes its time. */
#if defined(__SANITIZE_THREAD__)
enum { DEPTH = 3 };
#elif defined(__SANITIZE_ADDRESS__)
enum { DEPTH = 4 };
#else
enum { DEPTH = 5 };
#endif

static const struct tmem_oid oid = {{7, 0, 0}};
static const uint8_t uuids[2][16] = {{1}, {2}};

static struct tmem_hooks *hooks;
static struct keeper *keeper, *other;
static uint64_t memory;

static void set_up(void)
{
	hooks = tmem_hooks_new();
	CHECK(hooks);
	keeper_init(keeper);
	keeper_init(other);
}

static void tear_down(void)
{
	CHECK_EQ(keeper->violations, 0);
	CHECK_EQ(other->violations, 0);
	tmem_hooks_free(hooks);
	keeper_destroy(keeper);
	keeper_destroy(other);
}

static int mount_fs(const uint8_t *uuid)
{
	return tmem_hooks_init_fs(hooks, BIG, uuid, 0);
}

static uint64_t counter(size_t offset)
{
	struct tmem_hooks_counters counters;

	tmem_hooks_counters(hooks, &counters);
	return *(uint64_t *)((char *)&counters + offset);
}

#define COUNTER(name) counter(offsetof(struct tmem_hooks_counters, name))

static void put(int id, uint64_t value)
{
	tmem_hooks_put_page(hooks, id, &oid, 0, keeper_page(&memory, value));
}

/* 0: a miss. */
static uint64_t get(int id)
{
	uint64_t page = 0;

	return tmem_hooks_get_page(hooks, id, &oid, 0, (struct page *)&page) ? 0 : page;
}

/* ---- every sequence ---------------------------------------------------------------------- */

enum event {
	MOUNT_0,
	MOUNT_1,
	UMOUNT_0,
	UMOUNT_1,
	ATTACH,
	DETACH,
	ATTACH_OTHER,
	PUT_0,
	GET_0,
	WRITE_0,
	FLUSH_0,
	SWAPON,
	SWAPOFF,
	STORE,
	LOAD,
	FREE,
	EVENTS,
};

/* What should be there. */
struct model {
	bool attached, mounted[2], was_member[2], area, stored;
	int ids[2], last_id;
	uint64_t version, in_pool, in_slot;
};

static void do_mount(struct model *model, int fs)
{
	if (model->mounted[fs])
		return;
	model->ids[fs] = mount_fs(fs ? uuids[fs] : NULL);
	CHECK_EQ(model->ids[fs], ++model->last_id);
	model->mounted[fs] = true;
	model->was_member[fs] = model->attached;
}

static void do_umount(struct model *model, int fs)
{
	if (!model->mounted[fs])
		return;
	tmem_hooks_invalidate_fs(hooks, model->ids[fs]);
	model->mounted[fs] = false;
	if (fs == 0)
		model->in_pool = 0;
}

static void do_attach(struct model *model)
{
	CHECK_EQ(keeper_attach(keeper, hooks), model->attached ? -EBUSY : 0);
	model->attached = true;
	for (int fs = 0; fs < 2; fs++)
		model->was_member[fs] |= model->mounted[fs];
}

static void do_detach(struct model *model)
{
	uint64_t pages = 99;
	int expected = !model->attached ? -ENOENT : model->stored ? -EBUSY : 0;

	CHECK_EQ(keeper_detach(keeper, hooks, &pages), expected);
	CHECK_EQ(pages, expected == -EBUSY);
	if (!expected) {
		model->attached = false;
		model->in_pool = 0;
	}
}

static void do_attach_other(struct model *model)
{
	int expected = model->attached ? -EBUSY : 0;

	CHECK_EQ(keeper_attach(other, hooks), expected);
	CHECK_EQ(keeper_detach(other, hooks, NULL), expected ? -ENOENT : 0);
	if (!expected)
		for (int fs = 0; fs < 2; fs++)
			model->was_member[fs] |= model->mounted[fs];
}

/* File system 0: its page holds the version. */
static void do_page(struct model *model, enum event event)
{
	bool has_pool = model->attached && model->mounted[0];

	switch (event) {
	case PUT_0:
		put(model->ids[0], model->version);
		if (has_pool)
			model->in_pool = model->version;
		break;
	case GET_0:
		CHECK_EQ(get(model->ids[0]), model->in_pool);
		model->in_pool = 0;
		break;
	case WRITE_0:
		model->version++;
		tmem_hooks_invalidate_page(hooks, model->ids[0], &oid, 0);
		model->in_pool = 0;
		break;
	default:
		tmem_hooks_invalidate_inode(hooks, model->ids[0], &oid);
		model->in_pool = 0;
		break;
	}
}

static void do_swap(struct model *model, enum event event)
{
	uint64_t page = 0;
	int result;

	switch (event) {
	case SWAPON:
		CHECK_EQ(tmem_hooks_area_init(hooks, 0, PAGES), 0);
		model->area = true;
		break;
	case SWAPOFF:
		tmem_hooks_area_gone(hooks, 0);
		model->area = model->stored = false;
		break;
	case STORE:
		result = tmem_hooks_store(hooks, 0, 3, keeper_page(&memory, ++model->in_slot));
		model->stored = model->attached && model->area;
		CHECK_EQ(result == 0, model->stored);
		break;
	case LOAD:
		result = tmem_hooks_load(hooks, 0, 3, (struct page *)&page);
		CHECK_EQ(result, model->stored ? 0 : -ENOENT);
		CHECK_EQ(page, model->stored ? model->in_slot : 0);
		break;
	default:
		tmem_hooks_invalidate_slot(hooks, 0, 3);
		model->stored = false;
		break;
	}
}

static void look(const struct model *model)
{
	struct tmem_hooks_mount_info mount = {.id = 0};
	struct tmem_hooks_info info;
	uint32_t mounts = model->mounted[0] + model->mounted[1], seen = 0;

	tmem_hooks_info(hooks, &info);
	CHECK_EQ(info.mounts, mounts);
	CHECK_EQ(info.pools, model->attached ? mounts : 0);
	CHECK_EQ(keeper->pools, info.pools);
	CHECK_EQ(info.attached, model->attached);
	CHECK_EQ(info.areas, model->area);
	CHECK_EQ(info.frontswap_pages, model->stored);
	while (!tmem_hooks_mount_info(hooks, mount.id, &mount)) {
		seen++;
		CHECK_EQ(mount.pool >= 0, model->attached);
		if (mount.shared)
			CHECK_EQ(mount.was_member, model->was_member[1]);
		if (mount.shared && mount.pool >= 0)
			CHECK_EQ(keeper->mounts[mount.pool], uuids[1][0]);
	}
	CHECK_EQ(seen, mounts);
	CHECK_EQ(keeper->violations | other->violations, 0);
}

static void happens(struct model *model, enum event event)
{
	switch (event) {
	case MOUNT_0:
	case MOUNT_1:
		do_mount(model, event - MOUNT_0);
		break;
	case UMOUNT_0:
	case UMOUNT_1:
		do_umount(model, event - UMOUNT_0);
		break;
	case ATTACH:
		do_attach(model);
		break;
	case DETACH:
		do_detach(model);
		break;
	case ATTACH_OTHER:
		do_attach_other(model);
		break;
	case PUT_0:
	case GET_0:
	case WRITE_0:
	case FLUSH_0:
		do_page(model, event);
		break;
	default:
		do_swap(model, event);
		break;
	}
	look(model);
}

static void every_sequence(void)
{
	const char *depth_given = getenv("TMEM_HOOKS_DEPTH");
	int depth = depth_given ? atoi(depth_given) : DEPTH;
	uint64_t sequences = 1, run;

	for (int i = 0; i < depth; i++)
		sequences *= EVENTS;
	for (run = 0; run < sequences; run++) {
		struct model model = {.version = 1};
		uint64_t rest = run;

		set_up();
		for (int i = 0; i < depth; i++, rest /= EVENTS)
			happens(&model, (enum event)(rest % EVENTS));
		if (model.stored)
			happens(&model, FREE);
		if (model.attached)
			happens(&model, DETACH);
		tear_down();
	}
	printf("%llu sequences of %d events\n", (unsigned long long)sequences, depth);
}

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
	CHECK_EQ(COUNTER(mounts_no_id), 2);
	CHECK_EQ(COUNTER(mounts), 1000);
	CHECK_EQ(COUNTER(umounts), 1000);
	tear_down();
}

static void pages_of_another_size_are_refused(void)
{
	set_up();
	CHECK_EQ(tmem_hooks_init_fs(hooks, 65536, NULL, 0), -EOPNOTSUPP);
	CHECK_EQ(COUNTER(mounts_page_size), 1);
	CHECK_EQ(COUNTER(mounts), 0);
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
	CHECK_EQ(COUNTER(puts_no_pool), 1);
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
	CHECK_EQ(COUNTER(puts_compound), 1);
	CHECK_EQ(COUNTER(puts), 2);
	CHECK_EQ(COUNTER(page_flushes), 4);
	CHECK_EQ(keeper_detach(keeper, hooks, NULL), 0);
	tear_down();
}

/* ---- swap -------------------------------------------------------------------------------- */

static int store(uint32_t type, uint64_t offset)
{
	return tmem_hooks_store(hooks, type, offset, keeper_page(&memory, offset));
}

static void each_refused_store_has_its_counter(void)
{
	set_up();
	CHECK_EQ(tmem_hooks_area_init(hooks, TMEM_HOOKS_AREAS, PAGES), -EINVAL);
	CHECK_EQ(tmem_hooks_area_init(hooks, 1, 0), -EINVAL);
	CHECK_EQ(tmem_hooks_area_init(hooks, 1, PAGES), 0);
	CHECK(store(1, 0) != 0);
	CHECK_EQ(COUNTER(stores_no_backend), 1);
	keeper->refuses_areas = 1;
	CHECK_EQ(keeper_attach(keeper, hooks), 0);
	CHECK(store(1, 0) != 0);
	CHECK_EQ(COUNTER(stores_area_refused), 1);
	CHECK_EQ(COUNTER(areas_refused), 1);
	keeper->refuses_areas = 0;
	CHECK_EQ(tmem_hooks_area_init(hooks, 2, PAGES), 0);
	CHECK(store(0, 0) != 0);
	CHECK(store(99, 0) != 0);
	CHECK_EQ(COUNTER(stores_no_area), 2);
	CHECK(store(2, PAGES) != 0);
	CHECK(store(2, UINT64_MAX) != 0);
	CHECK_EQ(COUNTER(stores_beyond), 2);
	keeper->refuses_stores = 1;
	CHECK_EQ(store(2, 0), -ENOSPC);
	CHECK_EQ(COUNTER(stores_refused), 1);
	keeper->refuses_stores = 0;
	CHECK_EQ(store(2, PAGES - 1), 0);
	CHECK_EQ(COUNTER(stores), 1);
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
	CHECK_EQ(COUNTER(loads_not_ours), 1);
	keeper->refuses_stores = 0;
	CHECK_EQ(store(0, 5), 0);
	CHECK_EQ(store(0, 6), 0);
	CHECK_EQ(keeper_detach(keeper, hooks, &pages), -EBUSY);
	CHECK_EQ(pages, 2);
	CHECK_EQ(COUNTER(detach_busy), 1);
	CHECK_EQ(store(0, 7), 0); /* taken again */
	tmem_hooks_refuse_store(hooks, 0, 4, 8);
	CHECK_EQ(COUNTER(stores_compound), 1);
	CHECK_EQ(tmem_areas_held(hooks), 0);
	CHECK_EQ(keeper_detach(keeper, hooks, &pages), 0);
	CHECK_EQ(pages, 0);
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
	CHECK_EQ(COUNTER(slot_flushes_not_ours), 4);
	CHECK_EQ(COUNTER(slot_flushes), 0);
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
	{"every sequence", every_sequence},
	{"an id is never used again", an_id_is_never_used_again},
	{"pages of another size are refused", pages_of_another_size_are_refused},
	{"many mounts", many_mounts},
	{"who was refused gets a pool when another goes",
	 who_was_refused_gets_a_pool_when_another_goes},
	{"a member is known as one", a_member_is_known_as_one},
	{"larger pages are flushed", larger_pages_are_flushed},
	{"each refused store has its counter", each_refused_store_has_its_counter},
	{"a failed store leaves nothing", a_failed_store_leaves_nothing},
	{"slots of others are left alone", slots_of_others_are_left_alone},
	{"counters have names", counters_have_names},
};

int main(int argc, char **argv)
{
	int result;

	keeper = calloc(2, sizeof(*keeper));
	CHECK(keeper);
	other = keeper + 1;
	result = RUN_TESTS(tests, argc, argv);
	free(keeper);
	return result;
}
