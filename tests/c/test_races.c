/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Threads that get into each other's way on purpose: on the same handles, in the same slots, in a
 * shared pool whose owner keeps changing.
 */
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "check.h"
#include "page.h"
#include "random.h"
#include "setup.h"

#ifdef __SANITIZE_THREAD__
enum { ACTIONS = 12000 }; /* of each thread */
#else
enum { ACTIONS = 80000 };
#endif

enum { ARENA_BYTES = 4 << 20, RACERS = 4, RACED_PAGES = 8 };

/* ---- the same handles: no order is promised, but pages are whole ------------------------- */

struct race {
	struct tmem_client *client;
	uint32_t pool;
	_Atomic uint32_t newest[RACED_PAGES];
};

static struct race race;

static void *run_race(void *argument)
{
	uint32_t racer = (uint32_t)(uintptr_t)argument;
	struct random random = {.state = racer};
	struct tmem_oid oid = {.words = {1, 2, 3}};
	unsigned char contents[TMEM_PAGE_BYTES];

	for (int i = 0; i < ACTIONS / 2; i++) {
		uint32_t page = random_below(&random, RACED_PAGES);
		uint32_t choice = random_below(&random, 10);
		int result;

		if (choice < 5) {
			uint32_t number = page << 20 | ++race.newest[page];

			page_make(contents, page_value(racer % PAGE_FILLS, number));
			result = tmem_put(race.client, race.pool, &oid, page, contents);
			CHECK_EQ(result, TMEM_DONE);
		} else if (choice < 9) {
			result = tmem_get(race.client, race.pool, &oid, page, contents);
			CHECK(result == TMEM_DONE || result == TMEM_MISS || result == TMEM_EEMPTY);
			if (result == TMEM_DONE) {
				uint32_t number = page_read(contents) & 0xfffffff;

				CHECK(number != 0);
				CHECK_EQ(number >> 20, page);
				CHECK((number & 0xfffff) <= race.newest[page]);
			}
		} else {
			CHECK_EQ(tmem_flush_page(race.client, race.pool, &oid, page), TMEM_DONE);
		}
	}
	return NULL;
}

static void race_in_pool(struct tmem_engine *engine, const char *name, uint32_t kind,
			 const uint8_t *uuid)
{
	pthread_t threads[RACERS];
	struct tmem_usage usage;

	memset(&race, 0, sizeof(race));
	CHECK_EQ(tmem_client_create(engine, name, &race.client), 0);
	race.pool = setup_pool_of(race.client, kind, uuid);
	for (uintptr_t i = 0; i < RACERS; i++)
		CHECK_EQ(pthread_create(&threads[i], NULL, run_race, (void *)i), 0);
	for (int i = 0; i < RACERS; i++)
		pthread_join(threads[i], NULL);
	tmem_engine_usage(engine, &usage);
	CHECK(usage.ephemeral_pages + usage.persistent_pages <= RACED_PAGES);
	CHECK_EQ(tmem_client_destroy(race.client), 0);
	tmem_client_release(race.client);
	tmem_engine_usage(engine, &usage);
	CHECK_EQ(usage.ephemeral_pages + usage.persistent_pages, 0);
	CHECK_EQ(usage.objects, 0);
	CHECK_EQ(usage.payload_bytes, 0);
}

static void same_handles(void)
{
	const uint8_t uuid[TMEM_UUID_BYTES] = {9};
	struct tmem_engine *engine;

	engine = setup_engine("race", ARENA_BYTES);
	CHECK_EQ(tmem_engine_set_shared_auth_all(engine, 1), 0);
	race_in_pool(engine, "persistent", TMEM_POOL_PERSISTENT, NULL);
	race_in_pool(engine, "ephemeral", 0, NULL);
	race_in_pool(engine, "shared", TMEM_POOL_SHARED, uuid);
	tmem_engine_close(engine);
}

/* ---- pages that need nothing but a slot of one class: slots change hands all the time ---- */

static void *run_pass(void *argument)
{
	struct tmem_oid oid = {.words = {(uintptr_t)argument, 0, 0}};
	unsigned char contents[TMEM_PAGE_BYTES];

	for (uint32_t i = 0; i < ACTIONS; i++) {
		uint32_t value = page_value(PAGE_SAME, 1 + i);

		page_make(contents, value);
		CHECK_EQ(tmem_put(race.client, race.pool, &oid, i % 3, contents), TMEM_DONE);
		CHECK_EQ(tmem_get(race.client, race.pool, &oid, i % 3, contents), TMEM_DONE);
		CHECK(page_equals(contents, value));
		if (i % 3 == 2)
			CHECK_EQ(tmem_flush_object(race.client, race.pool, &oid), TMEM_DONE);
	}
	return NULL;
}

