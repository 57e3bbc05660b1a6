/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The shim in threads against the real server and engine, over sockets that break and a server that
 * restarts: several callers at a time, and two guests that share a file system.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "page.h"
#include "random.h"
#include "scratch.h"
#include "server.h"
#include "setup.h"
#include "user/transport.h"

enum { ARENA_BYTES = 64 << 20, PATIENCE_MS = 60000, GUESTS = 2 };

static struct tmem_engine *engine;
static struct tmem_server *server;
static struct tmem_transport *transports[GUESTS];
static struct tmem_shim *shims[GUESTS];

static void socket_path(char *path, int guest)
{
	char name[32];

	snprintf(name, sizeof(name), "socket%d", guest);
	scratch_path(path, name);
}

static void start_server(void)
{
	/* long, so that a slow machine expels nobody */
	const struct tmem_server_options options = {
		.workers = 2, .lease_ms = 1000, .expel_ms = 48000, .giveup_ms = 60000};
	char path[SCRATCH_PATH_BYTES];
	struct tmem_error error;

	engine = setup_engine("arena", ARENA_BYTES);
	CHECK_EQ(tmem_engine_set_shared_auth_all(engine, 1), 0);
	scratch_path(path, "state");
	if (tmem_server_start(engine, path, &options, &server, &error) != 0)
		check_failed(__FILE__, __LINE__, "%s", error.message);
	for (int i = 0; i < GUESTS; i++) {
		struct tmem_channel_options channel = {.peer_uid = -1};

		snprintf(channel.client, sizeof(channel.client), "guest%d", i);
		socket_path(path, i);
		snprintf(channel.path, sizeof(channel.path), "%s", path);
		if (tmem_server_listen(server, &channel, &error) < 0)
			check_failed(__FILE__, __LINE__, "%s", error.message);
	}
}

static void stop_server(void)
{
	tmem_server_stop(server, 1000);
	tmem_engine_close(engine);
}

static void start_guests(const char *test)
{
	for (int i = 0; i < GUESTS; i++) {
		struct tmem_transport_options options = {.fd = -1};
		char path[SCRATCH_PATH_BYTES];

		socket_path(path, i);
		snprintf(options.path, sizeof(options.path), "%s", path);
		snprintf((char *)options.config.boot_id, sizeof(options.config.boot_id), "%d%s", i,
			 test);
		options.config.queue_entries = 64;
		options.config.staged_pages = 32;
		CHECK_EQ(tmem_transport_new(&options, &transports[i]), 0);
		shims[i] = tmem_transport_shim(transports[i]);
		CHECK_EQ(tmem_transport_start(transports[i]), 0);
	}
}

static void stop_guests(void)
{
	for (int i = 0; i < GUESTS; i++) {
		CHECK_EQ(tmem_transport_wait(transports[i], PATIENCE_MS), 0);
		CHECK_EQ(tmem_transport_stop(transports[i], 1, PATIENCE_MS), 0);
		tmem_transport_free(transports[i]);
	}
}

static uint32_t pool_of(int guest, uint32_t flags, const uint8_t *uuid)
{
	int id = tmem_shim_new_pool(shims[guest], flags, uuid);

	CHECK(id >= 0);
	CHECK_EQ(tmem_shim_pool_wait(shims[guest], (uint32_t)id, PATIENCE_MS), TMEM_DONE);
	return (uint32_t)id;
}

static uint64_t counter(int guest, size_t offset)
{
	struct tmem_shim_counters counters;

	tmem_shim_counters(shims[guest], &counters);
	return *(uint64_t *)((uint8_t *)&counters + offset);
}

#define COUNTER(guest, name) counter(guest, offsetof(struct tmem_shim_counters, name))

static struct tmem_oid oid_of(uint64_t object)
{
	return (struct tmem_oid){{object + 1, 0, 5}};
}

/* ---- round trips ---------------------------------------------------------------------- */

enum { FILE_PAGES = 2048 };

