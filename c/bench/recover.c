/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Opening an arena full of raw pages in a mapping without a single page in it; and the same,
 * followed by the verifying of all that is in it.
 */
#include <stdlib.h>
#include <unistd.h>

#include "baseline.h"
#include "store.h"

static struct tmem_engine *reopen(const struct bench_data *data)
{
	struct tmem_options options = {.budget_bytes = bench_room_bytes(data->plain_count)};
	struct tmem_engine *engine;
	struct tmem_error error;

	if (tmem_engine_open(bench_path(data, "recovered"), &options, &engine, &error) != 0)
		bench_fail("%s", error.message);
	return engine;
}

static void open_arena(const struct bench_data *data, uint32_t round)
{
	struct bench_time start = bench_now();
	struct tmem_engine *engine = reopen(data);
	struct bench_time total = {0};
	struct tmem_recovery found;

	bench_add_since(&total, &start);
	tmem_engine_recovery(engine, &found);
	if (found.pages != data->plain_count)
		bench_fail("%llu pages were recovered instead of %u",
			   (unsigned long long)found.pages, data->plain_count);
	if (round > 0)
		bench_sample("recover", round, &total, data->plain_count);
	tmem_engine_close(engine);
}

static void open_and_verify(const struct bench_data *data, uint32_t round)
{
	struct bench_time start = bench_now();
	struct tmem_engine *engine = reopen(data);
	struct bench_time total = {0};
	struct tmem_recovery found;

	while (tmem_engine_scrub(engine, 1 << 16) > 0)
		;
	bench_add_since(&total, &start);
	tmem_engine_recovery(engine, &found);
	if (found.scrubbed_pages != data->plain_count || found.scrub_damaged_pages != 0)
		bench_fail("%llu pages were verified instead of %u, %llu of them damaged",
			   (unsigned long long)found.scrubbed_pages, data->plain_count,
			   (unsigned long long)found.scrub_damaged_pages);
	if (round > 0)
		bench_sample("recover_verified", round, &total, data->plain_count);
	tmem_engine_close(engine);
}

void bench_recover(const struct bench_data *data)
{
	struct bench_baseline copy;
	const struct bench_contender primitives[] = {
		{"copy_to_area", bench_copy_to_area, &copy},
		{"copy_to_page", bench_copy_to_page, &copy},
	};
	struct bench_store store;

	bench_baseline_init(&copy, data, data->plain);
	bench_baseline_area(&copy, data->plain_count);
	bench_store_create(&store, data, "recovered", bench_room_bytes(data->plain_count),
			   TMEM_ENCODING_RAW, data->plain);
	bench_store_fill(&store, data->plain_count);
	bench_store_close(&store);
	for (uint32_t round = 0; round <= data->rounds; round++) {
		bench_contest(primitives, 2, data->plain_count, round);
		open_arena(data, round);
		open_and_verify(data, round);
	}
	unlink(bench_path(data, "recovered"));
	bench_baseline_free(&copy);
}
