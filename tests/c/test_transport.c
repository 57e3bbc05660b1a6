/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The user-space transport: its pump, and those who use it from many threads at once. */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "check.h"
#include "page.h"
#include "scratch.h"
#include "server.h"
#include "setup.h"
#include "user/transport.h"

enum {
	ARENA_BYTES = 16 << 20,
	PATIENCE_MS = 60000,
	USERS = 3,
	PAGES = 16,
	BREAKS = 12,
};

static struct tmem_engine *engine;
static struct tmem_server *server;
static char socket_path[SCRATCH_PATH_BYTES];

static void start_server(void)
{
	const struct tmem_server_options options = {.workers = 2, .expel_ms = 48000};
	struct tmem_channel_options channel = {.client = "guest", .peer_uid = -1};
	char path[SCRATCH_PATH_BYTES];
	struct tmem_error error;

	engine = setup_engine("arena", ARENA_BYTES);
	scratch_path(path, "state");
	CHECK_EQ(tmem_server_start(engine, path, &options, &server, &error), 0);
	scratch_path(socket_path, "socket");
	snprintf(channel.path, sizeof(channel.path), "%s", socket_path);
	CHECK(tmem_server_listen(server, &channel, &error) > 0);
}

static void stop_server(void)
{
	tmem_server_stop(server, 100);
	tmem_engine_close(engine);
}

static struct tmem_transport *new_transport(void)
{
	struct tmem_transport_options options = {
		.fd = -1,
		.config = {.get_ms = 600000,
			   .silent_ms = 600000,
			   .boot_id = "a guest",
			   .implementation = "test"},
	};
	struct tmem_transport *transport;

	snprintf(options.path, sizeof(options.path), "%s", socket_path);
	CHECK_EQ(tmem_transport_new(&options, &transport), 0);
	return transport;
}

static struct tmem_transport *start_transport(void)
{
	struct tmem_transport *transport = new_transport();

	CHECK_EQ(tmem_transport_start(transport), 0);
	CHECK_EQ(tmem_transport_wait(transport, PATIENCE_MS), 0);
	return transport;
}

static uint32_t new_pool(struct tmem_shim *shim, uint32_t flags)
{
	int pool = tmem_shim_new_pool(shim, flags, NULL);

	CHECK(pool >= 0);
	CHECK_EQ(tmem_shim_pool_wait(shim, (uint32_t)pool, PATIENCE_MS), TMEM_DONE);
	return (uint32_t)pool;
}

/* Looks at the transport as an operator does, until the event happens. */
static void await(struct tmem_transport *transport, int event)
{
	struct tmem_transport_event found = {0};

	while (found.event != event)
		CHECK(tmem_transport_next_event(transport, PATIENCE_MS, &found));
}

/* ---- many threads, and a channel that breaks --------------------------------------------------
 */

static atomic_int broken_enough;

struct user {
	pthread_t thread;
	struct tmem_shim *shim;
	uint32_t pool;
	uint32_t number;
	atomic_uint stored;
};

/* Puts its pages, which fails where the channel breaks, and gets those that were stored. */
static void *use(void *argument)
{
	struct user *user = argument;
	struct tmem_oid oid = {{user->number, 0, 0}};
	uint32_t values[PAGES] = {0};
	uint32_t page[TMEM_PAGE_BYTES / 4];

	for (uint32_t round = 1; !atomic_load(&broken_enough); round++) {
		uint32_t i = round * 7 % PAGES;
		uint32_t value = page_value(round % PAGE_FILLS, round);
		int result;

		page_make(page, value);
		result = tmem_shim_put_wait(user->shim, user->pool, &oid, i, page);
		values[i] = result == TMEM_DONE ? value : 0;
		atomic_fetch_add(&user->stored, result == TMEM_DONE);
		i = round * 5 % PAGES;
		result = tmem_shim_get(user->shim, user->pool, &oid, i, page);
		CHECK(values[i] ? result == TMEM_DONE
				: result == TMEM_MISS || result == TMEM_EEMPTY);
		CHECK(!values[i] || page_equals(page, values[i]));
	}
	return NULL;
}

static void threads_share_a_channel_that_breaks(void)
{
	struct tmem_transport *transport;
	struct tmem_transport_info info;
	struct user users[USERS];
	uint32_t pool;

	start_server();
	transport = start_transport();
	pool = new_pool(tmem_transport_shim(transport), TMEM_POOL_PERSISTENT);
	for (uint32_t i = 0; i < USERS; i++) {
		users[i].shim = tmem_transport_shim(transport);
		users[i].pool = pool;
		users[i].number = i;
		atomic_init(&users[i].stored, 0);
		CHECK_EQ(pthread_create(&users[i].thread, NULL, use, &users[i]), 0);
	}
	for (uint32_t i = 0; i < BREAKS; i++) {
		for (uint32_t j = 0; j < USERS; j++)
			while (atomic_load(&users[j].stored) < 5 * (i + 1))
				usleep(200);
		if (i % 4 == 3) {
			stop_server();
			start_server();
		} else {
			tmem_transport_pause(transport, 1);
			tmem_transport_break(transport);
			tmem_transport_pause(transport, 0);
		}
		await(transport, TMEM_SHIM_RESUMED);
		tmem_transport_info(transport, &info);
		CHECK(info.opened >= i + 2);
	}
	atomic_store(&broken_enough, 1);
	for (uint32_t i = 0; i < USERS; i++)
		CHECK_EQ(pthread_join(users[i].thread, NULL), 0);
	CHECK_EQ(tmem_transport_stop(transport, 1, PATIENCE_MS), 0);
	tmem_transport_free(transport);
	stop_server();
}

