/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What eviction costs in hits against exact LRU: one skewed trace of accesses is played to the
 * engine and to a list. An access gets the page; whether it hits or not, it is put (again), as a
 * guest does whose page cache drops a page that it has read. A hit of the engine removes the page,
 * so that the put makes it the newest; in the list it just becomes the newest.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "exact_lru.h"
#include "store.h"

enum { ACCESSES_PER_PAGE = 8, POOLS = 8 };

/* Ranks are drawn with probabilities as 1 / rank (Zipf): the inverse of the cumulated ones, by
 * bisection. */
struct zipf {
	double *cumulated;
	uint32_t *page_of_rank;
	uint32_t count;
	uint64_t state;
};

static void zipf_init(struct zipf *zipf, const uint32_t *pages, uint32_t count)
{
	double sum = 0;

	zipf->count = count;
	zipf->state = 42;
	zipf->page_of_rank = bench_shuffled(pages, count);
	zipf->cumulated = bench_alloc(count * sizeof(*zipf->cumulated));
	for (uint32_t rank = 0; rank < count; rank++) {
		sum += 1.0 / (rank + 1);
		zipf->cumulated[rank] = sum;
	}
}

static uint32_t zipf_next(struct zipf *zipf)
{
	double wanted = (double)(bench_random(&zipf->state) >> 11) * 0x1p-53 *
			zipf->cumulated[zipf->count - 1];
	uint32_t low = 0;
	uint32_t high = zipf->count - 1;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (zipf->cumulated[middle] > wanted)
			high = middle;
		else
			low = middle + 1;
	}
	return zipf->page_of_rank[low];
}

static void zipf_free(struct zipf *zipf)
{
	free(zipf->page_of_rank);
	free(zipf->cumulated);
}

struct shape {
	const char *name;
	enum tmem_encoding encoding;
	uint32_t pools; /* each of a client of its own */
};

struct trace {
	uint64_t accesses;
	uint64_t warm; /* from this one on hits are counted */
	uint64_t hits;
	uint64_t most_pages;
	double mean_pages;
};

static void play(const struct bench_data *data, struct bench_store *stores, uint32_t pools,
		 struct trace *trace)
{
	struct tmem_usage usage;
	char page[TMEM_PAGE_BYTES];
	double sum = 0;
	uint64_t samples = 0;
	struct zipf zipf;

	zipf_init(&zipf, data->plain, data->plain_count);
	for (uint64_t i = 0; i < trace->accesses; i++) {
		uint32_t number = zipf_next(&zipf);
		const struct bench_store *store = &stores[number % pools];

		if (bench_store_get(store, number, page) == TMEM_DONE && i >= trace->warm)
			trace->hits++;
		(void)bench_store_put(store, number, number);
		if (i < trace->warm || i % 16 != 0)
			continue;
		tmem_engine_usage(store->engine, &usage);
		if (usage.ephemeral_pages > trace->most_pages)
			trace->most_pages = usage.ephemeral_pages;
		sum += (double)usage.ephemeral_pages;
		samples++;
	}
	trace->mean_pages = sum / (double)samples;
	zipf_free(&zipf);
}

static uint64_t exact_hits(const struct bench_data *data, const struct trace *trace,
			   uint32_t capacity_pages)
{
	struct exact_lru *lru = exact_lru_new(data->page_count, capacity_pages);
	struct zipf zipf;
	uint64_t hits = 0;

	zipf_init(&zipf, data->plain, data->plain_count);
	for (uint64_t i = 0; i < trace->accesses; i++)
		if (exact_lru_access(lru, zipf_next(&zipf)) && i >= trace->warm)
			hits++;
	zipf_free(&zipf);
	exact_lru_free(lru);
	return hits;
}

static void report(const char *shape, const char *what, double value)
{
	char name[64];

	snprintf(name, sizeof(name), "%s_%s", shape, what);
	bench_value(name, value);
}

/* An eighth of the set, and room for the tables of a small one. */
static uint64_t budget_bytes(const struct bench_data *data)
{
	return (uint64_t)data->plain_count * TMEM_PAGE_BYTES / 8 + (4u << 20);
}

static void measure(const struct bench_data *data, const struct shape *shape)
{
	struct bench_store stores[POOLS] = {0};
	struct trace trace = {.accesses = (uint64_t)data->plain_count * ACCESSES_PER_PAGE};
	double counted;
	double capacity;

	trace.warm = trace.accesses / 2;
	counted = (double)(trace.accesses - trace.warm);
	bench_store_open(&stores[0], data, budget_bytes(data), shape->encoding, NULL);
	for (uint32_t i = 1; i < shape->pools; i++) {
		char name[16];

		snprintf(name, sizeof(name), "bench-%u", i);
		stores[i] = stores[0];
		bench_client_new(stores[0].engine, name, shape->encoding, &stores[i].client,
				 &stores[i].pool);
	}
	play(data, stores, shape->pools, &trace);
	/* Raw pages are all of one size, and the most there ever were is what fits. */
	capacity =
		shape->encoding == TMEM_ENCODING_RAW ? (double)trace.most_pages : trace.mean_pages;
	report(shape->name, "hit_ratio", (double)trace.hits / counted);
	report(shape->name, "capacity_pages", capacity);
	report(shape->name, "mean_pages", trace.mean_pages);
	report(shape->name, "exact_hit_ratio",
	       (double)exact_hits(data, &trace, (uint32_t)lround(capacity)) / counted);
	for (uint32_t i = 1; i < shape->pools; i++)
		tmem_client_release(stores[i].client);
	bench_store_close(&stores[0]);
}

void bench_lru(const struct bench_data *data)
{
	static const struct shape shapes[] = {
		{"one_pool", TMEM_ENCODING_RAW, 1},
		{"pools", TMEM_ENCODING_RAW, POOLS},
		{"lz4", TMEM_ENCODING_LZ4, POOLS},
	};

	for (size_t i = 0; i < sizeof(shapes) / sizeof(*shapes); i++)
		measure(data, &shapes[i]);
}
