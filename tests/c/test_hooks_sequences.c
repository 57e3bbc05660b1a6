// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The table of the hooks (c/hooks): every sequence of up to DEPTH events against a model of a few
 * lines.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "hooks_scene.h"

/* A sanitizer takes its time. */
#if defined(__SANITIZE_THREAD__)
enum { DEPTH = 3 };
#elif defined(__SANITIZE_ADDRESS__)
enum { DEPTH = 4 };
#else
enum { DEPTH = 5 };
#endif

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
	uint64_t page = 0, stored;
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
		stored = ++model->in_slot;
		result = tmem_hooks_store(hooks, 0, 3, (struct page *)&stored);
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
	struct tmem_hooks_area_info area;
	struct tmem_hooks_info info;
	uint32_t mounts = model->mounted[0] + model->mounted[1], seen = 0;

	tmem_hooks_info(hooks, &info);
	CHECK_EQ(info.mounts, mounts);
	CHECK_EQ(info.pools, model->attached ? mounts : 0);
	CHECK_EQ(keeper->pools, info.pools);
	CHECK_EQ(info.attached, model->attached);
	CHECK_EQ(info.areas, model->area);
	CHECK_EQ(info.frontswap_pages, model->stored);
	CHECK_EQ(keeper_swapped(keeper), model->stored);
	CHECK_EQ(tmem_hooks_area_info(hooks, 0, &area), model->area ? 0 : -ENOENT);
	if (model->area)
		CHECK_EQ(area.taken, model->attached);
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

static const struct test tests[] = {
	{"every sequence", every_sequence},
};

int main(int argc, char **argv)
{
	return RUN_TESTS(tests, argc, argv);
}
