/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the shim spares its guest: round trips of reads, and messages of flushes. */
#include <stdio.h>
#include <stdlib.h>

#include "check.h"
#include "page.h"
#include "served_guests.h"

/* ---- round trips ---------------------------------------------------------------------- */

enum { FILE_PAGES = 2048 };

static uint64_t read_file(int guest, uint32_t pool, uint64_t object)
{
	uint8_t page[TMEM_PAGE_BYTES];
	struct tmem_oid oid = oid_of(object);
	uint64_t hits = 0;

	for (uint32_t i = 0; i < FILE_PAGES; i++) {
		int result = tmem_cleancache_get_page(shims[guest], pool, &oid, i, page);

		if (result == TMEM_DONE)
			CHECK(page_equals(page, page_value(i % PAGE_FILLS, i + 1)));
		hits += result == TMEM_DONE;
	}
	return hits;
}

/* Reads records of so many pages, each once, none before its neighbour; how many pages were there.
 */
static uint64_t read_records(int guest, uint32_t pool, uint64_t object, uint32_t pages)
{
	uint8_t page[TMEM_PAGE_BYTES];
	struct tmem_oid oid = oid_of(object);
	uint32_t records = FILE_PAGES / pages;
	uint64_t hits = 0;

	for (uint32_t i = 0; i < records; i++)
		for (uint32_t j = 0; j < pages; j++)
			hits += tmem_cleancache_get_page(shims[guest], pool, &oid,
							 (uint64_t)(i * 37 % records) * pages + j,
							 page) == TMEM_DONE;
	return hits;
}

static void put_file(int guest, uint32_t pool, uint64_t object)
{
	uint8_t page[TMEM_PAGE_BYTES];
	struct tmem_oid oid = oid_of(object);

	for (uint32_t i = 0; i < FILE_PAGES; i++) {
		page_make(page, page_value(i % PAGE_FILLS, i + 1));
		CHECK_EQ(tmem_shim_put_wait(shims[guest], pool, &oid, i, page), TMEM_DONE);
	}
}

static void sequential_reads_cost_few_trips(void)
{
	static const uint8_t uuid[16] = {1};
	uint64_t before, trips;
	uint32_t own, shared;

	start_server();
	start_guests("trips");
	own = pool_of(0, 0, NULL);
	shared = pool_of(0, TMEM_POOL_SHARED, uuid);
	/* misses: 0.05 trips a page at most */
	for (uint64_t object = 0; object < 2; object++) {
		before = COUNTER(0, round_trips);
		CHECK_EQ(read_file(0, object ? shared : own, object), 0);
		trips = COUNTER(0, round_trips) - before;
		printf("%llu trips for %d misses, ", (unsigned long long)trips, FILE_PAGES);
		CHECK(trips * 100 <= FILE_PAGES * 5);
	}
	/* hits: 0.06 */
	put_file(0, own, 7);
	before = COUNTER(0, round_trips);
	CHECK_EQ(read_file(0, own, 7), FILE_PAGES);
	trips = COUNTER(0, round_trips) - before;
	printf("%llu trips for %d hits ", (unsigned long long)trips, FILE_PAGES);
	CHECK(trips * 100 <= FILE_PAGES * 6);
	/* taken out by the hits, and known to be so */
	before = COUNTER(0, round_trips);
	CHECK_EQ(read_file(0, own, 7), 0);
	CHECK((COUNTER(0, round_trips) - before) * 100 <= FILE_PAGES * 5);
	stop_guests();
	stop_server();
}

