/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Many threads on one engine, with an operator at work beside them: every page of every actor is
 * what it must be at each moment, and in the end all the sums agree. Meant above all for the
 * variants asan, tsan and debug (which asserts the lock order).
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "page.h"
#include "scratch.h"
#include "workload.h"

#ifdef __SANITIZE_THREAD__
enum { ACTIONS = 12000 }; /* of each actor */
#else
enum { ACTIONS = 80000 };
#endif

enum {
	OPERATOR_ACTIONS_MIN = 500,
	RACERS = 4, /* threads that use the same handles */
	RACED_PAGES = 8,
};

static struct work work;
static struct work_log logs[WORK_ACTORS + 1];
static uint64_t budget_bytes;
static _Atomic int acting; /* actors that have not finished */

static struct tmem_engine *open_arena(const char *path)
{
	struct tmem_options options = {
		.budget_bytes = budget_bytes,
		.max_bytes = 16 << 20,
		.extent_bytes = 16 << 10,
		.create = 1,
	};
	struct tmem_engine *engine;
	struct tmem_error error;

	if (tmem_engine_open(path, &options, &engine, &error) != 0)
		check_failed(__FILE__, __LINE__, "%s", error.message);
	return engine;
}

static void *act(void *argument)
{
	unsigned int actor = (unsigned int)(uintptr_t)argument;
	struct random random = {.state = actor};

	for (int i = 0; i < ACTIONS; i++)
		if (!work_act(&work, actor, &random))
			check_failed(__FILE__, __LINE__, "actor %u: %s", actor,
				     logs[actor].failure);
	atomic_fetch_sub(&acting, 1);
	return NULL;
}

static void *operate(void *argument)
{
	struct random random = {.state = 4711};

	(void)argument;
	for (int i = 0; i < OPERATOR_ACTIONS_MIN || atomic_load(&acting) > 0; i++)
		if (!work_operate(&work, &random, budget_bytes))
			check_failed(__FILE__, __LINE__, "%s", logs[WORK_ACTORS].failure);
	return NULL;
}

static uint64_t put_outcomes(const struct tmem_counters *counters)
{
#define ADD(name, meaning) +counters->name
	return 0 TMEM_PUT_OUTCOMES(ADD);
}

static uint64_t get_outcomes(const struct tmem_counters *counters)
{
	return counters->gets_empty TMEM_GET_OUTCOMES(ADD);
#undef ADD
}

static void check_counters(const struct tmem_counters *counters)
{
	struct work_log totals = work_totals(&work);

	CHECK_EQ(put_outcomes(counters), totals.puts);
	CHECK_EQ(get_outcomes(counters), totals.gets);
	CHECK_EQ(counters->page_flushes, totals.page_flushes);
	CHECK_EQ(counters->range_flushes, totals.range_flushes);
	CHECK_EQ(counters->object_flushes, totals.object_flushes);
	CHECK_EQ(counters->gets_damaged, 0);
	CHECK_EQ(counters->damaged, 0);
	CHECK(counters->puts_stored > 0 && counters->puts_replaced > 0);
	CHECK(counters->gets_hit > 0 && counters->hits_other > 0);
	CHECK(counters->encoded_same > 0 && counters->encoded_lz4 > 0);
	CHECK(counters->deduplicated > 0);
	CHECK(counters->evicted > 0);
	if (!work.may_refuse)
		return;
	CHECK(counters->refused_full > 0 && counters->refused_frozen > 0);
	CHECK(counters->refused_quota > 0 && counters->refused_admission > 0);
	CHECK(counters->dup_puts_flushed > 0);
}

