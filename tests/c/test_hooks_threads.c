// SPDX-License-Identifier: GPL-2.0-or-later
/* The table of the hooks in threads: who waits for whom, and all of it at the same time. */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "keeper.h"
#include "random.h"
#include "hooks_table.h"
#include "user/hooks_user.h"

enum { PAGES = 8, BIG = 4096 };

static const struct tmem_oid oid = {{7, 0, 0}};
static const uint8_t uuid[16] = {1};

static struct tmem_hooks *hooks;
static struct keeper *keeper;
static int scenes; /* that were played */

static void set_up(void)
{
	scenes = 0;
	hooks = tmem_hooks_new();
	CHECK(hooks);
	keeper_init(keeper);
	CHECK_EQ(keeper_attach(keeper, hooks), 0);
	CHECK_EQ(tmem_hooks_area_init(hooks, 0, PAGES), 0);
}

static void tear_down(void)
{
	CHECK_EQ(keeper->violations, 0);
	if (keeper->attached)
		CHECK_EQ(keeper_detach(keeper, hooks, NULL), 0);
	CHECK_EQ(keeper->violations, 0);
	CHECK_EQ(keeper->pools, 0);
	tmem_hooks_free(hooks);
	keeper_destroy(keeper);
}

static struct tmem_hooks_counters counters(void)
{
	struct tmem_hooks_counters ret;

	tmem_hooks_counters(hooks, &ret);
	return ret;
}

/* Until what another thread does can be seen. */
#define AWAIT(condition)                                                                           \
	do {                                                                                       \
		while (!(condition))                                                               \
			usleep(100);                                                               \
	} while (0)

static uint32_t sleepers(void)
{
	unsigned long flags = tmem_seam_lock(&hooks->lock);
	uint32_t count = hooks->lock.sleepers;

	tmem_seam_unlock(&hooks->lock, flags);
	return count;
}

/* ---- a second thread in the middle of a call ---------------------------------------------- */

struct second {
	pthread_t thread;
	void (*does)(void);
	int done;
};

static void *second_main(void *context)
{
	struct second *second = context;

	second->does();
	__atomic_store_n(&second->done, 1, __ATOMIC_SEQ_CST);
	return NULL;
}

static void start(struct second *second, void (*does)(void))
{
	second->does = does;
	second->done = 0;
	CHECK_EQ(pthread_create(&second->thread, NULL, second_main, second), 0);
}

static bool is_done(struct second *second)
{
	return __atomic_load_n(&second->done, __ATOMIC_SEQ_CST);
}

static void join(struct second *second)
{
	CHECK_EQ(pthread_join(second->thread, NULL), 0);
}

static struct second second;

static void umount_1(void)
{
	tmem_hooks_invalidate_fs(hooks, 1);
}

static void flush_1(void)
{
	tmem_hooks_invalidate_inode(hooks, 1, &oid);
}

static void detach(void)
{
	CHECK_EQ(keeper_detach(keeper, hooks, NULL), 0);
}

/* ---- leaving ------------------------------------------------------------------------------ */

static void umounts_too(void *scene, int pool)
{
	(void)scene;
	(void)pool;
	scenes++;
	start(&second, umount_1);
	AWAIT(sleepers() == 1);
	CHECK(!is_done(&second));
}

/* S3: recovery and umount, for one id, at once. */
static void both_umounts_return_when_the_pool_is_left(void)
{
	set_up();
	tmem_hooks_init_fs(hooks, BIG, uuid, 0);
	keeper->in_destroy_pool = umounts_too;
	umount_1();
	join(&second);
	CHECK_EQ(scenes, 1);
	CHECK_EQ(counters().umounts, 1);
	CHECK_EQ(counters().umounts_waited, 1);
	umount_1();
	CHECK_EQ(counters().umounts_unknown, 1);
	tear_down();
}