/* ---- the end ------------------------------------------------------------------------------- */

static void *load(void *argument)
{
	struct tmem_shim *shim = argument;
	uint32_t page[TMEM_PAGE_BYTES / 4];

	/* of the only pool, which has no such page; nobody answers */
	CHECK_EQ(tmem_shim_get(shim, 0, &setup_oid, 1, page) == TMEM_DONE, 0);
	return NULL;
}

static void stopping_ends_waits(void)
{
	struct tmem_transport *transport;
	pthread_t thread;

	start_server();
	transport = start_transport();
	CHECK_EQ(new_pool(tmem_transport_shim(transport), TMEM_POOL_PERSISTENT), 0);
	stop_server();
	await(transport, TMEM_SHIM_BROKEN);
	CHECK_EQ(pthread_create(&thread, NULL, load, tmem_transport_shim(transport)), 0);
	await(transport, TMEM_SHIM_LOAD_WAITS);
	CHECK_EQ(tmem_transport_stop(transport, 1, 0) != 0, 1);
	CHECK_EQ(pthread_join(thread, NULL), 0);
	CHECK_EQ(tmem_transport_stop(transport, 1, 0), 0);
	tmem_transport_free(transport);
}

static void a_session_is_handed_on(void)
{
	uint32_t pages[8][TMEM_PAGE_BYTES / 4];
	int32_t results[8];
	struct tmem_transport *transport, *next;
	struct tmem_shim_pool_info info;
	struct tmem_shim_saved saved;
	uint32_t pool;

	start_server();
	transport = new_transport();
	CHECK_EQ(tmem_transport_save(transport, 10, &saved), -EBUSY);
	tmem_transport_free(transport);
	transport = start_transport();
	pool = new_pool(tmem_transport_shim(transport), 0);
	for (uint32_t i = 0; i < 8; i++)
		page_make(pages[i], page_value(i % PAGE_FILLS, i + 1));
	CHECK_EQ(tmem_transport_run(tmem_transport_shim(transport), TMEM_OP_PUT_PAGE, pool,
				    &setup_oid, 5, 8, 3, pages, results),
		 8);
	CHECK_EQ(tmem_transport_flush(tmem_transport_shim(transport), TMEM_OP_FLUSH_RANGE, pool,
				      &setup_oid, 7, 2),
		 TMEM_DONE);
	CHECK_EQ(tmem_shim_pool_info(tmem_transport_shim(transport), pool, &info), 0);
	CHECK_EQ(tmem_transport_save(transport, PATIENCE_MS, &saved), 0);
	tmem_transport_free(transport);

	next = new_transport();
	tmem_shim_restore(tmem_transport_shim(next), &saved);
	pool = (uint32_t)tmem_shim_adopt_pool(tmem_transport_shim(next), &info);
	CHECK_EQ(tmem_transport_start(next), 0);
	await(next, TMEM_SHIM_RESUMED);
	CHECK_EQ(tmem_transport_run(tmem_transport_shim(next), TMEM_OP_GET_PAGE, pool, &setup_oid,
				    5, 8, 8, pages, results),
		 6);
	for (uint32_t i = 0; i < 8; i++) {
		CHECK_EQ(results[i], i == 2 || i == 3 ? TMEM_MISS : TMEM_DONE);
		CHECK(page_equals(pages[i], page_value(i % PAGE_FILLS, i + 1)));
	}
	CHECK_EQ(tmem_transport_stop(next, 1, PATIENCE_MS), 0);
	tmem_transport_free(next);
	stop_server();
}

static void what_can_not_be_made_takes_the_stream_nevertheless(void)
{
	struct tmem_transport_options options = {.config = {.queue_entries = 3}};
	struct tmem_transport *transport;
	int fds[2];
	char byte;

	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	options.fd = fds[0];
	CHECK_EQ(tmem_transport_new(&options, &transport), -EINVAL);
	CHECK_EQ(read(fds[1], &byte, 1), 0);
	close(fds[1]);
}

int main(int argc, char **argv)
{
	static const struct test tests[] = {
		{"threads_share_a_channel_that_breaks", threads_share_a_channel_that_breaks},
		{"stopping_ends_waits", stopping_ends_waits},
		{"a_session_is_handed_on", a_session_is_handed_on},
		{"what_can_not_be_made_takes_the_stream_nevertheless",
		 what_can_not_be_made_takes_the_stream_nevertheless},
	};

	return RUN_TESTS(tests, argc, argv);
}
