/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Calls that would have to wait where nobody may (platform.h): each ends at once, and as it would
 * have at its deadline, so no rule is broken. Builds without TMEM_DEBUG have no such place:
 * c/Makefile leaves this program out.
 */
#include <stdlib.h>

#include "check.h"
#include "core.h"
#include "frontends.h"
#include "page.h"
#include "sim.h"

enum { AREA_PAGES = 1000, SLOT = 3 };

static const uint8_t uuid[16] = {4, 2};
static const struct tmem_oid oid = {{1, 2, 3}};
static uint8_t page[TMEM_PAGE_BYTES];
static struct sim sim;
static struct tmem_shim *shim;
static uint32_t lost_verdict;
static int losses;

static int lost(void *context, uint32_t pool, const struct tmem_oid *object, uint64_t index)
{
	(void)context;
	(void)pool;
	(void)object;
	(void)index;
	losses++;
	return (int)lost_verdict;
}

static void start(void)
{
	const struct tmem_shim_config config = {
		.queue_entries = 64, .pools = 4, .silent_ms = 1000000, .get_ms = 1000000};

	sim_start(&sim, &config);
	shim = sim.clients[0].shim;
	shim->callbacks.lost = lost;
	losses = 0;
	page_make(page, 1);
	sim_connect(&sim, 0);
}

static uint32_t new_pool(uint32_t flags)
{
	int pool = tmem_shim_new_pool(shim, flags, flags & TMEM_POOL_SHARED ? uuid : NULL);

	CHECK(pool >= 0);
	sim_settle(&sim, 0);
	return (uint32_t)pool;
}

static struct tmem_shim_counters counters(void)
{
	struct tmem_shim_counters ret;

	tmem_shim_counters(shim, &ret);
	return ret;
}

static void may_wait(bool may)
{
	tmem_platform_atomic = !may;
}

static void nobody_waits_any_more(void)
{
	struct tmem_shim_info info;

	may_wait(true);
	tmem_shim_info(shim, &info);
	CHECK_EQ(info.waiting, 0);
}

static void a_get_misses(void)
{
	uint32_t pool;

	start();
	pool = new_pool(0);
	CHECK_EQ(tmem_shim_put(shim, pool, &oid, 0, page), TMEM_DONE);
	sim_settle(&sim, 0);
	may_wait(false);
	CHECK_EQ(tmem_shim_get(shim, pool, &oid, 0, page), TMEM_MISS);
	nobody_waits_any_more();
	CHECK_EQ(counters().gets_late, 1);
	/* what comes now is nobody's */
	sim_settle(&sim, 0);
	sim_stop(&sim);
}

static void a_put_fails_and_leaves_nothing(void)
{
	struct tmem_shim_request request = {
		.op = TMEM_OP_GET_PAGE, .oid = oid, .page = page, .is_load = 0};

	start();
	request.pool = new_pool(TMEM_POOL_PERSISTENT);
	may_wait(false);
	CHECK_EQ(tmem_shim_put_wait(shim, request.pool, &oid, 0, page), TMEM_EAGAIN);
	nobody_waits_any_more();
	sim_settle(&sim, 0);
	if (tmem_shim_start(shim, &request) == TMEM_SHIM_PENDING)
		sim_settle(&sim, 0);
	CHECK_EQ(tmem_shim_finished(shim, &request), TMEM_MISS);
	sim_stop(&sim);
}

/* Who returns without an answer has given up, and nobody may get what was to be flushed (R-b). */
static void a_flush_of_a_shared_pool_ends_the_session(void)
{
	uint32_t pool;

	start();
	pool = new_pool(TMEM_POOL_SHARED);
	CHECK_EQ(tmem_shim_put(shim, pool, &oid, 0, page), TMEM_DONE);
	sim_settle(&sim, 0);
	may_wait(false);
	CHECK_EQ(tmem_shim_flush_object_wait(shim, pool, &oid), TMEM_DONE);
	nobody_waits_any_more();
	CHECK_EQ(counters().giveups, 1);
	CHECK_EQ(sim.clients[0].events[TMEM_SHIM_GAVE_UP], 1);
	sim_stop(&sim);
}

/* A swap area with a page in slot SLOT. */
static void *swap_on(void)
{
	struct tmem_shim_request request;
	void *memory = malloc(tmem_frontswap_area_bytes(AREA_PAGES));

	CHECK(memory != NULL);
	CHECK_EQ(tmem_frontswap_init(shim, 0, AREA_PAGES, memory), TMEM_DONE);
	sim_settle(&sim, 0);
	CHECK_EQ(tmem_frontswap_store_start(shim, 0, SLOT, page, &request), TMEM_SHIM_PENDING);
	sim_settle(&sim, 0);
	CHECK_EQ(tmem_shim_finished(shim, &request), TMEM_DONE);
	return memory;
}

/* The page cannot be had, and that is what a load says; not even "wait for ever" waits. */
static void a_load_counts_as_lost(void)
{
	static const uint32_t verdicts[] = {TMEM_SHIM_FAIL, TMEM_SHIM_WAIT};

	for (int i = 0; i < 2; i++) {
		void *memory;

		start();
		memory = swap_on();
		lost_verdict = verdicts[i];
		may_wait(false);
		CHECK_EQ(tmem_frontswap_load(shim, 0, SLOT, page), TMEM_EUCLEAN);
		nobody_waits_any_more();
		CHECK_EQ(losses, 1);
		CHECK_EQ(counters().loads_lost, 1);
		sim_stop(&sim);
		free(memory);
	}
}

static void an_area_that_owes_is_not_forgotten(void)
{
	void *memory;

	start();
	memory = swap_on();
	sim_break(&sim, 0, true);
	for (uint64_t i = 0; i < 64; i++)
		tmem_frontswap_invalidate_page(shim, 0, i / 16 * 32 + i % 16);
	may_wait(false);
	CHECK_EQ(tmem_frontswap_forget_area(shim, 0, UINT32_MAX), TMEM_EBUSY);
	nobody_waits_any_more();
	sim_stop(&sim);
	free(memory);
}

int main(int argc, char **argv)
{
	static const struct test tests[] = {
		{"a_get_misses", a_get_misses},
		{"a_put_fails_and_leaves_nothing", a_put_fails_and_leaves_nothing},
		{"a_flush_of_a_shared_pool_ends_the_session",
		 a_flush_of_a_shared_pool_ends_the_session},
		{"a_load_counts_as_lost", a_load_counts_as_lost},
		{"an_area_that_owes_is_not_forgotten", an_area_that_owes_is_not_forgotten},
	};

	return RUN_TESTS(tests, argc, argv);
}