/* In no order: once their size is known, a trip each, and little is fetched behind their ends. */
static void records_cost_a_trip_each(void)
{
	static const uint8_t uuid[16] = {1};
	uint32_t shared;

	start_server();
	start_guests("records");
	shared = pool_of(0, TMEM_POOL_SHARED, uuid);
	put_file(0, shared, 7);
	for (uint32_t pages = 1; pages <= 32; pages *= 2) {
		uint64_t trips = COUNTER(0, round_trips), ahead = COUNTER(0, ahead_asked);

		/* all, unless the machine is so busy that the pool is not served for a while */
		CHECK(read_records(0, shared, 7, pages) > FILE_PAGES / 2);
		trips = COUNTER(0, round_trips) - trips;
		ahead = COUNTER(0, ahead_asked) - ahead;
		printf("%u pages: %llu trips, %llu ahead; ", pages, (unsigned long long)trips,
		       (unsigned long long)ahead);
		/* of each size it is learnt anew */
		CHECK(trips <= FILE_PAGES / pages + 48);
		CHECK(ahead <= FILE_PAGES * 3 / 2);
	}
	stop_guests();
	stop_server();
}

/* ---- swap ----------------------------------------------------------------------------- */

enum { SWAP_PAGES = 8192 };

static void exiting_processes_flush_in_ranges(void)
{
	uint8_t page[TMEM_PAGE_BYTES];
	void *area = malloc(tmem_frontswap_area_bytes(SWAP_PAGES));
	struct tmem_shim_info info;
	struct tmem_usage usage;
	uint64_t before;

	start_server();
	start_guests("swap");
	CHECK_EQ(tmem_frontswap_init(shims[0], 3, SWAP_PAGES, area), TMEM_DONE);
	CHECK_EQ(tmem_frontswap_init(shims[0], 3, SWAP_PAGES, area), TMEM_EEXIST);
	tmem_shim_pool_wait(shims[0], 0, PATIENCE_MS);
	for (uint32_t i = 0; i < SWAP_PAGES; i++) {
		page_make(page, page_value(PAGE_SMALL, i + 1));
		CHECK_EQ(tmem_frontswap_store(shims[0], 3, i, page), TMEM_DONE);
	}
	CHECK(tmem_frontswap_store(shims[0], 3, SWAP_PAGES, page) != TMEM_DONE);
	for (uint32_t i = 0; i < SWAP_PAGES; i += 97) {
		CHECK_EQ(tmem_frontswap_load(shims[0], 3, i, page), TMEM_DONE);
		CHECK(page_equals(page, page_value(PAGE_SMALL, i + 1)));
	}
	before = COUNTER(0, messages_sent);
	/* the guest is faster than its host, however fast the machine of the test is */
	stop_server();
	for (uint32_t i = 0; i < SWAP_PAGES / 2; i++)
		tmem_frontswap_invalidate_page(shims[0], 3, i);
	start_server();
	CHECK_EQ(tmem_transport_wait(transports[0], PATIENCE_MS), 0);
	/* one of a slot whose flush is owed takes its place */
	page_make(page, 77);
	CHECK_EQ(tmem_frontswap_store(shims[0], 3, 5, page), TMEM_DONE);
	do
		tmem_shim_info(shims[0], &info);
	while (info.owed || info.queued);
	tmem_engine_usage(engine, &usage);
	CHECK_EQ(usage.persistent_pages, SWAP_PAGES / 2 + 1);
	before = COUNTER(0, messages_sent) - before;
	printf("%llu messages for %d flushes ", (unsigned long long)before, SWAP_PAGES / 2);
	CHECK(before * 16 < SWAP_PAGES / 2);
	CHECK_EQ(tmem_frontswap_load(shims[0], 3, 5, page), TMEM_DONE);
	CHECK(page_equals(page, 77));
	tmem_frontswap_invalidate_area(shims[0], 3);
	CHECK_EQ(tmem_frontswap_forget_area(shims[0], 3, PATIENCE_MS), TMEM_DONE);
	do
		tmem_shim_info(shims[0], &info);
	while (info.queued);
	tmem_engine_usage(engine, &usage);
	CHECK_EQ(usage.persistent_pages, 0);
	stop_guests();
	stop_server();
	free(area);
}

int main(int argc, char **argv)
{
	static const struct test tests[] = {
		{"sequential_reads_cost_few_trips", sequential_reads_cost_few_trips},
		{"records_cost_a_trip_each", records_cost_a_trip_each},
		{"exiting_processes_flush_in_ranges", exiting_processes_flush_in_ranges},
	};

	return RUN_TESTS(tests, argc, argv);
}
