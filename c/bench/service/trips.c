/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How often a guest waits for the host when it reads in order: through the shim, as a front end
 * does, over a socket to our server; counted by the shim. Once pages that the host has, once pages
 * that it never had (rules S and T), in a private and in a shared pool, in one long object and in
 * the files of the data set, most of which are short.
 */
#include <stdio.h>
#include <string.h>

#include "service.h"
#include "user/transport.h"

enum { PAGES_MAX = 16384, WAIT_MS = 60000 };

/* What is read: the pages number 0 to @count of one object, or of the data set as its files are. */
struct reading {
	const struct bench_data *data;
	uint32_t count;
	bool files;
};

/* What the pages are called that are put; those of another @generation never are. */
static struct tmem_oid name_of(const struct reading *reading, uint32_t page, uint64_t generation,
			       uint64_t *index)
{
	const struct bench_handle *handle = &reading->data->handles[page];
	struct tmem_oid oid = {{generation, reading->files ? handle->object + 1 : 0, 0}};

	*index = reading->files ? handle->index : page;
	return oid;
}

static void put_all(struct tmem_shim *shim, uint32_t pool, const struct reading *reading)
{
	for (uint32_t page = 0; page < reading->count; page++) {
		uint64_t index;
		struct tmem_oid oid = name_of(reading, page, 1, &index);
		int code = tmem_shim_put_wait(shim, pool, &oid, index,
					      bench_page(reading->data, page));

		if (code != TMEM_DONE)
			bench_fail("trips: a put was refused: %d", code);
	}
}

/* Reads all in order: trips, and *@hits of them. */
static uint64_t read_all(struct tmem_shim *shim, uint32_t pool, const struct reading *reading,
			 uint64_t generation, uint32_t *hits)
{
	struct tmem_shim_counters before;
	struct tmem_shim_counters after;
	char to[TMEM_PAGE_BYTES];

	*hits = 0;
	tmem_shim_counters(shim, &before);
	for (uint32_t page = 0; page < reading->count; page++) {
		uint64_t index;
		struct tmem_oid oid = name_of(reading, page, generation, &index);

		if (tmem_shim_get(shim, pool, &oid, index, to) != TMEM_DONE)
			continue;
		(*hits)++;
		if (memcmp(to, bench_page(reading->data, page), sizeof(to)) != 0)
			bench_fail("trips: a page came back different");
	}
	tmem_shim_counters(shim, &after);
	return after.round_trips - before.round_trips;
}

static void report(const char *kind, const char *what, uint64_t trips, uint32_t pages)
{
	char name[64];

	snprintf(name, sizeof(name), "trips_%s_%s", kind, what);
	bench_value(name, (double)trips);
	snprintf(name, sizeof(name), "pages_%s_%s", kind, what);
	bench_value(name, pages);
}

static void measure(struct tmem_shim *shim, const struct reading *reading, bool shared)
{
	static const uint8_t uuid[TMEM_UUID_BYTES] = "benchmark trips";
	int pool = tmem_shim_new_pool(shim, shared ? TMEM_POOL_SHARED : 0, shared ? uuid : NULL);
	char kind[32];
	uint32_t hits;
	uint64_t trips;

	if (pool < 0 || tmem_shim_pool_wait(shim, (uint32_t)pool, WAIT_MS) != TMEM_DONE)
		bench_fail("trips: no pool");
	snprintf(kind, sizeof(kind), "%s_%s", shared ? "shared" : "private",
		 reading->files ? "files" : "object");
	put_all(shim, (uint32_t)pool, reading);
	trips = read_all(shim, (uint32_t)pool, reading, 2, &hits);
	if (hits != 0)
		bench_fail("trips: %u pages came back that were never put", hits);
	report(kind, "miss", trips, reading->count);
	trips = read_all(shim, (uint32_t)pool, reading, 1, &hits);
	/* a page that is late, or whose pool lapsed, is a miss: on a slow machine some are */
	if (hits < reading->count / 2)
		bench_fail("trips: %u of %u pages came back", hits, reading->count);
	report(kind, "hit", trips, hits);
	if (tmem_shim_destroy_pool(shim, (uint32_t)pool) != TMEM_DONE)
		bench_fail("trips: the pool was not destroyed");
}

void service_trips(const struct bench_data *data)
{
	struct tmem_transport_options options = {.config.boot_id = "benchmark trips"};
	struct reading reading = {.data = data, .count = data->page_count};
	struct tmem_transport *transport;
	struct service_server server;

	if (reading.count > PAGES_MAX)
		reading.count = PAGES_MAX;
	service_start_tmem(&server, data, "tmem_raw", "raw");
	options.fd = server.fd;
	if (tmem_transport_new(&options, &transport) != 0 || tmem_transport_start(transport) != 0 ||
	    tmem_transport_wait(transport, WAIT_MS) != 0)
		bench_fail("trips: no session");
	for (int shared = 0; shared < 2; shared++)
		for (int files = 0; files < 2; files++) {
			reading.files = files;
			measure(tmem_transport_shim(transport), &reading, shared);
		}
	tmem_transport_stop(transport, 1, WAIT_MS);
	tmem_transport_free(transport);
	service_server_stop(&server, data);
}
