/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sessions of the server: begun, resumed, taken over, ended, over connections and restarts. */
#include <string.h>
#include <time.h>

#include "check.h"
#include "page.h"
#include "peer.h"
#include "scratch.h"
#include "setup.h"

enum { ARENA_BYTES = 8 << 20 };

static struct tmem_engine *engine;
static struct tmem_server *server;

static void start_server(void)
{
	const struct tmem_server_options options = {.workers = 2};
	char path[SCRATCH_PATH_BYTES];
	struct tmem_error error;

	engine = setup_engine("arena", ARENA_BYTES);
	scratch_path(path, "state");
	if (tmem_server_start(engine, path, &options, &server, &error) != 0)
		check_failed(__FILE__, __LINE__, "%s", error.message);
}

static void stop_server(void)
{
	tmem_server_stop(server, 1000);
	tmem_engine_close(engine);
}

static uint32_t state_of(const char *client)
{
	struct tmem_session_info info;

	CHECK_EQ(tmem_server_session(server, client, &info), 0);
	return info.state;
}

/* ---- what every guest does -------------------------------------------------------------- */

static void pages_come_back(void)
{
	struct peer peer;
	uint32_t persistent, ephemeral;

	start_server();
	peer_open(&peer, server, "plain", 1);
	peer_begin(&peer);
	persistent = peer_new_pool(&peer, TMEM_POOL_PERSISTENT, NULL);
	ephemeral = peer_new_pool(&peer, 0, NULL);
	for (uint32_t i = 0; i < 100; i++) {
		CHECK_EQ(peer_put(&peer, persistent, i, page_value(i % PAGE_FILLS, 1 + i)),
			 TMEM_DONE);
		CHECK_EQ(peer_put(&peer, ephemeral, i, page_value(i % PAGE_FILLS, 1000 + i)),
			 TMEM_DONE);
	}
	for (int round = 0; round < 2; round++)
		for (uint32_t i = 0; i < 100; i++) {
			CHECK_EQ(peer_get(&peer, persistent, i), page_value(i % PAGE_FILLS, 1 + i));
			/* a hit takes an ephemeral page out (D) */
			CHECK_EQ(peer_get(&peer, ephemeral, i),
				 round == 0 ? page_value(i % PAGE_FILLS, 1000 + i) : 0);
		}
	peer_close(&peer);
	stop_server();
}

static void a_session_is_resumed(void)
{
	struct tmem_session_info info;
	struct peer peer;
	uint32_t pool;

	start_server();
	peer_open(&peer, server, "resumes", 1);
	peer_begin(&peer);
	pool = peer_new_pool(&peer, TMEM_POOL_PERSISTENT, NULL);
	CHECK_EQ(peer_put(&peer, pool, 1, page_value(PAGE_RAW, 1)), TMEM_DONE);
	peer_close(&peer);
	peer_reopen(&peer, server, "resumes");
	CHECK_EQ(peer_hello(&peer, peer.session), 1);
	CHECK_EQ(peer.offer_tag, peer.tag);
	CHECK_EQ(peer_start(&peer), TMEM_DONE);
	CHECK_EQ(peer_get(&peer, pool, 1), page_value(PAGE_RAW, 1));
	/* ... and across a restart of the service */
	stop_server();
	peer_close(&peer);
	start_server();
	CHECK_EQ(state_of("resumes"), TMEM_SESSION_AWAITED);
	peer_reopen(&peer, server, "resumes");
	CHECK_EQ(peer_hello(&peer, peer.session), 1);
	CHECK_EQ(peer_start(&peer), TMEM_DONE);
	CHECK_EQ(peer_get(&peer, pool, 1), page_value(PAGE_RAW, 1));
	CHECK_EQ(tmem_server_session(server, "resumes", &info), 0);
	CHECK_EQ(info.state, TMEM_SESSION_ACTIVE);
	CHECK_EQ(info.epoch, 1);
	CHECK_EQ(info.tag, peer.tag);
	peer_close(&peer);
	stop_server();
}

int main(int argc, char **argv)
{
	static const struct test tests[] = {
		{"pages_come_back", pages_come_back},
		{"a_session_is_resumed", a_session_is_resumed},
	};

	return RUN_TESTS(tests, argc, argv);
}
