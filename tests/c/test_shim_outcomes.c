/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Of each put and store that fails the reason is counted. Who may not wait gets at once what he
 * would have got at his deadline; builds without TMEM_DEBUG have no such place (platform.h).
 */
#include <stdlib.h>

#include "check.h"
#include "core.h"
#include "frontends.h"
#include "page.h"
#include "sim.h"

enum { AREA_PAGES = 1000, STAGED = 32, SLOT = 3 };

static const struct tmem_oid oid = {{1, 2, 3}};
static uint8_t page[TMEM_PAGE_BYTES];
static struct sim sim;
static struct tmem_shim *shim;
static uint32_t pool;
static void *memory;

static void start(void)
{
	const struct tmem_shim_config config = {.queue_entries = 256,
						.staged_pages = STAGED,
						.pools = 4,
						.silent_ms = 1000000,
						.get_ms = 1000000};
	int id;

	sim_start(&sim, &config);
	shim = sim.clients[0].shim;
	page_make(page, 1);
	memory = malloc(tmem_frontswap_area_bytes(AREA_PAGES));
	CHECK(memory != NULL);
	id = tmem_shim_new_pool(shim, 0, NULL);
	CHECK(id >= 0);
	pool = (uint32_t)id;
	CHECK_EQ(tmem_frontswap_init(shim, 0, AREA_PAGES, memory), TMEM_DONE);
	sim_connect(&sim, 0);
	sim_settle(&sim, 0);
}

static void stop(void)
{
	sim_stop(&sim);
	free(memory);
}

static struct tmem_shim_counters counters(void)
{
	struct tmem_shim_counters ret;

	tmem_shim_counters(shim, &ret);
	return ret;
}

#define ADD(name, meaning) +now.name
static uint64_t all_stores(void)
{
	const struct tmem_shim_counters now = counters();

	return TMEM_SHIM_STORE_OUTCOMES(ADD);
}

static uint64_t all_puts(void)
{
	const struct tmem_shim_counters now = counters();

	return TMEM_SHIM_PUT_OUTCOMES(ADD);
}
#undef ADD

/* A store that does not wait, of which counter @name rises and no other outcome does; as a put it
 * has one outcome as well. */
#define STORE_FAILS(slot, name)                                                                    \
	do {                                                                                       \
		uint64_t counted = counters().name, stores = all_stores(), puts = all_puts();      \
                                                                                                   \
		CHECK(tmem_frontswap_store(shim, 0, slot, page) != TMEM_DONE);                     \
		CHECK_EQ(counters().name, counted + 1);                                            \
		CHECK_EQ(all_stores(), stores + 1);                                                \
		CHECK_EQ(all_puts(), puts + 1);                                                    \
	} while (0)

static void a_slot_that_is_not_there(void)
{
	uint64_t counted;

	start();
	counted = counters().stores_no_pool;
	CHECK(tmem_frontswap_store(shim, 0, AREA_PAGES, page) != TMEM_DONE);
	CHECK(tmem_frontswap_store(shim, 1, 0, page) != TMEM_DONE);
	CHECK_EQ(counters().stores_no_pool, counted + 2);
	CHECK_EQ(all_stores(), counted + 2);
	stop();
}

static void stores_that_were_stopped(void)
{
	start();
	tmem_shim_accept_stores(shim, 0);
	STORE_FAILS(SLOT, stores_stopped);
	stop();
}

static void no_session(void)
{
	start();
	sim_break(&sim, 0, true);
	STORE_FAILS(SLOT, stores_down);
	stop();
}

/* A whole object is owed while its area is invalidated and the queue is full. */
static void a_flush_that_is_owed(void)
{
	start();
	for (uint64_t i = 0; tmem_queue_room(shim, false, false); i++)
		tmem_shim_flush_page(shim, pool, &oid, 2 * i);
	tmem_frontswap_invalidate_area(shim, 0);
	STORE_FAILS(SLOT, stores_owed);
	stop();
}

#ifdef TMEM_DEBUG
static void a_host_that_takes_too_long(void)
{
	start();
	tmem_platform_atomic = true;
	STORE_FAILS(SLOT, stores_late);
	tmem_platform_atomic = false;
	stop();
}

static void no_room_in_time(void)
{
	start();
	for (uint64_t i = 0; i < STAGED; i++)
		CHECK_EQ(tmem_shim_put(shim, pool, &oid, i, page), TMEM_DONE);
	tmem_platform_atomic = true;
	STORE_FAILS(SLOT, stores_no_room);
	tmem_platform_atomic = false;
	stop();
}
#endif

static void a_break_while_it_waits(void)
{
	struct tmem_shim_request request;
	uint64_t puts;

	start();
	for (uint64_t i = 0; i < STAGED; i++)
		CHECK_EQ(tmem_shim_put(shim, pool, &oid, i, page), TMEM_DONE);
	puts = all_puts();
	CHECK_EQ(tmem_frontswap_store_start(shim, 0, SLOT, page, &request), TMEM_SHIM_PENDING);
	sim_break(&sim, 0, true);
	CHECK_EQ(tmem_shim_finished(shim, &request), TMEM_EAGAIN);
	CHECK_EQ(all_puts(), puts + 1);
	CHECK_EQ(counters().puts_down, 1);
	CHECK_EQ(request.why, offsetof(struct tmem_shim_counters, stores_down));
	stop();
}

/* Every answer that the host may give, as a put and as what a store makes of it. */
static void a_host_that_refuses(void)
{
#define ANSWER(code, reason)                                                                       \
	{                                                                                          \
		code, offsetof(struct tmem_shim_counters, puts_refused_##reason),                  \
			offsetof(struct tmem_shim_counters, stores_refused_##reason)               \
	}
	static const struct {
		int code;
		size_t puts, stores;
	} answers[] = {
		ANSWER(TMEM_ENOMEM, full),    ANSWER(TMEM_EDQUOT, quota),
		ANSWER(TMEM_EFROZEN, frozen), ANSWER(TMEM_EAGAIN, unserved),
		ANSWER(TMEM_ENOSPC, dropped), ANSWER(TMEM_ENODEV, other),
		ANSWER(TMEM_EINVAL, other),
	};
	struct tmem_shim_request request;

	start();
	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
		struct tmem_shim_counters before = counters(), after;

		sim.refuses_puts = answers[i].code;
		CHECK_EQ(tmem_frontswap_store_start(shim, 0, SLOT, page, &request),
			 TMEM_SHIM_PENDING);
		sim_settle(&sim, 0);
		CHECK_EQ(tmem_shim_finished(shim, &request), answers[i].code);
		after = counters();
		CHECK_EQ(*(uint64_t *)((uint8_t *)&after + answers[i].puts),
			 *(uint64_t *)((uint8_t *)&before + answers[i].puts) + 1);
		CHECK_EQ(request.why, answers[i].stores);
	}
	stop();
}

int main(int argc, char **argv)
{
	static const struct test tests[] = {
		{"a_slot_that_is_not_there", a_slot_that_is_not_there},
		{"stores_that_were_stopped", stores_that_were_stopped},
		{"no_session", no_session},
		{"a_flush_that_is_owed", a_flush_that_is_owed},
#ifdef TMEM_DEBUG
		{"a_host_that_takes_too_long", a_host_that_takes_too_long},
		{"no_room_in_time", no_room_in_time},
#endif
		{"a_break_while_it_waits", a_break_while_it_waits},
		{"a_host_that_refuses", a_host_that_refuses},
	};

	return RUN_TESTS(tests, argc, argv);
}
