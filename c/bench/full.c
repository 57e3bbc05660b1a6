/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Puts into an arena whose budget is used up, each of which has to evict, against puts with room.
 * Raw pages are one size, so that a page makes room for a page; LZ4 pages are of many sizes, and
 * what leaves does not fit what comes.
 */
#include <stdio.h>

#include "store.h"

static uint64_t evicted(const struct bench_store *store)
{
	struct tmem_counters counters;

	tmem_engine_counters(store->engine, &counters);
	return counters.evicted;
}

/* The engine holds about half of the set; the other half has just been evicted. */
static uint64_t half_budget_bytes(const struct bench_data *data, enum tmem_encoding encoding)
{
	struct bench_store store;
	struct tmem_usage usage;

	bench_store_open(&store, data, bench_room_bytes(data->plain_count), encoding, data->plain);
	bench_store_fill(&store, data->plain_count);
	tmem_engine_usage(store.engine, &usage);
	bench_store_close(&store);
	return usage.resident_bytes / 2;
}

static void report_evictions(struct bench_store *full, const char *name)
{
	const struct bench_data *data = full->data;
	uint64_t before = evicted(full);
	uint64_t most = 0;
	char value[64];

	full->generation++;
	for (uint32_t i = 0; i < data->plain_count; i++) {
		uint64_t after;

		bench_store_put_slice(full, i, i + 1);
		after = evicted(full);
		if (after - before > most)
			most = after - before;
		before = after;
	}
	snprintf(value, sizeof(value), "max_evictions_%s", name);
	bench_value(value, (double)most);
}

/* Of the puts since @before, those that stored nothing: a refused put is a cheap one. */
static void report_refused(const struct bench_store *full, const struct tmem_counters *before,
			   const char *name)
{
	struct tmem_counters after;
	char value[64];
	double puts;

	tmem_engine_counters(full->engine, &after);
	puts = (double)(bench_puts(&after) - bench_puts(before));
	snprintf(value, sizeof(value), "refused_share_%s", name);
	bench_value(value, 1 - (double)(after.puts_stored - before->puts_stored) / puts);
	snprintf(value, sizeof(value), "evictions_per_put_%s", name);
	bench_value(value, (double)(after.evicted - before->evicted) / puts);
}

static void contest(const struct bench_data *data, enum tmem_encoding encoding, const char *name)
{
	uint64_t budget_bytes = half_budget_bytes(data, encoding);
	char series[2][64];
	struct bench_store room;
	struct bench_store full;
	struct bench_contender contenders[] = {
		{series[0], bench_store_put_slice, &room},
		{series[1], bench_store_put_slice, &full},
	};
	struct tmem_counters before;

	snprintf(series[0], sizeof(series[0]), "put_room_%s", name);
	snprintf(series[1], sizeof(series[1]), "put_full_%s", name);
	bench_store_open(&room, data, bench_room_bytes(data->plain_count), encoding, data->plain);
	bench_store_fill(&room, data->plain_count);
	bench_store_open(&full, data, budget_bytes, encoding, data->plain);
	/* Twice: the steady state begins when the first evicted pages have been replaced. */
	bench_store_put_slice(&full, 0, data->plain_count);
	full.generation++;
	bench_store_put_slice(&full, 0, data->plain_count);
	tmem_engine_counters(full.engine, &before);
	for (uint32_t round = 0; round <= data->rounds; round++) {
		bench_store_empty(&room);
		full.generation++;
		bench_contest(contenders, 2, data->plain_count, round);
		bench_store_expect(&room, data->plain_count);
	}
	report_refused(&full, &before, name);
	report_evictions(&full, name);
	bench_store_close(&full);
	bench_store_close(&room);
}

void bench_put_full(const struct bench_data *data)
{
	contest(data, TMEM_ENCODING_RAW, "raw");
	contest(data, TMEM_ENCODING_LZ4, "lz4");
}
