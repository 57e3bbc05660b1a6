/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the drivers of the benchmarks share. A program (bench_engine, bench_service) measures one
 * group of figures in a run and prints lines of JSON: samples (one contender in one round) and
 * values (counted, not timed). What becomes of them is decided by host/tmem_host/bench; what each
 * figure means stands in docs/performance.md.
 *
 * Every timed figure of the engine is a contest: the engine's call and the raw primitive go over
 * the same pages, in the same order, in turns of one slice each, so that whatever else the machine
 * does meets both alike. While one works on a slice the others are far away in the set: nobody
 * finds pages in the cache that somebody else has just read. Nothing is subtracted from any time.
 */
#ifndef TMEM_BENCH_H
#define TMEM_BENCH_H

#include <stdbool.h>
#include <stdint.h>

#include "engine.h"

/* ---- the data set: pages of real files, and where each comes from ---- */

struct bench_handle {
	uint32_t object; /* number of the file */
	uint32_t index;  /* of the page in it */
};

struct bench_data {
	const char *folder; /* on tmpfs; holds the data set, and takes arenas */
	uint32_t rounds;    /* not counting the first, which warms up */
	const char *pages;
	const struct bench_handle *handles; /* one for each page */
	uint32_t page_count;
	/* Pages that are not one repeated word, which the engine keeps without contents. What is
	 * compared with copying or compressing uses these alone. */
	uint32_t *plain;
	uint32_t plain_count;
};

void bench_data_load(struct bench_data *data, const char *folder);

static inline const char *bench_page(const struct bench_data *data, uint32_t page)
{
	return data->pages + (uint64_t)page * TMEM_PAGE_BYTES;
}

/* A new array with the numbers of @count elements of @from, shuffled, always in the same way. */
uint32_t *bench_shuffled(const uint32_t *from, uint32_t count);

/* The next number of a generator with the state @state, which must not be 0. */
uint64_t bench_random(uint64_t *state);

/* ---- time ---- */

struct bench_time {
	uint64_t wall_ns;
	uint64_t waited_ns; /* of these, ready to run while others had the processor */
};

struct bench_time bench_now(void);

/* Adds the time since @start to @total. */
void bench_add_since(struct bench_time *total, const struct bench_time *start);

/* Keeps the calling thread on the processor number @which of those it may use; false if there are
 * not as many. */
bool bench_pin(unsigned int which);

/* The compiler must take everything at @memory for read here. */
static inline void bench_used(const void *memory)
{
	__asm__ volatile("" : : "r"(memory) : "memory");
}

/* ---- contests ---- */

enum { BENCH_SLICES = 64 };

struct bench_contender {
	const char *series;
	/* Does its work for the elements @first to @end, the latter excluded. */
	void (*work)(void *context, uint32_t first, uint32_t end);
	void *context;
};

/* Elements @first to @end of @total are slice @slice of @slices. */
void bench_slice(uint32_t total, uint32_t slice, uint32_t slices, uint32_t *first, uint32_t *end);

/* Lets the contenders work on @total elements in turns; reports a sample of each, unless @round is
 * the warming up, 0. */
void bench_contest(const struct bench_contender *contenders, uint32_t count, uint32_t total,
		   uint32_t round);

/* ---- results ---- */

void bench_sample(const char *series, uint32_t round, const struct bench_time *time,
		  uint64_t pages);
void bench_value(const char *name, double value);

/* Ends the program with one sentence. */
void bench_fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

void *bench_alloc(uint64_t bytes);

/* ---- groups: each is one run of the program ---- */

void bench_put(const struct bench_data *data);
void bench_put_fresh(const struct bench_data *data);
void bench_get_seq(const struct bench_data *data);
void bench_get_random(const struct bench_data *data);
void bench_put_lz4(const struct bench_data *data);
void bench_get_lz4(const struct bench_data *data);
void bench_put_full(const struct bench_data *data);
void bench_scaling(const struct bench_data *data);
void bench_metadata(const struct bench_data *data);
void bench_waste(const struct bench_data *data);
void bench_lru(const struct bench_data *data);
void bench_recover(const struct bench_data *data);
void bench_destroy(const struct bench_data *data);

#endif