static uint64_t read_file(int guest, uint32_t pool, uint64_t object)
{
	uint8_t page[TMEM_PAGE_BYTES];
	struct tmem_oid oid = oid_of(object);
	uint64_t hits = 0;

	for (uint32_t i = 0; i < FILE_PAGES; i++) {
		int result = tmem_cleancache_get_page(shims[guest], pool, &oid, i, page);

		if (result == TMEM_DONE)
			CHECK(page_equals(page, page_value(i % PAGE_FILLS, i + 1)));
		hits += result == TMEM_DONE;
	}
	return hits;
}

/* Reads records of so many pages, each once, none before its neighbour; how many pages were there.
 */
static uint64_t read_records(int guest, uint32_t pool, uint64_t object, uint32_t pages)
{
	uint8_t page[TMEM_PAGE_BYTES];
	struct tmem_oid oid = oid_of(object);
	uint32_t records = FILE_PAGES / pages;
	uint64_t hits = 0;

	for (uint32_t i = 0; i < records; i++)
		for (uint32_t j = 0; j < pages; j++)
			hits += tmem_cleancache_get_page(shims[guest], pool, &oid,
							 (uint64_t)(i * 37 % records) * pages + j,
							 page) == TMEM_DONE;
	return hits;
}

static void put_file(int guest, uint32_t pool, uint64_t object)
{
	uint8_t page[TMEM_PAGE_BYTES];
	struct tmem_oid oid = oid_of(object);

	for (uint32_t i = 0; i < FILE_PAGES; i++) {
		page_make(page, page_value(i % PAGE_FILLS, i + 1));
		CHECK_EQ(tmem_shim_put_wait(shims[guest], pool, &oid, i, page), TMEM_DONE);
	}
}

static void sequential_reads_cost_few_trips(void)
{
	static const uint8_t uuid[16] = {1};
	uint64_t before, trips;
	uint32_t own, shared;

	start_server();
	start_guests("trips");
	own = pool_of(0, 0, NULL);
	shared = pool_of(0, TMEM_POOL_SHARED, uuid);
	/* misses: 0.05 trips a page at most */
	for (uint64_t object = 0; object < 2; object++) {
		before = COUNTER(0, round_trips);
		CHECK_EQ(read_file(0, object ? shared : own, object), 0);
		trips = COUNTER(0, round_trips) - before;
		printf("%llu trips for %d misses, ", (unsigned long long)trips, FILE_PAGES);
		CHECK(trips * 100 <= FILE_PAGES * 5);
	}
	/* hits: 0.06 */
	put_file(0, own, 7);
	before = COUNTER(0, round_trips);
	CHECK_EQ(read_file(0, own, 7), FILE_PAGES);
	trips = COUNTER(0, round_trips) - before;
	printf("%llu trips for %d hits ", (unsigned long long)trips, FILE_PAGES);
	CHECK(trips * 100 <= FILE_PAGES * 6);
	/* taken out by the hits, and known to be so */
	before = COUNTER(0, round_trips);
	CHECK_EQ(read_file(0, own, 7), 0);
	CHECK((COUNTER(0, round_trips) - before) * 100 <= FILE_PAGES * 5);
	stop_guests();
	stop_server();
}

/* In no order: once their size is known, a trip each, and little is fetched behind their ends. */
static void records_cost_a_trip_each(void)
{
	static const uint8_t uuid[16] = {1};
	uint32_t shared;

	start_server();
	start_guests("records");
	shared = pool_of(0, TMEM_POOL_SHARED, uuid);
	put_file(0, shared, 7);
	for (uint32_t pages = 1; pages <= 32; pages *= 2) {
		uint64_t trips = COUNTER(0, round_trips), ahead = COUNTER(0, ahead_asked);

		/* all, unless the machine is so busy that the pool is not served for a while */
		CHECK(read_records(0, shared, 7, pages) > FILE_PAGES / 2);
		trips = COUNTER(0, round_trips) - trips;
		ahead = COUNTER(0, ahead_asked) - ahead;
		printf("%u pages: %llu trips, %llu ahead; ", pages, (unsigned long long)trips,
		       (unsigned long long)ahead);
		/* of each size it is learnt anew */
		CHECK(trips <= FILE_PAGES / pages + 48);
		CHECK(ahead <= FILE_PAGES * 3 / 2);
	}
	stop_guests();
	stop_server();
}

