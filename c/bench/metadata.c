/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a page costs beside its contents: its record in the arena, and the engine's memory outside
 * it. Asked for all through a fill, since what grows by doubling is at its worst in between, and
 * reported as the worst from some part of the fill on: the fewer pages there are, the more of it is
 * what an engine costs without any page.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store.h"

enum { SAMPLE_PAGES = 64, SHAPES = 4, PARTS = 4 };

/* Worst values are those since one page in so many was there; the last one is the full set. */
static const uint32_t parts[PARTS] = {64, 16, 4, 1};

/* Which handles the pages of the set get. */
static struct tmem_oid oid_of(const struct bench_data *data, uint32_t shape, uint32_t page,
			      uint64_t *index)
{
	struct tmem_oid oid = {{0, 0, 0}};

	*index = 0;
	switch (shape) {
	case 0: /* files as they are */
	case 3: /* the same again, under other names */
		oid.words[0] = data->handles[page].object;
		*index = data->handles[page].index;
		break;
	case 1: /* an object for each page */
		oid.words[0] = page;
		break;
	default: /* one object */
		*index = page;
	}
	return oid;
}

static uint64_t anonymous_bytes(void)
{
	unsigned long pages[3] = {0}; /* in memory: all, and of these shared */
	FILE *file = fopen("/proc/self/statm", "r");

	if (file == NULL || fscanf(file, "%lu %lu %lu", &pages[0], &pages[1], &pages[2]) != 3)
		bench_fail("/proc/self/statm: cannot read it");
	fclose(file);
	return (pages[1] - pages[2]) * (uint64_t)sysconf(_SC_PAGESIZE);
}

struct worst {
	double bytes_per_page;
	struct tmem_usage usage;
	double pages;
};

/* @count: pages of the whole fill. */
static void sample(struct tmem_engine *engine, uint64_t count, struct worst *worst)
{
	struct tmem_usage usage;
	double bytes_per_page;
	double pages;

	tmem_engine_usage(engine, &usage);
	pages = (double)(usage.ephemeral_pages + usage.persistent_pages);
	bytes_per_page = (double)(usage.record_bytes + usage.heap_bytes) / pages;
	for (unsigned int i = 0; i < PARTS; i++) {
		if (pages * parts[i] < (double)count || bytes_per_page <= worst[i].bytes_per_page)
			continue;
		worst[i].bytes_per_page = bytes_per_page;
		worst[i].usage = usage;
		worst[i].pages = pages;
	}
}

static void fill(const struct bench_data *data, const struct bench_store *store, uint32_t shape,
		 struct worst *worst)
{
	uint32_t passes = shape == 3 ? 2 : 1;

	for (uint32_t i = 0; i < data->page_count * passes; i++) {
		uint32_t page = i % data->page_count;
		uint64_t index;
		struct tmem_oid oid = oid_of(data, shape, page, &index);

		oid.words[1] = i / data->page_count;
		if (tmem_put(store->client, store->pool, &oid, index, bench_page(data, page)) !=
		    TMEM_DONE)
			bench_fail("a put was refused although there is room");
		if (i % SAMPLE_PAGES == 0)
			sample(store->engine, data->page_count * passes, worst);
	}
	sample(store->engine, data->page_count * passes, worst);
}

static void report(const char *kind, uint32_t shape, const char *what, double value)
{
	static const char *const names[SHAPES] = {"files", "small_objects", "one_object", "twice"};
	char name[96];

	snprintf(name, sizeof(name), "%s_%s_%s", kind, names[shape], what);
	bench_value(name, value);
}

static void report_worst(const char *kind, uint32_t shape, const struct worst *worst)
{
	for (unsigned int i = 0; i < PARTS; i++) {
		char what[48];

		snprintf(what, sizeof(what), "from_1_%u_bytes_per_page", parts[i]);
		report(kind, shape, what, worst[i].bytes_per_page);
		snprintf(what, sizeof(what), "from_1_%u_bytes", parts[i]);
		report(kind, shape, what,
		       (double)(worst[i].usage.record_bytes + worst[i].usage.heap_bytes));
		snprintf(what, sizeof(what), "from_1_%u_pages", parts[i]);
		report(kind, shape, what, worst[i].pages);
	}
}

static void measure(const struct bench_data *data, uint32_t shape, uint32_t dedup)
{
	const char *kind = dedup ? "dedup" : "plain";
	uint64_t before = anonymous_bytes();
	struct worst worst[PARTS] = {0};
	struct tmem_client_info info;
	struct bench_store store;
	struct tmem_usage usage;

	bench_store_open(&store, data, bench_room_bytes(2ull * data->page_count), TMEM_ENCODING_LZ4,
			 NULL);
	tmem_client_info(store.client, &info);
	info.settings.dedup = dedup;
	if (tmem_client_set(store.client, &info.settings) != 0)
		bench_fail("cannot set the client's dedup");
	tmem_engine_usage(store.engine, &usage);
	report(kind, shape, "empty_heap_bytes", (double)usage.heap_bytes);
	fill(data, &store, shape, worst);
	report_worst(kind, shape, worst);
	/* What the kernel says: heap_bytes is what the engine asked for, not what it got. */
	tmem_engine_usage(store.engine, &usage);
	report(kind, shape, "process_bytes_per_page",
	       ((double)anonymous_bytes() - (double)before) / (double)usage.ephemeral_pages);
	bench_store_close(&store);
}

/* In a process of its own: one that has had memory before does not ask the kernel for it again. */
static void measure_apart(const struct bench_data *data, uint32_t shape, uint32_t dedup)
{
	pid_t child;
	int status;

	fflush(stdout);
	child = fork();
	if (child == 0) {
		measure(data, shape, dedup);
		exit(0);
	}
	if (child < 0 || waitpid(child, &status, 0) < 0)
		bench_fail("cannot start a process");
	if (status != 0)
		exit(1);
}

void bench_metadata(const struct bench_data *data)
{
	for (uint32_t dedup = 0; dedup < 2; dedup++)
		for (uint32_t shape = 0; shape < SHAPES; shape++)
			measure_apart(data, shape, dedup);
}
