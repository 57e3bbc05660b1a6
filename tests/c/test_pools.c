/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Clients and pools in numbers that would take too long from Python. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "page.h"
#include "setup.h"

/* One thread works here, so that the thread sanitizer has nothing to see: a few will do for it. */
#ifdef __SANITIZE_THREAD__
enum { SCALE = 16 };
#else
enum { SCALE = 1 };
#endif

enum { ARENA_BYTES = 64 << 20 };

static int try_pool(struct tmem_client *client, uint32_t *id)
{
	uint32_t granted;

	return tmem_pool_new(client, NULL, TMEM_ABI_VERSION << TMEM_POOL_VERSION_SHIFT, id,
			     &granted);
}

static void a_client_has_its_share_of_pools(void)
{
	struct tmem_engine *engine = setup_engine("many-pools", ARENA_BYTES);
	struct tmem_client *client = setup_client(engine, "greedy", TMEM_ENCODING_RAW);
	struct tmem_client *other = setup_client(engine, "other", TMEM_ENCODING_RAW);
	uint32_t first = setup_pool(client, TMEM_POOL_PERSISTENT);
	struct tmem_usage usage;
	uint32_t count = 1;
	uint32_t id;

	while (count < TMEM_POOLS_PER_CLIENT_MAX) {
		CHECK_EQ(try_pool(client, &id), 0);
		count++;
	}
	CHECK_EQ(try_pool(client, &id), TMEM_EMFILE);
	tmem_engine_usage(engine, &usage);
	CHECK_EQ(usage.pools, TMEM_POOLS_PER_CLIENT_MAX);
	/* It is a limit of each client. */
	CHECK_EQ(try_pool(other, &id), 0);
	CHECK_EQ(setup_put(client, first, 0, page_value(PAGE_RAW, 1)), TMEM_DONE);
	CHECK_EQ(tmem_pool_destroy(client, first), TMEM_DONE);
	CHECK_EQ(tmem_pool_destroy(client, first), TMEM_MISS);
	CHECK_EQ(try_pool(client, &id), 0);
	CHECK_EQ(tmem_client_destroy(client), 0);
	tmem_client_release(client);
	tmem_client_release(other);
	tmem_engine_close(engine);
}

/* An id that a guest kept too long never names another pool. */
static void ids_are_not_soon_reused(void)
{
	enum { POOLS = 40000 / SCALE };
	static uint32_t ids[POOLS];
	struct tmem_engine *engine = setup_engine("ids", ARENA_BYTES);
	struct tmem_client *client = setup_client(engine, "churn", TMEM_ENCODING_RAW);

	for (int i = 0; i < POOLS; i++) {
		CHECK_EQ(try_pool(client, &ids[i]), 0);
		CHECK_EQ(tmem_pool_destroy(client, ids[i]), TMEM_DONE);
		if (i == POOLS / 2) {
			/* Not even when the arena was closed in between. */
			tmem_client_release(client);
			tmem_engine_close(engine);
			engine = setup_engine("ids", ARENA_BYTES);
			CHECK_EQ(tmem_client_find(engine, "churn", &client), 0);
		}
	}
	for (int i = 0; i < POOLS; i++)
		for (int j = i + 1; j < i + 50 && j < POOLS; j++)
			CHECK(ids[i] != ids[j]);
	for (int i = 0; i < POOLS; i += 97)
		CHECK_EQ(tmem_flush_page(client, ids[i], &setup_oid, 0), TMEM_ENODEV);
	tmem_client_release(client);
	tmem_engine_close(engine);
}

static void thousands_of_clients(void)
{
	enum { CLIENTS = 3000 / SCALE };
	struct tmem_engine *engine = setup_engine("clients", ARENA_BYTES);
	struct tmem_client *client;
	struct tmem_usage usage;
	uint32_t seen = 0;
	char name[32];

	for (int i = 0; i < CLIENTS; i++) {
		snprintf(name, sizeof(name), "guest %d", i);
		CHECK_EQ(tmem_client_create(engine, name, &client), 0);
		CHECK_EQ(setup_put(client, setup_pool(client, TMEM_POOL_PERSISTENT), 1,
				   page_value(PAGE_SAME, 1 + i)),
			 TMEM_DONE);
		/* Every third goes again: the numbers of the others are not in a row. */
		if (i % 3 == 0)
			CHECK_EQ(tmem_client_destroy(client), 0);
		tmem_client_release(client);
	}
	tmem_engine_close(engine);
	engine = setup_engine("clients", ARENA_BYTES);
	for (int64_t uid = -1; tmem_client_next(engine, uid, &client) == 0; seen++) {
		struct tmem_client_info info;
		uint32_t number;

		tmem_client_info(client, &info);
		uid = info.uid;
		CHECK_EQ(sscanf(info.name, "guest %u", &number), 1);
		CHECK_EQ(setup_get(client, (uint32_t)tmem_pool_next(client, -1), 1),
			 page_value(PAGE_SAME, 1 + number));
		tmem_client_release(client);
	}
	CHECK_EQ(seen, CLIENTS - (CLIENTS + 2) / 3);
	tmem_engine_usage(engine, &usage);
	CHECK_EQ(usage.clients, seen);
	CHECK_EQ(usage.persistent_pages, seen);
	tmem_engine_close(engine);
}