static void calls_come_all_the_same(void *scene, int pool)
{
	uint64_t page = 5;

	(void)scene;
	(void)pool;
	scenes++;
	tmem_hooks_put_page(hooks, 1, &oid, 0, (struct page *)&page);
	CHECK_EQ(tmem_hooks_get_page(hooks, 1, &oid, 0, (struct page *)&page), -ENOENT);
	tmem_hooks_invalidate_page(hooks, 1, &oid, 0);
	start(&second, flush_1);
	AWAIT(counters().object_flushes_leaving == 1);
	CHECK(!is_done(&second));
}

static void look_at_calls_while_leaving(void)
{
	join(&second);
	CHECK_EQ(scenes, 1);
	CHECK_EQ(counters().puts_leaving, 1);
	CHECK_EQ(counters().gets_leaving, 1);
	CHECK_EQ(counters().page_flushes_dropped, 1);
}

/* S2: no lock goes before the leave was acknowledged. */
static void a_flush_waits_for_the_end_of_an_umount(void)
{
	set_up();
	tmem_hooks_init_fs(hooks, BIG, uuid, 0);
	keeper->in_destroy_pool = calls_come_all_the_same;
	umount_1();
	look_at_calls_while_leaving();
	tear_down();
}

static void a_flush_waits_for_the_end_of_a_detach(void)
{
	set_up();
	tmem_hooks_init_fs(hooks, BIG, uuid, 0);
	keeper->in_destroy_pool = calls_come_all_the_same;
	detach();
	look_at_calls_while_leaving();
	tear_down();
}

static void mounts(void *scene, int pool)
{
	struct tmem_hooks_mount_info info;

	(void)scene;
	(void)pool;
	scenes++;
	CHECK_EQ(tmem_hooks_init_fs(hooks, BIG, uuid, 0), 2);
	CHECK_EQ(tmem_hooks_mount_info(hooks, 1, &info), 0);
	CHECK_EQ(info.pool, -1);
	tmem_hooks_invalidate_fs(hooks, 2);
	CHECK_EQ(tmem_hooks_init_fs(hooks, BIG, uuid, 0), 3);
}

static void a_mount_during_a_detach_has_no_pool_before_the_next_attach(void)
{
	set_up();
	tmem_hooks_init_fs(hooks, BIG, NULL, 0);
	keeper->in_destroy_pool = mounts;
	detach();
	CHECK_EQ(scenes, 1);
	CHECK_EQ(keeper->pools, 0);
	keeper->in_destroy_pool = NULL;
	CHECK_EQ(keeper_attach(keeper, hooks), 0);
	CHECK_EQ(keeper->pools, 2);
	tear_down();
}

static void an_umount_during_a_detach_waits_for_it(void)
{
	set_up();
	tmem_hooks_init_fs(hooks, BIG, uuid, 0);
	keeper->in_destroy_pool = umounts_too;
	detach();
	join(&second);
	CHECK_EQ(scenes, 1);
	CHECK_EQ(counters().umounts, 1);
	tear_down();
}

static void detaches(void *scene, int pool)
{
	(void)scene;
	(void)pool;
	scenes++;
	start(&second, detach);
	AWAIT(sleepers() == 1);
	CHECK(!is_done(&second));
}

static void a_detach_during_an_umount_waits_for_it(void)
{
	set_up();
	tmem_hooks_init_fs(hooks, BIG, uuid, 0);
	keeper->in_destroy_pool = detaches;
	umount_1();
	join(&second);
	CHECK_EQ(scenes, 1);
	CHECK_EQ(counters().pools_destroyed, 1);
	tear_down();
}

/* ---- stores and loads --------------------------------------------------------------------- */

static int store(uint64_t offset)
{
	uint64_t page = offset;

	return tmem_hooks_store(hooks, 0, offset, (struct page *)&page);
}

static void detach_in_vain(void)
{
	uint64_t pages = 0;

	CHECK_EQ(keeper_detach(keeper, hooks, &pages), -EBUSY);
	CHECK_EQ(pages, 1);
}

