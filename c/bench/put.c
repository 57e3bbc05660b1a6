/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Puts into an arena that has its memory already, and into one that has to get it. */
#include "baseline.h"
#include "store.h"

static void contest_with(const struct bench_data *data, const char *series,
			 enum tmem_encoding encoding, const struct bench_contender *primitive)
{
	struct bench_store store;
	const struct bench_contender contenders[] = {
		*primitive,
		{series, bench_store_put_slice, &store},
	};

	bench_store_open(&store, data, bench_room_bytes(data->plain_count), encoding, data->plain);
	/* The arena gets its memory here: an emptied pool leaves it there. */
	bench_store_fill(&store, data->plain_count);
	for (uint32_t round = 0; round <= data->rounds; round++) {
		bench_store_empty(&store);
		bench_contest(contenders, 2, data->plain_count, round);
		bench_store_expect(&store, data->plain_count);
	}
	bench_store_close(&store);
}

void bench_put(const struct bench_data *data)
{
	struct bench_baseline copy;
	const struct bench_contender primitive = {"copy_to_area", bench_copy_to_area, &copy};

	bench_baseline_init(&copy, data, data->plain);
	bench_baseline_area(&copy, data->plain_count);
	contest_with(data, "put_raw", TMEM_ENCODING_RAW, &primitive);
	bench_baseline_free(&copy);
}

void bench_put_lz4(const struct bench_data *data)
{
	struct bench_baseline lz4;
	const struct bench_contender primitive = {"compress", bench_compress, &lz4};

	bench_baseline_init(&lz4, data, data->plain);
	contest_with(data, "put_lz4", TMEM_ENCODING_LZ4, &primitive);
}

void bench_put_fresh(const struct bench_data *data)
{
	uint64_t budget_bytes = bench_room_bytes(data->plain_count);
	struct bench_store faulted;
	struct bench_store fresh;
	const struct bench_contender contenders[] = {
		{"put_raw", bench_store_put_slice, &faulted},
		{"put_fresh", bench_store_put_slice, &fresh},
	};

	bench_store_open(&faulted, data, budget_bytes, TMEM_ENCODING_RAW, data->plain);
	bench_store_fill(&faulted, data->plain_count);
	for (uint32_t round = 0; round <= data->rounds; round++) {
		bench_store_empty(&faulted);
		bench_store_open(&fresh, data, budget_bytes, TMEM_ENCODING_RAW, data->plain);
		bench_contest(contenders, 2, data->plain_count, round);
		bench_store_expect(&faulted, data->plain_count);
		bench_store_expect(&fresh, data->plain_count);
		bench_store_close(&fresh);
	}
	bench_store_close(&faulted);
}