/* A pool is emptied by counting its epoch up, in 16 bits of each record: nothing may come back
 * when that number does, with the arena reopened now and then. */
static void epochs_wrap(void)
{
	enum { FLUSHES = ((1 << 16) + 10) / SCALE, KEPT = 1000 };
	struct tmem_engine *engine = setup_engine("epochs", ARENA_BYTES);
	struct tmem_client *client = setup_client(engine, "flusher", TMEM_ENCODING_RAW);
	uint32_t pool = setup_pool(client, TMEM_POOL_PERSISTENT);
	uint32_t other = setup_pool(client, TMEM_POOL_PERSISTENT);

	CHECK_EQ(setup_put(client, other, KEPT, page_value(PAGE_RAW, KEPT)), TMEM_DONE);
	for (uint32_t i = 0; i < FLUSHES; i++) {
		CHECK_EQ(setup_put(client, pool, i % 3, page_value(PAGE_SAME, 1 + i)), TMEM_DONE);
		CHECK_EQ(tmem_pool_flush(client, pool), TMEM_DONE);
		if (i % (20000 / SCALE) == 0) {
			tmem_client_release(client);
			tmem_engine_close(engine);
			engine = setup_engine("epochs", ARENA_BYTES);
			CHECK_EQ(tmem_client_find(engine, "flusher", &client), 0);
		}
		for (uint64_t index = 0; index < 3; index++)
			CHECK_EQ(setup_get(client, pool, index), 0);
	}
	CHECK_EQ(setup_get(client, other, KEPT), page_value(PAGE_RAW, KEPT));
	tmem_client_release(client);
	tmem_engine_close(engine);
}

/* As many shared pools as one likes, where Xen had sixteen. */
static void shared_pools_have_no_small_table(void)
{
	enum { SHARED = 2000 / SCALE };
	static uint32_t ids[2][SHARED];
	struct tmem_engine *engine = setup_engine("shared", ARENA_BYTES);
	struct tmem_client *clients[2] = {
		setup_client(engine, "a", TMEM_ENCODING_RAW),
		setup_client(engine, "b", TMEM_ENCODING_RAW),
	};
	struct tmem_usage usage;
	uint32_t granted;

	CHECK_EQ(tmem_engine_set_shared_auth_all(engine, 1), 0);
	for (int c = 0; c < 2; c++)
		for (int i = 0; i < SHARED; i++) {
			uint8_t uuid[TMEM_UUID_BYTES] = {(uint8_t)i, (uint8_t)(i >> 8), 3};

			CHECK_EQ(tmem_pool_new(clients[c], uuid,
					       TMEM_POOL_SHARED |
						       TMEM_ABI_VERSION << TMEM_POOL_VERSION_SHIFT,
					       &ids[c][i], &granted),
				 0);
			CHECK_EQ(granted, TMEM_POOL_SHARED);
		}
	tmem_engine_usage(engine, &usage);
	CHECK_EQ(usage.shared_pools, SHARED);
	for (int i = 0; i < SHARED; i++)
		CHECK_EQ(setup_put(clients[0], ids[0][i], 0, page_value(PAGE_SAME, 1 + i)),
			 TMEM_DONE);
	for (int i = 0; i < SHARED; i++)
		CHECK_EQ(setup_get(clients[1], ids[1][i], 0), page_value(PAGE_SAME, 1 + i));
	for (int c = 0; c < 2; c++) {
		CHECK_EQ(tmem_client_destroy(clients[c]), 0);
		tmem_client_release(clients[c]);
	}
	tmem_engine_usage(engine, &usage);
	CHECK_EQ(usage.shared_pools + usage.ephemeral_pages + usage.objects, 0);
	tmem_engine_close(engine);
}

int main(int argc, char **argv)
{
	static const struct test tests[] = {
		{"a_client_has_its_share_of_pools", a_client_has_its_share_of_pools},
		{"ids_are_not_soon_reused", ids_are_not_soon_reused},
		{"thousands_of_clients", thousands_of_clients},
		{"epochs_wrap", epochs_wrap},
		{"shared_pools_have_no_small_table", shared_pools_have_no_small_table},
	};

	return RUN_TESTS(tests, argc, argv);
}
