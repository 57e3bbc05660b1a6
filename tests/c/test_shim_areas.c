/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Memory that a backend lends the shim for its swap areas (tmem_frontswap_lend). */
#include <stdlib.h>

#include "check.h"
#include "frontends.h"
#include "page.h"
#include "sim.h"

enum { QUEUE = 64, PAGES = 1000, MORE_PAGES = 5000, SLOT = 3 };

static struct sim sim;
static struct tmem_shim *shim;
static struct tmem_area_memory lent;
static int allocations, releases;
static bool no_memory;

static void *allocate(uint64_t bytes)
{
	if (no_memory)
		return NULL;
	allocations++;
	return malloc(bytes);
}

static void release(void *memory)
{
	releases++;
	free(memory);
}

static int lend(uint64_t pages)
{
	return tmem_frontswap_lend(shim, 0, pages, &lent, allocate, release);
}

static void start(void)
{
	const struct tmem_shim_config config = {
		.queue_entries = QUEUE, .pools = 4, .silent_ms = 1000000, .get_ms = 1000000};

	sim_start(&sim, &config);
	shim = sim.clients[0].shim;
	lent = (struct tmem_area_memory){0};
	allocations = releases = 0;
	no_memory = false;
	sim_connect(&sim, 0);
	CHECK_EQ(lend(PAGES), TMEM_DONE);
	CHECK_EQ(allocations, 1);
	sim_settle(&sim, 0);
}

static void stop(void)
{
	sim_stop(&sim);
	free(lent.memory);
}

/* Whether the host took the slot. */
static bool store(uint64_t slot)
{
	struct tmem_shim_request request;
	uint8_t page[TMEM_PAGE_BYTES];

	page_make(page, 1);
	if (tmem_frontswap_store_start(shim, 0, slot, page, &request) != TMEM_SHIM_PENDING)
		return false;
	sim_settle(&sim, 0);
	return tmem_shim_finished(shim, &request) == TMEM_DONE;
}

static void one_of_the_same_size_keeps_its_memory(void)
{
	void *memory;

	start();
	memory = lent.memory;
	CHECK(store(SLOT));
	tmem_frontswap_invalidate_area(shim, 0);
	CHECK_EQ(lend(PAGES), TMEM_DONE);
	CHECK_EQ(allocations, 1);
	CHECK(lent.memory == memory);
	sim_settle(&sim, 0);
	CHECK(store(SLOT));
	CHECK(!store(PAGES));
	stop();
}

static void one_of_another_size_pays_first_what_is_owed(void)
{
	start();
	CHECK(store(SLOT));
	sim_break(&sim, 0, true);
	/* no two of them are one range, and more than the queue has room for */
	for (uint64_t i = 0; i < QUEUE; i++)
		tmem_frontswap_invalidate_page(shim, 0, i / 16 * 32 + i % 16);
	CHECK_EQ(lend(MORE_PAGES), TMEM_EBUSY);
	CHECK_EQ(lent.pages, PAGES);
	CHECK_EQ(releases, 0);
	sim_connect(&sim, 0);
	sim_settle(&sim, 0);
	CHECK_EQ(lend(MORE_PAGES), TMEM_DONE);
	CHECK_EQ(allocations, 2);
	CHECK_EQ(releases, 1);
	sim_settle(&sim, 0);
	CHECK(store(MORE_PAGES - 1));
	stop();
}

static void without_memory_it_is_refused_and_may_come_again(void)
{
	start();
	no_memory = true;
	CHECK_EQ(lend(MORE_PAGES), TMEM_ENOMEM);
	CHECK(lent.memory == NULL);
	CHECK(!store(SLOT));
	no_memory = false;
	CHECK_EQ(lend(MORE_PAGES), TMEM_DONE);
	sim_settle(&sim, 0);
	CHECK(store(SLOT));
	stop();
}

int main(int argc, char **argv)
{
	static const struct test tests[] = {
		{"one_of_the_same_size_keeps_its_memory", one_of_the_same_size_keeps_its_memory},
		{"one_of_another_size_pays_first_what_is_owed",
		 one_of_another_size_pays_first_what_is_owed},
		{"without_memory_it_is_refused_and_may_come_again",
		 without_memory_it_is_refused_and_may_come_again},
	};

	return RUN_TESTS(tests, argc, argv);
}