/* ---- swap ----------------------------------------------------------------------------- */

enum { SWAP_PAGES = 8192 };

static void exiting_processes_flush_in_ranges(void)
{
	uint8_t page[TMEM_PAGE_BYTES];
	void *area = malloc(tmem_frontswap_area_bytes(SWAP_PAGES));
	struct tmem_shim_info info;
	struct tmem_usage usage;
	uint64_t before;

	start_server();
	start_guests("swap");
	CHECK_EQ(tmem_frontswap_init(shims[0], 3, SWAP_PAGES, area), TMEM_DONE);
	CHECK_EQ(tmem_frontswap_init(shims[0], 3, SWAP_PAGES, area), TMEM_EEXIST);
	tmem_shim_pool_wait(shims[0], 0, PATIENCE_MS);
	for (uint32_t i = 0; i < SWAP_PAGES; i++) {
		page_make(page, page_value(PAGE_SMALL, i + 1));
		CHECK_EQ(tmem_frontswap_store(shims[0], 3, i, page), TMEM_DONE);
	}
	CHECK(tmem_frontswap_store(shims[0], 3, SWAP_PAGES, page) != TMEM_DONE);
	for (uint32_t i = 0; i < SWAP_PAGES; i += 97) {
		CHECK_EQ(tmem_frontswap_load(shims[0], 3, i, page), TMEM_DONE);
		CHECK(page_equals(page, page_value(PAGE_SMALL, i + 1)));
	}
	before = COUNTER(0, messages_sent);
	for (uint32_t i = 0; i < SWAP_PAGES / 2; i++)
		tmem_frontswap_invalidate_page(shims[0], 3, i);
	/* one of a slot whose flush is owed takes its place */
	page_make(page, 77);
	CHECK_EQ(tmem_frontswap_store(shims[0], 3, 5, page), TMEM_DONE);
	do
		tmem_shim_info(shims[0], &info);
	while (info.owed || info.queued);
	tmem_engine_usage(engine, &usage);
	CHECK_EQ(usage.persistent_pages, SWAP_PAGES / 2 + 1);
	CHECK((COUNTER(0, messages_sent) - before) * 2 < SWAP_PAGES / 2);
	CHECK_EQ(tmem_frontswap_load(shims[0], 3, 5, page), TMEM_DONE);
	CHECK(page_equals(page, 77));
	tmem_frontswap_invalidate_area(shims[0], 3);
	CHECK_EQ(tmem_frontswap_forget_area(shims[0], 3, PATIENCE_MS), TMEM_DONE);
	do
		tmem_shim_info(shims[0], &info);
	while (info.queued);
	tmem_engine_usage(engine, &usage);
	CHECK_EQ(usage.persistent_pages, 0);
	stop_guests();
	stop_server();
	free(area);
}

/* ---- many callers, and trouble -------------------------------------------------------- */

enum { CALLERS = 4, CALLER_PAGES = 64, CALLER_STEPS = 4000, OBJECTS = 4 };

struct caller {
	pthread_t thread;
	int number;
	uint32_t pool;
	uint64_t hits, loads;
};

static unsigned int stop_trouble;

