/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The shim against the real server and engine, over sockets that are cut. */
#include <string.h>

#include "check.h"
#include "frontends.h"
#include "guest.h"
#include "page.h"
#include "scratch.h"
#include "setup.h"

enum { ARENA_BYTES = 16 << 20, PATIENCE_MS = 30000 };

static struct tmem_engine *engine;
static struct tmem_server *server;

static void start_server(void)
{
	const struct tmem_server_options options = {.workers = 2};
	char path[SCRATCH_PATH_BYTES];
	struct tmem_error error;

	engine = setup_engine("arena", ARENA_BYTES);
	CHECK_EQ(tmem_engine_set_shared_auth_all(engine, 1), 0);
	scratch_path(path, "state");
	if (tmem_server_start(engine, path, &options, &server, &error) != 0)
		check_failed(__FILE__, __LINE__, "%s", error.message);
}

static void stop_server(void)
{
	tmem_server_stop(server, 1000);
	tmem_engine_close(engine);
}

static const struct tmem_oid oid = {{7, 8, 9}};

static void pages_come_back(void)
{
	struct guest guest;
	uint32_t page[TMEM_PAGE_BYTES / 4];
	int pool;

	start_server();
	guest_start(&guest, server, "plain", 1, NULL);
	pool = tmem_cleancache_init_fs(guest.shim, TMEM_PAGE_BYTES);
	CHECK(pool >= 0);
	CHECK_EQ(tmem_shim_pool_wait(guest.shim, (uint32_t)pool, PATIENCE_MS), TMEM_DONE);
	for (uint32_t i = 0; i < 100; i++) {
		page_make(page, page_value(i % PAGE_FILLS, 1 + i));
		CHECK_EQ(tmem_shim_put_wait(guest.shim, (uint32_t)pool, &oid, i, page), TMEM_DONE);
	}
	for (uint32_t i = 0; i < 100; i++) {
		CHECK_EQ(tmem_shim_get(guest.shim, (uint32_t)pool, &oid, i, page), TMEM_DONE);
		CHECK(page_equals(page, page_value(i % PAGE_FILLS, 1 + i)));
	}
	for (uint32_t i = 0; i < 100; i++)
		CHECK_EQ(tmem_shim_get(guest.shim, (uint32_t)pool, &oid, i, page), TMEM_MISS);
	guest_stop(&guest, 1);
	stop_server();
}

int main(int argc, char **argv)
{
	static const struct test tests[] = {
		{"pages_come_back", pages_come_back},
	};

	return RUN_TESTS(tests, argc, argv);
}
