// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The counterexamples of tests/model/lifecycle.pml against the hooks: with the rule taken away the
 * property that the trail names is violated, with the rule in place it holds. What a trail lets
 * happen in the middle of a call, the backend does in the middle of it. Builds without TMEM_DEBUG
 * have no switches, so there only the second half is run.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "hooks_scene.h"
#include "trail.h"

static bool without; /* the rule */

static int load(void)
{
	uint64_t page;

	return tmem_hooks_load(hooks, 0, 0, (struct page *)&page);
}

/* ---- somebody else, in the middle of a call ---------------------------------------------- */

static struct {
	pthread_t thread;
	pthread_mutex_t mutex;
	pthread_cond_t changed;
	void (*does)(void);
	bool started, done;
} they = {.mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static void *they_main(void *context)
{
	they.does();
	pthread_mutex_lock(&they.mutex);
	they.done = true;
	pthread_cond_broadcast(&they.changed);
	pthread_mutex_unlock(&they.mutex);
	return context;
}

/* Until they are done, or (where the rule has them wait for us) for a moment. */
static void give_way(void)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += without ? 60 : 0;
	until.tv_nsec += without ? 0 : 50 * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	pthread_mutex_lock(&they.mutex);
	while (!they.done && !pthread_cond_timedwait(&they.changed, &they.mutex, &until))
		;
	pthread_mutex_unlock(&they.mutex);
}

static void others_do(void (*does)(void))
{
	they.does = does;
	they.started = true;
	they.done = false;
	CHECK_EQ(pthread_create(&they.thread, NULL, they_main, NULL), 0);
	give_way();
}

static void others_end(void)
{
	if (they.started)
		CHECK_EQ(pthread_join(they.thread, NULL), 0);
	they.started = false;
}

static void umount_1(void)
{
	tmem_hooks_invalidate_fs(hooks, 1);
}

static void umount_2(void)
{
	tmem_hooks_invalidate_fs(hooks, 2);
}

/* The first time that the backend is in the middle of a call; later ones pass. */
static int scenes;
static void (*scene_does)(void);

static void plays(void)
{
	if (__atomic_fetch_add(&scenes, 1, __ATOMIC_SEQ_CST) == 0)
		others_do(scene_does);
}

static void in_new_pool(void *scene, int pool, uint8_t mount)
{
	(void)scene;
	(void)pool;
	(void)mount;
	plays();
}

static void in_put(void *scene, int pool)
{
	(void)scene;
	(void)pool;
	plays();
}

/* ---- the trails: each returns whether its property was violated --------------------------- */

/* A late put with the id of a mount that is gone reaches the pool of another file system. */
static bool id_reuse_late_put(void)
{
	int late, id;

	CHECK_EQ(keeper_attach(keeper, hooks), 0);
	late = mount_fs(uuids[0]);
	tmem_hooks_invalidate_fs(hooks, late);
	id = mount_fs(uuids[1]);
	put(late, 77);
	return get(id) == 77;
}

/* Whoever makes a pool does it for an entry of the table and not for an id. */
static bool id_reuse_makes_pool(void)
{
	CHECK_EQ(keeper_attach(keeper, hooks), 0);
	keeper->in_new_pool = in_new_pool;
	scene_does = umount_1;
	mount_fs(uuids[0]);
	others_end();
	mount_fs(uuids[1]);
	return keeper_pools_of(keeper, 1) > 0 || keeper_pools_of(keeper, 2) != 1;
}

/* Two pools go at once, and for each of them a pool is made for the mount that had none. */
static bool two_makers(void)
{
	keeper->pools_max = 2;
	CHECK_EQ(keeper_attach(keeper, hooks), 0);
	mount_fs(NULL);
	mount_fs(NULL);
	mount_fs(uuids[0]);
	keeper->in_new_pool = in_new_pool;
	scene_does = umount_2;
	umount_1();
	others_end();
	return keeper_pools_of(keeper, 1) != 1;
}

/* The mount goes while its pool is made. */
static bool no_second_look(void)
{
	CHECK_EQ(keeper_attach(keeper, hooks), 0);
	keeper->in_new_pool = in_new_pool;
	scene_does = umount_1;
	mount_fs(uuids[0]);
	others_end();
	return keeper_pools_of(keeper, 1) != 0;
}

/* F8 is the kernel's: who has an id is not given another one. */
static bool remount_leaks(void)
{
	CHECK_EQ(keeper_attach(keeper, hooks), 0);
	mount_fs(uuids[0]);
	if (without)
		mount_fs(uuids[0]);
	return keeper_pools_of(keeper, 1) != 1;
}

