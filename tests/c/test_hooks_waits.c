// SPDX-License-Identifier: GPL-2.0-or-later
/* The table of the hooks while another thread is in the middle of a call: who waits for whom. */
#include <errno.h>
#include <pthread.h>
#include <unistd.h>

#include "hooks_scene.h"

static int scenes; /* that were played */

static void begin(void)
{
	scenes = 0;
	set_up_attached();
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
	begin();
	mount_fs(uuids[0]);
	keeper->in_destroy_pool = umounts_too;
	umount_1();
	join(&second);
	CHECK_EQ(scenes, 1);
	CHECK_EQ(counters().umounts, 1);
	CHECK_EQ(counters().umounts_waited, 1);
	umount_1();
	CHECK_EQ(counters().umounts_unknown, 1);
	tear_down_attached();
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
	begin();
	mount_fs(uuids[0]);
	keeper->in_destroy_pool = calls_come_all_the_same;
	umount_1();
	look_at_calls_while_leaving();
	tear_down_attached();
}

static void a_flush_waits_for_the_end_of_a_detach(void)
{
	begin();
	mount_fs(uuids[0]);
	keeper->in_destroy_pool = calls_come_all_the_same;
	detach();
	look_at_calls_while_leaving();
	tear_down_attached();
}

static void flush_begins(void *scene, int pool)
{
	(void)scene;
	(void)pool;
	start(&second, flush_1);
	AWAIT(counters().object_flushes_leaving == 1);
}

static void backend_is_forgotten(void *scene, int pool)
{
	(void)scene;
	(void)pool;
	scenes++;
	AWAIT(!TMEM_SEAM_LOAD(&hooks->backend));
	usleep(20000); /* for who does not wait */
	CHECK(keeper->attached);
}

/* Who is still in the backend when nobody else comes to it any more. */
static void a_detach_waits_for_the_last_call(void)
{
	begin();
	mount_fs(uuids[0]);
	keeper->in_destroy_pool = flush_begins;
	keeper->in_flush_object = backend_is_forgotten;
	detach();
	join(&second);
	CHECK_EQ(scenes, 1);
	tear_down_attached();
}

static void mounts(void *scene, int pool)
{
	struct tmem_hooks_mount_info info;

	(void)scene;
	(void)pool;
	scenes++;
	CHECK_EQ(mount_fs(uuids[0]), 2);
	CHECK_EQ(tmem_hooks_mount_info(hooks, 1, &info), 0);
	CHECK_EQ(info.pool, -1);
	tmem_hooks_invalidate_fs(hooks, 2);
	CHECK_EQ(mount_fs(uuids[0]), 3);
}

static void a_mount_during_a_detach_has_no_pool_before_the_next_attach(void)
{
	begin();
	mount_fs(NULL);
	keeper->in_destroy_pool = mounts;
	detach();
	CHECK_EQ(scenes, 1);
	CHECK_EQ(keeper->pools, 0);
	keeper->in_destroy_pool = NULL;
	CHECK_EQ(keeper_attach(keeper, hooks), 0);
	CHECK_EQ(keeper->pools, 2);
	tear_down_attached();
}

static void an_umount_during_a_detach_waits_for_it(void)
{
	begin();
	mount_fs(uuids[0]);
	keeper->in_destroy_pool = umounts_too;
	detach();
	join(&second);
	CHECK_EQ(scenes, 1);
	CHECK_EQ(counters().umounts, 1);
	tear_down_attached();
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
	begin();
	mount_fs(uuids[0]);
	keeper->in_destroy_pool = detaches;
	umount_1();
	join(&second);
	CHECK_EQ(scenes, 1);
	CHECK_EQ(counters().pools_destroyed, 1);
	tear_down_attached();
}

/* ---- stores and loads --------------------------------------------------------------------- */

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
	CHECK(store(0, 1) != 0);
	CHECK_EQ(counters().stores_stopped, 1);
	CHECK(!is_done(&second));
}

static void a_detach_sees_the_page_of_a_store_under_way(void)
{
	begin();
	keeper->in_store = a_detach_begins;
	CHECK_EQ(store(0, 0), 0);
	join(&second);
	CHECK_EQ(scenes, 1);
	CHECK_EQ(store(0, 1), 0);
	tmem_hooks_invalidate_slot(hooks, 0, 0);
	tmem_hooks_invalidate_slot(hooks, 0, 1);
	tear_down_attached();
}

static void it_still_counts(void *scene)
{
	(void)scene;
	scenes++;
	CHECK_EQ(tmem_areas_held(hooks), 1);
}

/* Else a detach went on, and the backend was asked to flush when it is attached no more. */
static void a_page_counts_until_the_backend_has_flushed_it(void)
{
	begin();
	CHECK_EQ(store(0, 3), 0);
	keeper->in_flush_slot = it_still_counts;
	tmem_hooks_invalidate_slot(hooks, 0, 3);
	CHECK_EQ(scenes, 1);
	tear_down_attached();
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

	begin();
	CHECK_EQ(tmem_hooks_area_init(hooks, 1, PAGES), 0);
	mount_fs(uuids[0]);
	CHECK_EQ(store(0, 3), 0);
	keeper->in_load = others_go_on;
	CHECK_EQ(tmem_hooks_load(hooks, 0, 3, (struct page *)&page), 0);
	CHECK_EQ(page, 3);
	CHECK_EQ(scenes, 1);
	CHECK_EQ(counters().umounts, 1);
	tmem_hooks_invalidate_slot(hooks, 0, 3);
	tear_down_attached();
}

static const struct test tests[] = {
	{"both umounts return when the pool is left", both_umounts_return_when_the_pool_is_left},
	{"a flush waits for the end of an umount", a_flush_waits_for_the_end_of_an_umount},
	{"a flush waits for the end of a detach", a_flush_waits_for_the_end_of_a_detach},
	{"a detach waits for the last call", a_detach_waits_for_the_last_call},
	{"a mount during a detach has no pool before the next attach",
	 a_mount_during_a_detach_has_no_pool_before_the_next_attach},
	{"an umount during a detach waits for it", an_umount_during_a_detach_waits_for_it},
	{"a detach during an umount waits for it", a_detach_during_an_umount_waits_for_it},
	{"a detach sees the page of a store under way",
	 a_detach_sees_the_page_of_a_store_under_way},
	{"a page counts until the backend has flushed it",
	 a_page_counts_until_the_backend_has_flushed_it},
	{"nobody waits for a load that waits", nobody_waits_for_a_load_that_waits},
};

int main(int argc, char **argv)
{
	return RUN_TESTS(tests, argc, argv);
}
