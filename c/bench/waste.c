/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How much of the memory that the arena holds is neither record nor contents: rounding to a size
 * class, free slots, ends of extents. Once the set is stored as LZ4; and once every page of a set
 * has been replaced, in random order, by one of a set with another mix of sizes. The budget has
 * room for both, so that nothing but the replacing itself makes the engine tidy up.
 */
#include <lz4.h>
#include <stdio.h>
#include <stdlib.h>

#include "record.h"
#include "store.h"

static void report(const struct bench_store *store, const char *name)
{
	struct tmem_usage usage;
	char value[96];
	double held;

	tmem_engine_usage(store->engine, &usage);
	held = (double)(usage.resident_bytes - usage.idle_bytes);
	snprintf(value, sizeof(value), "%s_wasted_bytes", name);
	bench_value(value, held - (double)usage.record_bytes - (double)usage.payload_bytes);
	snprintf(value, sizeof(value), "%s_held_bytes", name);
	bench_value(value, held);
	snprintf(value, sizeof(value), "%s_idle_bytes", name);
	bench_value(value, (double)usage.idle_bytes);
	snprintf(value, sizeof(value), "%s_metadata_bytes_per_page", name);
	bench_value(value, (double)(usage.record_bytes + usage.heap_bytes) /
				   (double)usage.ephemeral_pages);
}

/* Puts page @pages[i] under the handle i, for the handles in @sequence or, if NULL, all in order;
 * returns what a put took. */
static double put_all(const struct bench_store *store, const uint32_t *pages,
		      const uint32_t *sequence, uint32_t count)
{
	struct bench_time start = bench_now();
	struct bench_time total = {0};

	for (uint32_t i = 0; i < count; i++) {
		uint32_t as = sequence != NULL ? sequence[i] : i;

		if (bench_store_put(store, as, pages[as]) != TMEM_DONE)
			bench_fail("a put was refused although there is room");
	}
	bench_add_since(&total, &start);
	return (double)(total.wall_ns - total.waited_ns) / count;
}

static void fill(const struct bench_data *data, const uint32_t *numbers)
{
	struct bench_store store;

	bench_store_open(&store, data, bench_room_bytes(data->page_count), TMEM_ENCODING_LZ4, NULL);
	(void)put_all(&store, numbers, NULL, data->page_count);
	report(&store, "filled");
	bench_store_close(&store);
}

/* Fills with the pages @before, then puts the pages @after over them in the order of @sequence.
 * What tidying up costs is in the time of those puts. */
static void churn(const struct bench_data *data, const uint32_t *before, const uint32_t *after,
		  const uint32_t *sequence, uint32_t count, const char *name)
{
	struct bench_store store;
	struct tmem_counters counters;
	char value[96];

	bench_store_open(&store, data, bench_room_bytes(count), TMEM_ENCODING_LZ4, NULL);
	snprintf(value, sizeof(value), "%s_fill_ns_per_page", name);
	bench_value(value, put_all(&store, before, NULL, count));
	snprintf(value, sizeof(value), "%s_replace_ns_per_page", name);
	bench_value(value, put_all(&store, after, sequence, count));
	tmem_engine_counters(store.engine, &counters);
	if (counters.puts_replaced != count)
		bench_fail("%llu puts replaced a page instead of %u",
			   (unsigned long long)counters.puts_replaced, count);
	report(&store, name);
	/* The same handles once more with the same contents: what a replacing put costs when sizes
	 * do not change. */
	snprintf(value, sizeof(value), "%s_replace_same_ns_per_page", name);
	bench_value(value, put_all(&store, after, sequence, count));
	bench_store_close(&store);
}

struct sized_page {
	uint32_t bytes;
	uint32_t page;
};

static int by_size(const void *a, const void *b)
{
	const struct sized_page *left = a;
	const struct sized_page *right = b;

	if (left->bytes != right->bytes)
		return left->bytes < right->bytes ? -1 : 1;
	return left->page < right->page ? -1 : 1;
}

/* Splits the set into a set of mostly small and one of mostly large pages. Every third page goes to
 * the other side, so that no size class of one is without pages of the other: where a class empties
 * altogether its extents come free by themselves. */
static void split_by_size(const struct bench_data *data, uint32_t half, uint32_t *small,
			  uint32_t *large)
{
	struct sized_page *sized = bench_alloc(2ull * half * sizeof(*sized));
	char buffer[TMEM_ENCODED_MAX_BYTES];

	for (uint32_t page = 0; page < 2 * half; page++) {
		int length = LZ4_compress_default(bench_page(data, page), buffer, TMEM_PAGE_BYTES,
						  sizeof(buffer));

		sized[page].page = page;
		sized[page].bytes = length > 0 ? (uint32_t)length : TMEM_PAGE_BYTES;
	}
	qsort(sized, 2ull * half, sizeof(*sized), by_size);
	for (uint32_t i = 0; i < half; i++) {
		bool other_side = i % 3 == 0;

		small[i] = sized[other_side ? half + i : i].page;
		large[i] = sized[other_side ? i : half + i].page;
	}
	free(sized);
}

static void shuffle(uint32_t **pages, uint32_t count)
{
	uint32_t *shuffled = bench_shuffled(*pages, count);

	free(*pages);
	*pages = shuffled;
}

void bench_waste(const struct bench_data *data)
{
	uint32_t half = data->page_count / 2;
	uint32_t *numbers = bench_alloc(data->page_count * sizeof(*numbers));
	uint32_t *small = bench_alloc(half * sizeof(*small));
	uint32_t *large = bench_alloc(half * sizeof(*large));
	uint32_t *sequence;

	for (uint32_t i = 0; i < data->page_count; i++)
		numbers[i] = i;
	sequence = bench_shuffled(numbers, half);
	fill(data, numbers);
	churn(data, numbers, numbers + half, sequence, half, "churned_files");
	split_by_size(data, half, small, large);
	/* in no order of size */
	shuffle(&small, half);
	shuffle(&large, half);
	churn(data, small, large, sequence, half, "churned_small_to_large");
	churn(data, large, small, sequence, half, "churned_large_to_small");
	free(sequence);
	free(numbers);
	free(small);
	free(large);
}