/* A page may be lost only if somebody clears a record in a slot that is another's by now; recovery
 * counts what is left. */
static void slots_change_hands(void)
{
	pthread_t threads[RACERS];
	struct tmem_engine *engine;
	struct tmem_recovery recovery;

	engine = setup_engine("slots", ARENA_BYTES);
	CHECK_EQ(tmem_client_create(engine, "passing", &race.client), 0);
	race.pool = setup_pool(race.client, TMEM_POOL_PERSISTENT);
	for (uintptr_t i = 0; i < RACERS; i++)
		CHECK_EQ(pthread_create(&threads[i], NULL, run_pass, (void *)i), 0);
	for (int i = 0; i < RACERS; i++)
		pthread_join(threads[i], NULL);
	tmem_client_release(race.client);
	tmem_engine_close(engine);
	engine = setup_engine("slots", ARENA_BYTES);
	tmem_engine_recovery(engine, &recovery);
	CHECK_EQ(recovery.pages, RACERS * (ACTIONS % 3));
	CHECK_EQ(recovery.stale_records + recovery.damaged_records, 0);
	tmem_engine_close(engine);
}

/* ---- clients that join one shared pool, use it and go: it is handed from owner to owner ----- */

static struct tmem_engine *hotel;

static void stay(struct tmem_client *client, struct random *random)
{
	const uint8_t uuid[TMEM_UUID_BYTES] = {5};
	struct tmem_oid oid = {.words = {5, 5, 5}};
	unsigned char contents[TMEM_PAGE_BYTES];
	struct tmem_pool_info info;
	uint32_t pool;

	pool = setup_pool_of(client, TMEM_POOL_SHARED, uuid);
	for (int i = 0; i < 20; i++) {
		uint32_t page = random_below(random, 2 * RACED_PAGES);
		int result;

		page_make(contents, page_value(PAGE_RAW, page << 20 | (1 + i)));
		result = tmem_put(client, pool, &oid, page, contents);
		CHECK(result == TMEM_DONE || result == TMEM_EDQUOT || result == TMEM_ENOSPC);
		page = random_below(random, 2 * RACED_PAGES);
		result = tmem_get(client, pool, &oid, page, contents);
		CHECK(result == TMEM_DONE || result == TMEM_MISS || result == TMEM_EEMPTY);
		if (result == TMEM_DONE)
			CHECK_EQ((page_read(contents) & 0xfffffff) >> 20, page);
	}
	CHECK_EQ(tmem_pool_info(client, pool, &info), 0);
	CHECK(info.members >= 1 && info.served);
}

static void *come_and_go(void *argument)
{
	unsigned int guest = (unsigned int)(uintptr_t)argument;
	struct random random = {.state = guest};
	struct tmem_client_info info;
	struct tmem_client *client;
	char name[32];

	snprintf(name, sizeof(name), "guest %u", guest);
	for (int i = 0; i < ACTIONS / 60; i++) {
		CHECK_EQ(tmem_client_create(hotel, name, &client), 0);
		tmem_client_info(client, &info);
		/* Whoever owns the pool has to evict for every other's puts. */
		info.settings.cap_bytes = 6 * TMEM_PAGE_BYTES;
		info.settings.dedup = random_below(&random, 2);
		CHECK_EQ(tmem_client_set(client, &info.settings), 0);
		stay(client, &random);
		CHECK_EQ(tmem_client_destroy(client), 0);
		tmem_client_release(client);
	}
	return NULL;
}

static void owners_come_and_go(void)
{
	pthread_t threads[RACERS];
	struct tmem_counters counters;
	struct tmem_usage usage;

	hotel = setup_engine("hotel", ARENA_BYTES);
	CHECK_EQ(tmem_engine_set_shared_auth_all(hotel, 1), 0);
	for (uintptr_t i = 0; i < RACERS; i++)
		CHECK_EQ(pthread_create(&threads[i], NULL, come_and_go, (void *)i), 0);
	for (int i = 0; i < RACERS; i++)
		pthread_join(threads[i], NULL);
	tmem_engine_usage(hotel, &usage);
	CHECK_EQ(usage.clients + usage.pools + usage.objects, 0);
	CHECK_EQ(usage.ephemeral_pages + usage.payload_bytes, 0);
	tmem_engine_counters(hotel, &counters);
	CHECK(counters.hits_other > 0 && counters.evicted > 0);
	tmem_engine_close(hotel);
}

int main(int argc, char **argv)
{
	static const struct test tests[] = {
		{"same_handles", same_handles},
		{"slots_change_hands", slots_change_hands},
		{"owners_come_and_go", owners_come_and_go},
	};

	return RUN_TESTS(tests, argc, argv);
}
