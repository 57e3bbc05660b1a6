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
#include "served_guests.h"

/* ---- many callers, and trouble -------------------------------------------------------- */

enum { CALLERS = 4, CALLER_PAGES = 64, CALLER_STEPS = 4000, OBJECTS = 4, SWAP_PAGES = 8192 };

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
		{"many_callers_and_trouble", many_callers_and_trouble},
		{"two_nodes_share_files", two_nodes_share_files},
	};

	return RUN_TESTS(tests, argc, argv);
}
