/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Destroying a pool of many pages, which returns when all of them are gone. */
#include "baseline.h"
#include "store.h"

enum { PAGES_MAX = 200000 };

void bench_destroy(const struct bench_data *data)
{
	uint32_t count = data->plain_count < PAGES_MAX ? data->plain_count : PAGES_MAX;
	struct bench_baseline copy;
	const struct bench_contender primitives[] = {
		{"copy_to_area", bench_copy_to_area, &copy},
		{"copy_to_page", bench_copy_to_page, &copy},
	};
	struct bench_store store;

	bench_baseline_init(&copy, data, data->plain);
	bench_baseline_area(&copy, count);
	bench_store_open(&store, data, bench_room_bytes(count), TMEM_ENCODING_RAW, data->plain);
	for (uint32_t round = 0; round <= data->rounds; round++) {
		struct bench_time total = {0};
		struct bench_time start;
		uint32_t granted;

		bench_store_fill(&store, count);
		bench_contest(primitives, 2, count, round);
		start = bench_now();
		if (tmem_pool_destroy(store.client, store.pool) != TMEM_DONE)
			bench_fail("cannot destroy the pool");
		bench_add_since(&total, &start);
		bench_store_expect(&store, 0);
		if (round > 0)
			bench_sample("destroy", round, &total, count);
		if (tmem_pool_new(store.client, NULL, TMEM_ABI_VERSION << TMEM_POOL_VERSION_SHIFT,
				  &store.pool, &granted) != 0)
			bench_fail("cannot make a pool");
	}
	bench_store_close(&store);
	bench_baseline_free(&copy);
}