static void a_detach_begins(void *scene)
{
	(void)scene;
	if (scenes++)
		return;
	start(&second, detach_in_vain);
	AWAIT(TMEM_SEAM_LOAD(&hooks->stores_stopped));
	CHECK(store(1) != 0);
	CHECK_EQ(counters().stores_stopped, 1);
	CHECK(!is_done(&second));
}

static void a_detach_sees_the_page_of_a_store_under_way(void)
{
	set_up();
	keeper->in_store = a_detach_begins;
	CHECK_EQ(store(0), 0);
	join(&second);
	CHECK_EQ(scenes, 1);
	CHECK_EQ(store(1), 0);
	tmem_hooks_invalidate_slot(hooks, 0, 0);
	tmem_hooks_invalidate_slot(hooks, 0, 1);
	tear_down();
}

static void others_go_on(void *scene)
{
	(void)scene;
	scenes++;
	detach_in_vain();
	umount_1();
	tmem_hooks_area_gone(hooks, 1);
}

/* P: a load may wait for ever; nobody but the task itself waits with it. */
static void nobody_waits_for_a_load_that_waits(void)
{
	uint64_t page;

	set_up();
	CHECK_EQ(tmem_hooks_area_init(hooks, 1, PAGES), 0);
	tmem_hooks_init_fs(hooks, BIG, uuid, 0);
	CHECK_EQ(store(3), 0);
	keeper->in_load = others_go_on;
	CHECK_EQ(tmem_hooks_load(hooks, 0, 3, (struct page *)&page), 0);
	CHECK_EQ(page, 3);
	CHECK_EQ(scenes, 1);
	CHECK_EQ(counters().umounts, 1);
	tmem_hooks_invalidate_slot(hooks, 0, 3);
	tear_down();
}

/* ---- all of it ---------------------------------------------------------------------------- */

enum { ROUNDS = 400, DETACHES = 50, REFUSED = 5, MOUNTERS = 2 };

static uint32_t running; /* threads that decide how long it takes */
static int newest_id;
static uint64_t hits, detached, refused;

static void mounter_round(struct random *random, uint64_t *version)
{
	int id = tmem_hooks_init_fs(hooks, BIG, random_below(random, 2) ? uuid : NULL, 0);

	CHECK(id > 0);
	__atomic_store_n(&newest_id, id, __ATOMIC_RELAXED);
	for (int i = 0; i < 8; i++) {
		uint64_t page = *version;

		/* an object of its own: what others put late has another value */
		struct tmem_oid own = {{(uint64_t)id << 8, 0, 0}};

		tmem_hooks_put_page(hooks, id, &own, 0, (struct page *)&page);
		if (random_below(random, 2)) {
			++*version;
			if (random_below(random, 2))
				tmem_hooks_invalidate_page(hooks, id, &own, 0);
			else
				tmem_hooks_invalidate_inode(hooks, id, &own);
		}
		if (!tmem_hooks_get_page(hooks, id, &own, 0, (struct page *)&page)) {
			CHECK_EQ(page, *version);
			__atomic_fetch_add(&hits, 1, __ATOMIC_RELAXED);
		}
	}
	tmem_hooks_invalidate_fs(hooks, id);
	tmem_hooks_invalidate_fs(hooks, id);
}

static bool wants_more(void)
{
	return __atomic_load_n(&detached, __ATOMIC_RELAXED) < DETACHES ||
	       __atomic_load_n(&refused, __ATOMIC_RELAXED) < REFUSED;
}

static void *mounter(void *context)
{
	struct random random = {.state = (uint64_t)(uintptr_t)context};
	uint64_t version = (uint64_t)(uintptr_t)context << 32;

	for (int i = 0; i < ROUNDS || wants_more(); i++)
		mounter_round(&random, &version);
	__atomic_sub_fetch(&running, 1, __ATOMIC_SEQ_CST);
	return NULL;
}