/* Each caller has handles of its own (rule 12); pump, pool, queue and tables are everybody's. */
static void *call(void *argument)
{
	struct caller *caller = argument;
	struct random random = {.state = 100 + (uint64_t)caller->number};
	struct tmem_oid oid = oid_of((uint64_t)caller->number);
	uint32_t pages[CALLER_PAGES] = {0}, slots[CALLER_PAGES] = {0}, version = 0;
	uint8_t page[TMEM_PAGE_BYTES];

	for (int step = 0; step < CALLER_STEPS; step++) {
		uint32_t i = random_below(&random, CALLER_PAGES), value;
		uint64_t slot = (uint64_t)caller->number * CALLER_PAGES + i;

		value = page_value(i % PAGE_FILLS, ++version);
		switch (random_below(&random, 10)) {
		case 0 ... 2:
			page_make(page, value);
			pages[i] = tmem_shim_put(shims[0], caller->pool, &oid, i, page) == TMEM_DONE
					   ? value
					   : 0;
			break;
		case 3 ... 5:
			if (tmem_shim_get(shims[0], caller->pool, &oid, i, page) != TMEM_DONE)
				break;
			CHECK(pages[i] != 0 && page_equals(page, pages[i]));
			pages[i] = 0;
			caller->hits++;
			break;
		case 6:
			tmem_cleancache_invalidate_page(shims[0], caller->pool, &oid, i);
			pages[i] = 0;
			break;
		case 7 ... 8:
			if (slots[i] != 0)
				tmem_frontswap_invalidate_page(shims[0], 0, slot);
			page_make(page, value);
			slots[i] = tmem_frontswap_store(shims[0], 0, slot, page) == TMEM_DONE
					   ? value
					   : 0;
			break;
		default:
			if (slots[i] == 0)
				break;
			CHECK_EQ(tmem_frontswap_load(shims[0], 0, slot, page), TMEM_DONE);
			CHECK(page_equals(page, slots[i]));
			caller->loads++;
		}
	}
	return NULL;
}

/* Streams break; every tenth time the server is restarted with its arena. */
static void *trouble(void *argument)
{
	struct random random = {.state = 5};

	(void)argument;
	for (int i = 1; !__atomic_load_n(&stop_trouble, __ATOMIC_ACQUIRE); i++) {
		/* however slow the machine is, something is done between two breaks */
		for (int guest = 0; guest < GUESTS; guest++)
			tmem_transport_wait(transports[guest], 1000);
		usleep(1000 + random_below(&random, 20000));
		if (i % 10 == 0) {
			stop_server();
			start_server();
		} else {
			tmem_transport_break(transports[random_below(&random, GUESTS)]);
		}
	}
	return NULL;
}

static void many_callers_and_trouble(void)
{
	void *area = malloc(tmem_frontswap_area_bytes(SWAP_PAGES));
	struct caller callers[CALLERS] = {0};
	uint64_t hits = 0, loads = 0;
	pthread_t troubles;
	uint32_t pool;

	start_server();
	start_guests("callers");
	CHECK_EQ(tmem_frontswap_init(shims[0], 0, SWAP_PAGES, area), TMEM_DONE);
	pool = pool_of(0, 0, NULL);
	stop_trouble = 0;
	CHECK_EQ(pthread_create(&troubles, NULL, trouble, NULL), 0);
	for (int i = 0; i < CALLERS; i++) {
		callers[i].number = i;
		callers[i].pool = pool;
		CHECK_EQ(pthread_create(&callers[i].thread, NULL, call, &callers[i]), 0);
	}
	for (int i = 0; i < CALLERS; i++) {
		pthread_join(callers[i].thread, NULL);
		hits += callers[i].hits;
		loads += callers[i].loads;
	}
	__atomic_store_n(&stop_trouble, 1, __ATOMIC_RELEASE);
	pthread_join(troubles, NULL);
	CHECK(hits > 10 && loads > 10);
	printf("%llu hits, %llu loads, %llu breaks ", (unsigned long long)hits,
	       (unsigned long long)loads, (unsigned long long)COUNTER(0, breaks));
	CHECK(COUNTER(0, breaks) > 0 && COUNTER(0, sessions_resumed) > 0);
	CHECK_EQ(COUNTER(0, loads_lost), 0);
	stop_guests();
	stop_server();
	free(area);
}

/* ---- two nodes of a cluster ----------------------------------------------------------- */

enum { FILE_BLOCKS = 16, NODE_STEPS = 4000 };

/* A file under a cluster lock; who has the mutex may move the lock. */
static struct file {
	pthread_mutex_t mutex;
	uint32_t disk[FILE_BLOCKS];
	uint32_t cached[GUESTS][FILE_BLOCKS];
	int lock[GUESTS]; /* 0 NL, 1 PR, 2 EX */
} files[OBJECTS];

static uint32_t shared_pools[GUESTS];

