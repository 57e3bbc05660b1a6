/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The server with many threads around it: guests that work, lose their connections and take their
 * sessions over, while an operator looks, ends sessions, removes channels and takes events.
 */
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "page.h"
#include "peer.h"
#include "random.h"
#include "scratch.h"
#include "setup.h"

#ifdef __SANITIZE_THREAD__
enum { ROUNDS = 60 };
#else
enum { ROUNDS = 300 };
#endif

enum { ARENA_BYTES = 32 << 20, GUESTS = 4, PAGES = 16 };

static struct tmem_server *server;
static _Atomic uint32_t working;
static _Atomic uint64_t ended;

static void name_of(char *name, size_t bytes, unsigned int guest)
{
	snprintf(name, bytes, "guest %u", guest);
}

/* False once the session is over. */
static bool put_and_get(struct peer *peer, uint32_t pool, struct random *random)
{
	uint32_t index = random_below(random, PAGES);
	uint32_t value = page_value(PAGE_RAW, 1 + random_below(random, 1000));
	int64_t found;
	int code = peer_put(peer, pool, index, value);

	if (code != TMEM_DONE) {
		CHECK_EQ(code, TMEM_ECONNRESET);
		return false;
	}
	found = peer_get(peer, pool, index);
	if (found == TMEM_ECONNRESET)
		return false;
	CHECK_EQ(found, value);
	return true;
}

static void *be_a_guest(void *argument)
{
	unsigned int guest = (unsigned int)(uintptr_t)argument;
	struct random random = {.state = guest};
	struct peer peer;
	char name[32];
	int64_t channel;
	uint32_t pool;

	name_of(name, sizeof(name), guest);
	channel = peer_open(&peer, server, name, (uint8_t)guest);
	peer_begin(&peer);
	pool = peer_new_pool(&peer, TMEM_POOL_PERSISTENT, NULL);
	for (int round = 0; round < ROUNDS; round++) {
		bool going = true;

		for (int i = 0; i < 10 && going; i++)
			going = put_and_get(&peer, pool, &random);
		if (random_below(&random, 2) == 0) {
			/* another connection, and the old one is closed by either side */
			int old = peer.fd;
			int64_t old_channel = channel;

			channel = peer_reopen(&peer, server, name);
			if (random_below(&random, 2) == 0)
				CHECK_EQ(tmem_server_remove_channel(server, old_channel), 0);
			close(old);
			going = false;
		}
		while (!going) {
			CHECK(peer_hello(&peer, peer.session) > 0);
			going = peer_start(&peer) == TMEM_DONE;
		}
	}
	peer_close(&peer);
	working--;
	return NULL;
}

static void *operate(void *argument)
{
	struct random random = {.state = 99};
	struct tmem_session_info info;
	char name[32];

	(void)argument;
	while (working != 0) {
		unsigned int guest = random_below(&random, GUESTS);

		name_of(name, sizeof(name), guest);
		if (tmem_server_session(server, name, &info) != 0)
			continue;
		CHECK(info.requests >= info.turns || info.requests == 0 || info.turns > 0);
		if (random_below(&random, 50) == 0 &&
		    tmem_server_end_session(server, name, TMEM_ECONNRESET) == 0)
			ended++;
		usleep(200);
	}
	return NULL;
}

static void *take_events(void *argument)
{
	struct tmem_event event;
	uint64_t last_ns = 0;

	(void)argument;
	while (working != 0)
		if (tmem_server_next_event(server, 10, &event) != 0) {
			CHECK(event.time_ns + 1000000000 > last_ns);
			last_ns = event.time_ns;
		}
	return NULL;
}

static void guests_and_an_operator(void)
{
	const struct tmem_server_options options = {.workers = 2};
	pthread_t threads[GUESTS + 2];
	struct tmem_engine *engine = setup_engine("threads", ARENA_BYTES);
	char path[SCRATCH_PATH_BYTES];
	struct tmem_error error;

	scratch_path(path, "threads.state");
	if (tmem_server_start(engine, path, &options, &server, &error) != 0)
		check_failed(__FILE__, __LINE__, "%s", error.message);
	working = GUESTS;
	for (uintptr_t i = 0; i < GUESTS; i++)
		CHECK_EQ(pthread_create(&threads[i], NULL, be_a_guest, (void *)i), 0);
	CHECK_EQ(pthread_create(&threads[GUESTS], NULL, operate, NULL), 0);
	CHECK_EQ(pthread_create(&threads[GUESTS + 1], NULL, take_events, NULL), 0);
	for (int i = 0; i < GUESTS + 2; i++)
		pthread_join(threads[i], NULL);
	tmem_server_stop(server, 100);
	tmem_engine_close(engine);
}

int main(int argc, char **argv)
{
	static const struct test tests[] = {
		{"guests_and_an_operator", guests_and_an_operator},
	};

	return RUN_TESTS(tests, argc, argv);
}