/* Every pool once, and what the engine as a whole says. */
static void check_usage(void)
{
	uint64_t ephemeral_pages = 0;
	uint64_t persistent_pages = 0;
	uint64_t charged_bytes = 0;
	uint64_t charged_to_clients_bytes = 0;
	uint64_t objects = 0;
	struct tmem_client_info client_info;
	struct tmem_pool_info info;
	struct tmem_usage usage;

	for (unsigned int i = 0; i < WORK_CLIENTS; i++) {
		tmem_client_info(work.clients[i], &client_info);
		charged_to_clients_bytes +=
			client_info.ephemeral_bytes + client_info.persistent_bytes;
		for (int64_t id = -1; (id = tmem_pool_next(work.clients[i], id)) >= 0;) {
			CHECK_EQ(tmem_pool_info(work.clients[i], (uint32_t)id, &info), 0);
			if ((info.flags & TMEM_POOL_SHARED) != 0 && info.owner != client_info.uid)
				continue;
			if ((info.flags & TMEM_POOL_PERSISTENT) != 0)
				persistent_pages += info.pages;
			else
				ephemeral_pages += info.pages;
			objects += info.objects;
			charged_bytes += info.bytes;
		}
	}
	tmem_engine_usage(work.engine, &usage);
	CHECK_EQ(usage.clients, WORK_CLIENTS);
	CHECK_EQ(usage.ephemeral_pages, ephemeral_pages);
	CHECK_EQ(usage.persistent_pages, persistent_pages);
	CHECK_EQ(usage.objects, objects);
	CHECK_EQ(charged_to_clients_bytes, charged_bytes);
	CHECK(usage.slot_bytes >= usage.payload_bytes);
	CHECK(usage.resident_bytes >= usage.slot_bytes);
}

static void check_client_sums(const struct tmem_counters *engine_counters)
{
	enum { FIELDS = sizeof(struct tmem_counters) / sizeof(uint64_t) };
	uint64_t sums[FIELDS] = {0};
	uint64_t totals[FIELDS];
	uint64_t fields[FIELDS];
	struct tmem_counters counters;

	memcpy(totals, engine_counters, sizeof(totals));
	for (unsigned int i = 0; i < WORK_CLIENTS; i++) {
		tmem_client_counters(work.clients[i], &counters);
		memcpy(fields, &counters, sizeof(fields));
		for (int n = 0; n < FIELDS; n++)
			sums[n] += fields[n];
	}
	/* The engine's also have those of clients that came and went. */
	for (int n = 0; n < FIELDS; n++)
		CHECK(sums[n] <= totals[n]);
}

/* With the last client goes the last page, and with that all contents, shared ones, too. */
static void check_nothing_stays(void)
{
	struct tmem_usage usage;

	for (unsigned int i = 0; i < WORK_CLIENTS; i++) {
		CHECK_EQ(tmem_client_destroy(work.clients[i]), 0);
		tmem_client_release(work.clients[i]);
	}
	tmem_engine_usage(work.engine, &usage);
	CHECK_EQ(usage.clients + usage.pools + usage.objects, 0);
	CHECK_EQ(usage.ephemeral_pages + usage.persistent_pages, 0);
	CHECK_EQ(usage.payload_bytes, 0);
	CHECK_EQ(usage.slot_bytes, 0);
}

static void work_together(bool tight)
{
	pthread_t threads[WORK_ACTORS + 1];
	struct tmem_counters counters;
	char path[SCRATCH_PATH_BYTES];

	scratch_path(path, tight ? "tight" : "roomy");
	budget_bytes = tight ? 512 << 10 : 16 << 20;
	work = (struct work){.logs = logs, .may_refuse = tight};
	work_create(&work, open_arena(path));
	atomic_store(&acting, WORK_ACTORS);
	for (uintptr_t i = 0; i < WORK_ACTORS; i++)
		CHECK_EQ(pthread_create(&threads[i], NULL, act, (void *)i), 0);
	CHECK_EQ(pthread_create(&threads[WORK_ACTORS], NULL, operate, NULL), 0);
	for (int i = 0; i <= WORK_ACTORS; i++)
		pthread_join(threads[i], NULL);
	check_usage();
	work_verify(&work);
	check_usage();
	tmem_engine_counters(work.engine, &counters);
	check_counters(&counters);
	check_client_sums(&counters);
	printf("%llu puts, %llu evicted, %llu refused for room ... ",
	       (unsigned long long)put_outcomes(&counters), (unsigned long long)counters.evicted,
	       (unsigned long long)counters.refused_full);
	work_release(&work);
	tmem_engine_close(work.engine);
	/* And all of it is in the arena. */
	work_find(&work, open_arena(path));
	work_verify(&work);
	check_nothing_stays();
	tmem_engine_close(work.engine);
}

