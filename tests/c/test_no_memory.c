/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Every allocation may fail: puts are then refused and leave nothing behind, flushes and
 * destruction work all the same, and an arena that can not be opened for want of memory loses
 * nothing by the attempt.
 *
 * The allocator's entry points are defined here, before those of the C library and of the
 * sanitizers, which still do the work.
 */
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "internal.h"
#include "model.h"
#include "random.h"
#include "setup.h"

static struct random failures;
static uint32_t fail_one_in;   /* 0: none by chance */
static uint64_t fail_after;    /* allocations from now; 0: none by count */
static uint64_t failed_so_far; /* allocations that were refused */

/* Allocations begin before the thread sanitizer does. */
#define UNWATCHED __attribute__((no_sanitize("thread"), noinline))

UNWATCHED static bool by_chance(void)
{
	/* As random_below(), which would be watched. */
	failures.state = failures.state * 6364136223846793005 + 1442695040888963407;
	return (failures.state >> 33) % fail_one_in == 0;
}

/* True if this allocation is to fail. */
UNWATCHED static bool fails(void)
{
	bool now = fail_one_in != 0 && by_chance();

	if (fail_after != 0 && --fail_after == 0)
		now = true;
	failed_so_far += now;
	return now;
}

UNWATCHED void *malloc(size_t bytes)
{
	static void *(*next)(size_t bytes);

	if (next == NULL)
		*(void **)&next = dlsym(RTLD_NEXT, "malloc");
	return fails() ? NULL : next(bytes);
}

UNWATCHED void *calloc(size_t count, size_t bytes)
{
	static void *(*next)(size_t count, size_t bytes);

	if (next == NULL)
		*(void **)&next = dlsym(RTLD_NEXT, "calloc");
	return fails() ? NULL : next(count, bytes);
}

UNWATCHED void *realloc(void *memory, size_t bytes)
{
	static void *(*next)(void *memory, size_t bytes);

	if (next == NULL)
		*(void **)&next = dlsym(RTLD_NEXT, "realloc");
	return fails() ? NULL : next(memory, bytes);
}

static void operate(struct random *random)
{
	struct model_pool *pool = &model.pools[random_below(random, MODEL_POOLS)];
	int object = (int)random_below(random, MODEL_OBJECTS);
	int index = (int)random_below(random, MODEL_INDEXES);
	uint32_t choice = random_below(random, 100);

	if (!pool->exists) {
		model_new_pool((int)(pool - model.pools), (uint8_t)random_next(random));
	} else if (choice < 55) {
		model_put(pool, object, index, random_below(random, PAGE_FILLS));
	} else if (choice < 75) {
		model_get(pool, object, index);
	} else if (choice < 85) {
		model_flush_page(pool, object, index);
	} else if (choice < 90) {
		model_flush_object(pool, object);
	} else if (choice < 92) {
		model_flush_pool(pool);
	} else if (choice < 94) {
		model_destroy_pool(pool);
	} else if (choice < 96) {
		model_destroy_client((int)random_below(random, MODEL_CLIENTS));
	} else {
		model_authorise((int)random_below(random, MODEL_CLIENTS),
				(int)random_below(random, MODEL_UUIDS));
	}
}

static void set_all_clients(uint8_t choice)
{
	for (int i = 0; i < MODEL_CLIENTS; i++)
		model_set_client(i, choice, 0);
}

static void operations_survive(void)
{
	enum { ROUNDS = 60, OPERATIONS = 300 };
	struct random random = {.state = 1};
	uint64_t failed_before = failed_so_far;

	model_start();
	for (uint32_t round = 0; round < ROUNDS; round++) {
		/* every encoding, with and without dedup */
		set_all_clients((uint8_t)(round % 8));
		failures.state = round;
		for (uint32_t i = 0; i < OPERATIONS; i++) {
			fail_one_in = round % 4 + 1;
			operate(&random);
			fail_one_in = 0;
			model_check_counts();
		}
		if (round % 2 != 0)
			model_crash();
		else
			model_reopen();
		model_check_pages();
	}
	model_close();
	CHECK(failed_so_far > failed_before);
}

/* ---- a host without memory for the arena ------------------------------------------------ */

static const struct tmem_backing_ops *real_ops;
static struct random host_random = {.state = 3};
static uint32_t host_refuses_one_in;

static bool host_refuses(void)
{
	return host_refuses_one_in != 0 && random_below(&host_random, host_refuses_one_in) == 0;
}

static int reserve_or_not(struct tmem_backing *backing, uint64_t offset, uint64_t bytes)
{
	return host_refuses() ? -ENOSPC : real_ops->reserve(backing, offset, bytes);
}

static int give_back_or_not(struct tmem_backing *backing, uint64_t offset, uint64_t bytes)
{
	return host_refuses() ? -EIO : real_ops->give_back(backing, offset, bytes);
}

