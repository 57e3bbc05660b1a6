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
#include "setup.h"
#include "workload.h"

#ifdef __SANITIZE_THREAD__
enum { ACTIONS = 12000 }; /* of each actor */
#else
enum { ACTIONS = 80000 };
#endif

enum {
	OPERATOR_ACTIONS_MIN = 500,
	MAX_BYTES = 16 << 20,
	TIGHT_BYTES = 512 << 10,
};

static struct work work;
static struct work_log logs[WORK_ACTORS + 1];
static uint64_t budget_bytes;
static _Atomic int acting; /* actors that have not finished */

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
	budget_bytes = tight ? TIGHT_BYTES : MAX_BYTES;
	work = (struct work){.logs = logs, .may_refuse = tight};
	work_create(&work, setup_open(path, budget_bytes, MAX_BYTES));
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
	work_find(&work, setup_open(path, budget_bytes, MAX_BYTES));
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

int main(int argc, char **argv)
{
	static const struct test tests[] = {
		{"roomy", roomy},
		{"tight", tight},
	};

	return RUN_TESTS(tests, argc, argv);
}