static void roomy(void)
{
	work_together(false);
}

static void tight(void)
{
	work_together(true);
}

/* ---- the same handles from many threads: no order is promised, but pages are whole ------- */

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
	uint32_t granted;

	memset(&race, 0, sizeof(race));
	CHECK_EQ(tmem_client_create(engine, name, &race.client), 0);
	CHECK_EQ(tmem_pool_new(race.client, uuid,
			       kind | TMEM_ABI_VERSION << TMEM_POOL_VERSION_SHIFT, &race.pool,
			       &granted),
		 0);
	CHECK_EQ(granted, kind);
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
	char path[SCRATCH_PATH_BYTES];

	scratch_path(path, "race");
	budget_bytes = 4 << 20;
	engine = open_arena(path);
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
	char path[SCRATCH_PATH_BYTES];
	uint32_t granted;

	scratch_path(path, "slots");
	budget_bytes = 4 << 20;
	engine = open_arena(path);
	CHECK_EQ(tmem_client_create(engine, "passing", &race.client), 0);
	CHECK_EQ(tmem_pool_new(race.client, NULL,
			       TMEM_POOL_PERSISTENT | TMEM_ABI_VERSION << TMEM_POOL_VERSION_SHIFT,
			       &race.pool, &granted),
		 0);
	for (uintptr_t i = 0; i < RACERS; i++)
		CHECK_EQ(pthread_create(&threads[i], NULL, run_pass, (void *)i), 0);
	for (int i = 0; i < RACERS; i++)
		pthread_join(threads[i], NULL);
	tmem_client_release(race.client);
	tmem_engine_close(engine);
	engine = open_arena(path);
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
	uint32_t granted;
	uint32_t pool;

	CHECK_EQ(tmem_pool_new(client, uuid,
			       TMEM_POOL_SHARED | TMEM_ABI_VERSION << TMEM_POOL_VERSION_SHIFT,
			       &pool, &granted),
		 0);
	CHECK_EQ(granted, TMEM_POOL_SHARED);
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
	char path[SCRATCH_PATH_BYTES];

	scratch_path(path, "hotel");
	budget_bytes = 4 << 20;
	hotel = open_arena(path);
	CHECK_EQ(tmem_engine_set_shared_auth_all(hotel, 1), 0);
	for (uintptr_t i = 0; i < RACERS; i++)
		CHECK_EQ(pthread_create(&threads[i], NULL, come_and_go, (void *)i), 0);
	for (int i = 0; i < RACERS; i++)
		pthread_join(threads[i], NULL);
	tmem_engine_usage(hotel, &usage);
	CHECK_EQ(usage.clients + usage.pools + usage.objects, 0);
	CHECK_EQ(usage.ephemeral_pages + usage.payload_bytes, 0);
	tmem_engine_counters(hotel, &counters);
	CHECK_EQ(put_outcomes(&counters), (uint64_t)RACERS * (ACTIONS / 60) * 20);
	CHECK_EQ(get_outcomes(&counters), (uint64_t)RACERS * (ACTIONS / 60) * 20);
	CHECK(counters.hits_other > 0 && counters.evicted > 0);
	tmem_engine_close(hotel);
}

int main(int argc, char **argv)
{
	static const struct test tests[] = {
		{"roomy", roomy},
		{"tight", tight},
		{"same_handles", same_handles},
		{"slots_change_hands", slots_change_hands},
		{"owners_come_and_go", owners_come_and_go},
	};

	return RUN_TESTS(tests, argc, argv);
}