static bool goes_on(void)
{
	return __atomic_load_n(&running, __ATOMIC_SEQ_CST) > 0;
}

/* Reclaim that has read an id, and recovery that leaves what is being left. */
static void *late(void *context)
{
	struct random random = {.state = (uint64_t)(uintptr_t)context};

	while (goes_on()) {
		int id = __atomic_load_n(&newest_id, __ATOMIC_RELAXED);
		uint64_t page = 1;

		tmem_hooks_put_page(hooks, id, &oid, 0, (struct page *)&page);
		tmem_hooks_invalidate_inode(hooks, id, &oid);
		if (random_below(&random, 50) == 0)
			tmem_hooks_invalidate_fs(hooks, id);
	}
	return NULL;
}

static void *swapper(void *context)
{
	(void)context;
	while (goes_on()) {
		uint64_t page = 0;

		CHECK_EQ(tmem_hooks_area_init(hooks, 0, PAGES), 0);
		for (uint64_t i = 0; i < PAGES; i++) {
			if (store(i))
				continue;
			CHECK_EQ(tmem_hooks_load(hooks, 0, i, (struct page *)&page), 0);
			CHECK_EQ(page, i);
			if (i % 2)
				tmem_hooks_invalidate_slot(hooks, 0, i);
		}
		tmem_hooks_area_gone(hooks, 0);
		usleep(500); /* else there is hardly a moment to detach in */
	}
	return NULL;
}

static void *attacher(void *context)
{
	(void)context;
	while (goes_on()) {
		if (keeper_attach(keeper, hooks) == 0)
			usleep(50);
		if (keeper_detach(keeper, hooks, NULL) == 0)
			__atomic_fetch_add(&detached, 1, __ATOMIC_RELAXED);
		else
			__atomic_fetch_add(&refused, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

static void everything_at_once(void)
{
	void *(*const others[])(void *) = {late, late, swapper, attacher};
	enum { OTHERS = sizeof(others) / sizeof(others[0]) };
	pthread_t threads[MOUNTERS + OTHERS];
	struct tmem_hooks_info info;

	set_up();
	running = MOUNTERS;
	for (uintptr_t i = 0; i < MOUNTERS + OTHERS; i++)
		CHECK_EQ(pthread_create(&threads[i], NULL,
					i < MOUNTERS ? mounter : others[i - MOUNTERS],
					(void *)(i + 1)),
			 0);
	for (int i = 0; i < MOUNTERS + OTHERS; i++)
		CHECK_EQ(pthread_join(threads[i], NULL), 0);
	tmem_hooks_info(hooks, &info);
	CHECK_EQ(info.mounts, 0);
	CHECK(hits > 0);
	printf("%llu hits, %llu detaches, %llu refused\n", (unsigned long long)hits,
	       (unsigned long long)detached, (unsigned long long)refused);
	tear_down();
}

static const struct test tests[] = {
	{"both umounts return when the pool is left", both_umounts_return_when_the_pool_is_left},
	{"a flush waits for the end of an umount", a_flush_waits_for_the_end_of_an_umount},
	{"a flush waits for the end of a detach", a_flush_waits_for_the_end_of_a_detach},
	{"a mount during a detach has no pool before the next attach",
	 a_mount_during_a_detach_has_no_pool_before_the_next_attach},
	{"an umount during a detach waits for it", an_umount_during_a_detach_waits_for_it},
	{"a detach during an umount waits for it", a_detach_during_an_umount_waits_for_it},
	{"a detach sees the page of a store under way",
	 a_detach_sees_the_page_of_a_store_under_way},
	{"nobody waits for a load that waits", nobody_waits_for_a_load_that_waits},
	{"everything at once", everything_at_once},
};

int main(int argc, char **argv)
{
	int result;

	keeper = calloc(1, sizeof(*keeper));
	CHECK(keeper);
	result = RUN_TESTS(tests, argc, argv);
	free(keeper);
	return result;
}