/* What is written while there is no backend is invalidated nowhere. */
static bool old_pool_resumed(void)
{
	int id;

	CHECK_EQ(keeper_attach(keeper, hooks), 0);
	id = mount_fs(uuids[0]);
	put(id, 1);
	CHECK_EQ(keeper_detach(keeper, hooks, NULL), 0);
	tmem_hooks_invalidate_page(hooks, id, &oid, 0);
	CHECK_EQ(keeper_attach(keeper, hooks), 0);
	return get(id) == 1;
}

static bool detach_with_pages(void)
{
	CHECK_EQ(tmem_hooks_area_init(hooks, 0, 8), 0);
	CHECK_EQ(keeper_attach(keeper, hooks), 0);
	CHECK_EQ(store(0, 0), 0);
	keeper_detach(keeper, hooks, NULL);
	return load() != 0;
}

/* A pool of one backend is none of another. */
static bool second_backend(void)
{
	int id;

	CHECK_EQ(keeper_attach(keeper, hooks), 0);
	id = mount_fs(uuids[0]);
	keeper_attach(other, hooks);
	put(id, 1);
	return other->violations != 0;
}

/* The pool is destroyed while a put is in it. */
static bool no_grace(void)
{
	CHECK_EQ(keeper_attach(keeper, hooks), 0);
	mount_fs(uuids[0]);
	keeper->in_put = in_put;
	scene_does = umount_1;
	put(1, 1);
	others_end();
	return keeper->violations & KEEPER_DEAD_POOL;
}

/* Making a pool is atomic: it does not wait for the host, there or gone. */
static bool pool_maker_waits_for_ever(void)
{
	keeper->pools_max = 0;
	CHECK_EQ(keeper_attach(keeper, hooks), 0);
	mount_fs(uuids[0]);
	umount_1();
	return keeper_pools_of(keeper, 1) != 0;
}

/* ---- all of them -------------------------------------------------------------------------- */

enum { BY_CONSTRUCTION = 1 }; /* there is nothing to be taken away */

static const struct plan {
	const char *mutant;
	const char *property;
	bool (*replay)(void);
	uint32_t rule;
	uint32_t flags;
} plans[] = {
	{"id-reuse-makes-pool", "one_pool_per_mount", id_reuse_makes_pool, 0, BY_CONSTRUCTION},
	{"id-reuse-late-put", "no_foreign_page", id_reuse_late_put, TMEM_HOOKS_RULE_IDS, 0},
	{"two-makers", "one_pool_per_mount", two_makers, TMEM_HOOKS_RULE_ONE_MAKER, 0},
	{"no-second-look", "no_pool_for_dead_mount", no_second_look, TMEM_HOOKS_RULE_RECHECK, 0},
	{"remount-leaks", "one_pool_per_mount", remount_leaks, 0, 0},
	{"old-pool-resumed", "no_old_read", old_pool_resumed, TMEM_HOOKS_RULE_NEW_POOLS, 0},
	{"detach-with-pages", "load_never_fails", detach_with_pages, TMEM_HOOKS_RULE_F1, 0},
	{"second-backend", "one_backend", second_backend, TMEM_HOOKS_RULE_BUSY, 0},
	{"no-grace", "no_call_after_unload", no_grace, TMEM_HOOKS_RULE_GRACE, 0},
	{"pool-maker-waits-for-ever", "every_wait_ends", pool_maker_waits_for_ever, 0,
	 BY_CONSTRUCTION},
};

static bool violated(const struct plan *plan, bool mutant)
{
	bool result;

	set_up();
	without = mutant;
	scenes = 0;
#ifdef TMEM_DEBUG
	tmem_hooks_without = mutant ? plan->rule : 0;
#endif
	result = plan->replay();
	if (!mutant)
		CHECK_EQ(keeper->violations | other->violations, 0);
#ifdef TMEM_DEBUG
	tmem_hooks_without = 0;
#endif
	tear_down_unchecked();
	return result;
}

static bool fails(uint32_t number)
{
	const struct plan *plan = &plans[number];
	const char *taken_away = "not asked";
	bool with, wrong = false;
	struct trail trail;

	CHECK(trail_read(&trail, plan->mutant));
	CHECK(strcmp(trail.property, plan->property) == 0);
	with = violated(plan, false);
	if (plan->flags & BY_CONSTRUCTION)
		taken_away = "not possible";
#ifdef TMEM_DEBUG
	else {
		wrong = !violated(plan, true);
		taken_away = wrong ? "HOLDS" : "violated";
	}
#endif
	printf("%-26s without the rule: %s; with it: %s\n", plan->mutant, taken_away,
	       with ? "VIOLATED" : "holds");
	return with || wrong;
}

static const char *mutant(uint32_t number)
{
	return plans[number].mutant;
}

int main(int argc, char **argv)
{
	return trails_run(sizeof(plans) / sizeof(plans[0]), mutant, fails, argc, argv);
}
