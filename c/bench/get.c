/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Exclusive gets: a hit removes the page, so that each round fills the pool first. */
#include <stdlib.h>
#include <string.h>

#include "baseline.h"
#include "store.h"

/* Nothing is worth timing that is not right: every page must come back as it was put. */
static void check_contents(const struct bench_store *store)
{
	const struct bench_data *data = store->data;
	char page[TMEM_PAGE_BYTES];

	for (uint32_t i = 0; i < data->plain_count; i++) {
		if (bench_store_get(store, store->order[i], page) != TMEM_DONE ||
		    memcmp(page, bench_page(data, store->order[i]), TMEM_PAGE_BYTES) != 0)
			bench_fail("a page came back wrong");
	}
	bench_store_expect(store, 0);
}

/* The pool is filled in the order of the data set, and emptied in @order. */
static void contest_with(const struct bench_data *data, const char *series,
			 enum tmem_encoding encoding, const uint32_t *order,
			 const struct bench_contender *primitive)
{
	struct bench_store store;
	const struct bench_contender contenders[] = {
		*primitive,
		{series, bench_store_get_slice, &store},
	};

	bench_store_open(&store, data, bench_room_bytes(data->plain_count), encoding, data->plain);
	bench_store_fill(&store, data->plain_count);
	check_contents(&store);
	for (uint32_t round = 0; round <= data->rounds; round++) {
		store.order = data->plain;
		bench_store_fill(&store, data->plain_count);
		store.order = order;
		bench_contest(contenders, 2, data->plain_count, round);
		bench_store_expect(&store, 0);
	}
	bench_store_close(&store);
}

void bench_get_seq(const struct bench_data *data)
{
	struct bench_baseline copy;
	const struct bench_contender primitive = {"copy_to_page", bench_copy_to_page, &copy};

	bench_baseline_init(&copy, data, data->plain);
	contest_with(data, "get_seq", TMEM_ENCODING_RAW, data->plain, &primitive);
}

void bench_get_random(const struct bench_data *data)
{
	uint32_t *order = bench_shuffled(data->plain, data->plain_count);
	struct bench_baseline copy;
	const struct bench_contender primitive = {"copy_to_page", bench_copy_to_page, &copy};

	bench_baseline_init(&copy, data, order);
	contest_with(data, "get_random", TMEM_ENCODING_RAW, order, &primitive);
	free(order);
}

void bench_get_lz4(const struct bench_data *data)
{
	struct bench_baseline lz4;
	const struct bench_contender primitive = {"decompress", bench_decompress, &lz4};

	bench_baseline_init(&lz4, data, data->plain);
	bench_baseline_pack(&lz4, data->plain_count);
	contest_with(data, "get_lz4", TMEM_ENCODING_LZ4, data->plain, &primitive);
	bench_baseline_free(&lz4);
}
