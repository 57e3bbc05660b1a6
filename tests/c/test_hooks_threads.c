// SPDX-License-Identifier: GPL-2.0-or-later
/* The table of the hooks in threads, all of it at the same time. */
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#include "hooks_scene.h"
#include "random.h"

enum { ROUNDS = 400, DETACHES = 50, REFUSED = 5, MOUNTERS = 2 };

static uint32_t running; /* threads that decide how long it takes */
static int newest_id;
static uint64_t hits, detached, refused;

static void mounter_round(struct random *random, uint64_t *version)
{
	int id = mount_fs(random_below(random, 2) ? uuids[0] : NULL);

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
			if (store(0, i))
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

	set_up_attached();
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
	tear_down_attached();
}

static const struct test tests[] = {
	{"everything at once", everything_at_once},
};

int main(int argc, char **argv)
{
	return RUN_TESTS(tests, argc, argv);
}