static void the_host_refuses(void)
{
	enum { ROUNDS = 40, OPERATIONS = 200, EXTENTS = 3 };
	struct random random = {.state = 2};
	struct tmem_shrink_report report;
	struct tmem_backing_ops ops;
	struct tmem_counters counters;
	uint64_t refused = 0;

	model_start();
	for (uint32_t round = 0; round < ROUNDS; round++) {
		real_ops = model.engine->backing->ops;
		ops = *real_ops;
		ops.reserve = reserve_or_not;
		ops.give_back = give_back_or_not;
		model.engine->backing->ops = &ops;
		set_all_clients((uint8_t)(round % 8));
		host_refuses_one_in = round % 3 + 1;
		for (uint32_t i = 0; i < OPERATIONS; i++) {
			operate(&random);
			if (i % 20 == 0)
				tmem_engine_shrink(model.engine, EXTENTS * SETUP_EXTENT_BYTES,
						   &report);
			model_check_counts();
		}
		host_refuses_one_in = 0;
		model.engine->backing->ops = real_ops;
		tmem_engine_counters(model.engine, &counters);
		refused += counters.refused_host;
		model_crash();
		model_check_pages();
	}
	model_close();
	CHECK(refused > 10);
}

/* The engine after @allocations of opening were granted and the next was not. */
static bool opens_without(const char *path, uint64_t allocations)
{
	struct tmem_options options = {.create = 0};
	struct tmem_engine *engine;
	struct tmem_error error;
	int code;

	fail_after = allocations + 1;
	code = tmem_engine_open(path, &options, &engine, &error);
	if (fail_after == 0) {
		/* It noticed, and gave up in order; or it could do without. */
		CHECK(code == 0 || code == -ENOMEM);
		CHECK(code == 0 || error.message[0] != '\0');
	} else {
		fail_after = 0;
		CHECK_EQ(code, 0);
		tmem_engine_close(engine);
		return true;
	}
	if (code == 0)
		tmem_engine_close(engine);
	return false;
}

/* Pages of every kind, contents that have lost their own page, and two pools. */
static void make_arena(void)
{
	char path[SCRATCH_PATH_BYTES];
	struct tmem_client_info info;
	struct tmem_engine *engine;
	struct tmem_client *client;
	uint32_t pool;
	uint32_t other;

	scratch_path(path, "open");
	unlink(path);
	engine = setup_engine("open", 1 << 20);
	client = setup_client(engine, "guest", TMEM_ENCODING_LZ4);
	pool = setup_pool(client, TMEM_POOL_PERSISTENT);
	other = setup_pool(client, TMEM_POOL_PERSISTENT);
	tmem_client_info(client, &info);
	info.settings.dedup = 1;
	CHECK_EQ(tmem_client_set(client, &info.settings), 0);
	for (uint32_t i = 0; i < 40; i++) {
		uint32_t value = page_value(i % PAGE_FILLS, 1 + i);

		CHECK_EQ(setup_put(client, other, i, value), TMEM_DONE);
		CHECK_EQ(setup_put(client, pool, i, value), TMEM_DONE);
		if (i % 3 == 0)
			CHECK_EQ(tmem_flush_page(client, other, &setup_oid, i), TMEM_DONE);
	}
	tmem_client_release(client);
	tmem_engine_close(engine);
}

static void check_arena(void)
{
	struct tmem_engine *engine = setup_engine("open", 1 << 20);
	struct tmem_client *client;
	uint32_t pool;
	uint32_t other;

	CHECK_EQ(tmem_client_find(engine, "guest", &client), 0);
	pool = (uint32_t)tmem_pool_next(client, -1);
	other = (uint32_t)tmem_pool_next(client, pool);
	for (uint32_t i = 0; i < 40; i++) {
		uint32_t value = page_value(i % PAGE_FILLS, 1 + i);

		CHECK_EQ(setup_get(client, pool, i), value);
		CHECK_EQ(setup_get(client, other, i), i % 3 == 0 ? 0 : value);
	}
	tmem_client_release(client);
	tmem_engine_close(engine);
}

static void opening_loses_nothing(void)
{
	enum { MANY = 100000 };
	char path[SCRATCH_PATH_BYTES];
	uint64_t allocations = 0;

	scratch_path(path, "open");
	make_arena();
	check_arena();
	while (!opens_without(path, allocations)) {
		check_arena();
		allocations++;
		CHECK(allocations < MANY);
	}
	CHECK(allocations > 5);
}

static void checking_fails_in_order(void)
{
	struct tmem_arena_report report;
	char path[SCRATCH_PATH_BYTES];
	struct tmem_error error;
	int code = -ENOMEM;

	scratch_path(path, "open");
	make_arena();
	for (uint64_t allocations = 0; code != 0; allocations++) {
		fail_after = allocations + 1;
		code = tmem_arena_check(path, 1, &report, &error);
		fail_after = 0;
		CHECK(code == 0 || code == -ENOMEM);
		CHECK(code == 0 || error.message[0] != '\0');
	}
	CHECK_EQ(report.persistent_pages, 66);
	CHECK_EQ(report.damaged_records + report.damaged_contents, 0);
}

int main(int argc, char **argv)
{
	static const struct test tests[] = {
		{"operations_survive", operations_survive},
		{"the_host_refuses", the_host_refuses},
		{"opening_loses_nothing", opening_loses_nothing},
		{"checking_fails_in_order", checking_fails_in_order},
	};

	return RUN_TESTS(tests, argc, argv);
}
