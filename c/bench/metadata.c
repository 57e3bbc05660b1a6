/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a page costs beside its contents: its record in the arena, and the engine's memory outside
 * it, at every moment of a fill from the sixteenth part of the set on (before that, what an engine
 * costs without any page outweighs what pages cost; that is a value of its own).
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store.h"

enum { SAMPLE_PAGES = 64, SHAPES = 4 };

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

static void sample(struct tmem_engine *engine, uint64_t count, struct worst *worst)
{
	struct tmem_usage usage;
	double pages;
	double bytes;

	tmem_engine_usage(engine, &usage);
	pages = (double)(usage.ephemeral_pages + usage.persistent_pages);
	if (pages < (double)count / 16)
		return;
	bytes = (double)(usage.record_bytes + usage.heap_bytes);
	if (bytes / pages <= worst->bytes_per_page)
		return;
	worst->bytes_per_page = bytes / pages;
	worst->usage = usage;
	worst->pages = pages;
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

static void report(const char *kind, const char *shape, const char *what, double value)
{
	char name[96];

	snprintf(name, sizeof(name), "%s_%s_%s", kind, shape, what);
	bench_value(name, value);
}

static void measure(const struct bench_data *data, uint32_t shape, uint32_t dedup)
{
	static const char *const names[SHAPES] = {"files", "small_objects", "one_object", "twice"};
	const char *kind = dedup ? "dedup" : "plain";
	uint64_t before = anonymous_bytes();
	struct tmem_client_info info;
	struct bench_store store;
	struct worst worst = {0};
	struct tmem_usage empty;
	struct worst last = {0};

	bench_store_open(&store, data, bench_room_bytes(2ull * data->page_count), TMEM_ENCODING_LZ4,
			 NULL);
	tmem_client_info(store.client, &info);
	info.settings.dedup = dedup;
	if (tmem_client_set(store.client, &info.settings) != 0)
		bench_fail("cannot set the client's dedup");
	tmem_engine_usage(store.engine, &empty);
	fill(data, &store, shape, &worst);
	sample(store.engine, 0, &last);
	report(kind, names[shape], "bytes_per_page", worst.bytes_per_page);
	report(kind, names[shape], "full_bytes_per_page", last.bytes_per_page);
	report(kind, names[shape], "heap_bytes", (double)worst.usage.heap_bytes);
	report(kind, names[shape], "record_bytes", (double)worst.usage.record_bytes);
	report(kind, names[shape], "pages", worst.pages);
	report(kind, names[shape], "empty_heap_bytes", (double)empty.heap_bytes);
	/* What the kernel says, at the end of the fill: heap_bytes leaves malloc's own costs out.
	 */
	report(kind, names[shape], "process_bytes_per_page",
	       ((double)anonymous_bytes() - (double)before) /
		       (data->page_count * (shape == 3 ? 2.0 : 1.0)));
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