/* ocfs2's downconvert, with the cure S1. */
static void convert_down(int node, uint32_t object, int mode)
{
	struct tmem_oid oid = oid_of(object);
	struct file *file = &files[object];

	if (file->lock[node] <= mode)
		return;
	if (mode == 0)
		memset(file->cached[node], 0, sizeof(file->cached[node]));
	tmem_cleancache_invalidate_inode(shims[node], shared_pools[node], &oid);
	file->lock[node] = mode;
}

static void take_lock(int node, uint32_t object, int mode)
{
	if (files[object].lock[node] >= mode)
		return;
	convert_down(1 - node, object, mode == 2 ? 0 : 1);
	files[object].lock[node] = mode;
}

static void *use_files(void *argument)
{
	struct caller *caller = argument;
	struct random random = {.state = 900 + (uint64_t)caller->number};
	int node = caller->number % GUESTS;
	uint8_t page[TMEM_PAGE_BYTES];

	for (int step = 0; step < NODE_STEPS; step++) {
		uint32_t object = random_below(&random, OBJECTS);
		uint32_t block = random_below(&random, FILE_BLOCKS);
		struct file *file = &files[object];
		uint32_t *cached = &file->cached[node][block];
		struct tmem_oid oid = oid_of(object);

		pthread_mutex_lock(&file->mutex);
		switch (random_below(&random, 20)) {
		case 0:
			take_lock(node, object, 2);
			*cached = ++file->disk[block];
			break;
		case 1 ... 10:
			take_lock(node, object, 1);
			if (*cached == 0 &&
			    tmem_cleancache_get_page(shims[node], shared_pools[node], &oid, block,
						     page) == TMEM_DONE) {
				CHECK_EQ(page_read(page),
					 page_value(PAGE_SMALL, file->disk[block] + 1));
				caller->hits++;
			}
			*cached = file->disk[block];
			break;
		default:
			if (*cached == 0)
				break;
			page_make(page, page_value(PAGE_SMALL, *cached + 1));
			tmem_cleancache_put_page(shims[node], shared_pools[node], &oid, block,
						 page);
			*cached = 0;
		}
		pthread_mutex_unlock(&file->mutex);
	}
	return NULL;
}

static void two_nodes_share_files(void)
{
	static const uint8_t uuid[16] = {9};
	struct caller callers[CALLERS] = {0};
	uint64_t hits = 0;
	pthread_t troubles;

	start_server();
	start_guests("nodes");
	for (int i = 0; i < GUESTS; i++)
		shared_pools[i] = pool_of(i, TMEM_POOL_SHARED, uuid);
	for (int i = 0; i < OBJECTS; i++) {
		memset(&files[i], 0, sizeof(files[i]));
		pthread_mutex_init(&files[i].mutex, NULL);
		for (int block = 0; block < FILE_BLOCKS; block++)
			files[i].disk[block] = 1;
	}
	stop_trouble = 0;
	CHECK_EQ(pthread_create(&troubles, NULL, trouble, NULL), 0);
	/* until the leases have held long enough for something to be shared */
	for (int round = 0; hits < 100 && round < 200; round++) {
		for (int i = 0; i < CALLERS; i++) {
			callers[i].number = i;
			CHECK_EQ(pthread_create(&callers[i].thread, NULL, use_files, &callers[i]),
				 0);
		}
		for (int i = 0; i < CALLERS; i++) {
			pthread_join(callers[i].thread, NULL);
			hits += callers[i].hits;
		}
	}
	__atomic_store_n(&stop_trouble, 1, __ATOMIC_RELEASE);
	pthread_join(troubles, NULL);
	printf("%llu hits, %llu breaks ", (unsigned long long)hits,
	       (unsigned long long)COUNTER(0, breaks));
	CHECK(hits >= 100);
	stop_guests();
	stop_server();
}

int main(int argc, char **argv)
{
	static const struct test tests[] = {
		{"sequential_reads_cost_few_trips", sequential_reads_cost_few_trips},
		{"records_cost_a_trip_each", records_cost_a_trip_each},
		{"exiting_processes_flush_in_ranges", exiting_processes_flush_in_ranges},
		{"many_callers_and_trouble", many_callers_and_trouble},
		{"two_nodes_share_files", two_nodes_share_files},
	};

	return RUN_TESTS(tests, argc, argv);
}
