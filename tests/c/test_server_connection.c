/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A connection of the server without sockets, workers or timers: what one turn does. */
#include <string.h>

#include "check.h"
#include "connection.h"
#include "page.h"
#include "scratch.h"
#include "setup.h"

enum { ARENA_BYTES = 8 << 20, LEASE_MS = 1000, BATCH = 100 };

static struct tmem_engine *engine;
static struct tmem_server *server;
static struct tmem_session *session;
static struct tmem_connection connection;
static uint8_t in[BATCH * TMEM_WIRE_MESSAGE_MAX];
static uint8_t out[TMEM_TURN_OUT_ROOM];

/* A session, begun, over the one connection. */
static void begin(void)
{
	const struct tmem_server_options options = {.lease_ms = LEASE_MS};
	const struct tmem_hello hello = {.boot_id = {1}};
	char path[SCRATCH_PATH_BYTES];
	struct tmem_offer offer;
	struct tmem_error error;

	engine = setup_engine("arena", ARENA_BYTES);
	CHECK_EQ(tmem_engine_set_shared_auth_all(engine, 1), 0);
	scratch_path(path, "state");
	if (tmem_server_make(engine, path, &options, false, &server, &error) != 0)
		check_failed(__FILE__, __LINE__, "%s", error.message);
	CHECK_EQ(tmem_session_make(server, "guest", &session, &error), 0);
	tmem_connection_init(&connection, session);
	tmem_session_offer(session, &hello, &offer);
	CHECK_EQ(offer.verdict, TMEM_VERDICT_NEW_EPOCH);
	CHECK_EQ(tmem_session_start(session, &offer, &connection, 0, 0), TMEM_DONE);
	tmem_decoder_begin(&connection.decoder, offer.session, offer.key);
}

static void end(void)
{
	tmem_connection_deinit(&connection);
	tmem_server_free(server);
	tmem_engine_close(engine);
}

/* Puts one request behind the @bytes at in; returns how many there are then. */
static size_t add(size_t bytes, uint8_t op, uint32_t tag, uint32_t pool, uint64_t index)
{
	struct tmem_message message = {
		.version = TMEM_WIRE_VERSION,
		.op = op,
		.tag = tag,
		.session = connection.decoder.session,
		.pool = pool,
		.index = index,
		.oid = setup_oid,
		.payload_bytes = op == TMEM_OP_PUT_PAGE ? TMEM_PAGE_BYTES : 0,
	};

	if (op == TMEM_OP_PUT_PAGE)
		page_make(in + bytes + TMEM_WIRE_HEADER_BYTES, page_value(PAGE_RAW, 1 + index));
	return bytes + tmem_wire_encode(&message, connection.decoder.key, in + bytes);
}

static struct tmem_turn serve(size_t from, size_t bytes)
{
	struct tmem_turn turn = {.in = in + from, .in_bytes = bytes - from, .out = out};

	(void)tmem_connection_serve(&connection, &turn);
	tmem_connection_end_turn(&connection);
	return turn;
}

/* The first reply of the turn, under @key. */
static struct tmem_message first_reply(const struct tmem_turn *turn, uint32_t number, uint64_t key)
{
	struct tmem_decoder decoder;
	struct tmem_message reply;
	const void *payload;
	size_t used;

	tmem_decoder_init(&decoder, 1);
	tmem_decoder_begin(&decoder, number, key);
	CHECK_EQ(tmem_decoder_next(&decoder, out, turn->out_bytes, &reply, &payload, &used),
		 TMEM_WIRE_FOUND);
	return reply;
}

static uint32_t shared_pool(void)
{
	const uint8_t uuid[TMEM_UUID_BYTES] = {7};
	uint32_t pool = setup_pool_of(session->client, TMEM_POOL_SHARED, uuid);

	tmem_session_start_clock(session);
	CHECK_EQ(tmem_session_join(session, pool), 0);
	return pool;
}

/* Whatever it is that is heard first after a lapse, it is not taken any more (R-a). No timer is
 * there that could have noticed. */
static void a_lapse_is_noticed_when_the_guest_is_heard(void)
{
	static const uint8_t ops[] = {TMEM_OP_PUT_PAGE, TMEM_OP_GET_PAGE, TMEM_OP_FLUSH_PAGE,
				      TMEM_OP_ECHO, TMEM_OP_DESTROY_POOL};

	for (size_t i = 0; i < sizeof(ops); i++) {
		struct tmem_message reply;
		struct tmem_turn turn;
		uint32_t number, pool;
		uint64_t key;

		begin();
		pool = shared_pool();
		number = connection.decoder.session;
		key = connection.decoder.key;
		session->progress.echo_ns -= server->times.expel_ns;
		turn = serve(0, add(0, ops[i], 1, pool, 1));
		reply = first_reply(&turn, number, key);
		CHECK_EQ(reply.op, TMEM_OP_BYE);
		CHECK_EQ(reply.status, TMEM_ETIMEDOUT);
		CHECK_EQ(reply.tag, 0);
		CHECK(session->durable.flags & TMEM_STATE_EXPELLED);
		CHECK_EQ(session->durable.flags & TMEM_STATE_RESUMABLE, 0);
		CHECK_EQ(tmem_pool_next(session->client, -1), TMEM_ENOENT);
		end();
	}
}

static void a_turn_has_its_bounds(void)
{
	uint32_t pool, tag = 0;
	size_t bytes = 0, used = 0;
	int turns = 0;

	begin();
	pool = setup_pool(session->client, TMEM_POOL_PERSISTENT);
	for (int i = 0; i < BATCH; i++)
		bytes = add(bytes, TMEM_OP_PUT_PAGE, ++tag, pool, (uint64_t)i);
	for (; used < bytes; turns++) {
		struct tmem_turn turn = serve(used, bytes);

		CHECK(turn.requests > 0 && turn.requests <= TMEM_SERVER_TURN_REQUESTS);
		/* one reply for all of them, and the tag is durable before it is sent */
		CHECK_EQ(turn.out_bytes, TMEM_WIRE_HEADER_BYTES);
		CHECK(!session->progress_changed);
		used += turn.used;
	}
	CHECK_EQ(turns, (BATCH + TMEM_SERVER_TURN_REQUESTS - 1) / TMEM_SERVER_TURN_REQUESTS);
	/* as many pages as there are requests in a turn have room */
	bytes = used = 0;
	for (int i = 0; i < BATCH; i++)
		bytes = add(bytes, TMEM_OP_GET_PAGE, ++tag, pool, (uint64_t)i);
	for (turns = 0; used < bytes; turns++) {
		struct tmem_turn turn = serve(used, bytes);

		CHECK_EQ(turn.out_bytes, turn.requests * (size_t)TMEM_WIRE_MESSAGE_MAX);
		used += turn.used;
	}
	CHECK_EQ(turns, (BATCH + TMEM_SERVER_TURN_REQUESTS - 1) / TMEM_SERVER_TURN_REQUESTS);
	CHECK_EQ(session->progress.tag, tag);
	end();
}

static void what_may_take_long_is_the_last_of_its_turn(void)
{
	static const uint8_t ops[] = {TMEM_OP_STAT, TMEM_OP_POOLS, TMEM_OP_FLUSH_POOL,
				      TMEM_OP_DESTROY_POOL};
	uint32_t pool, tag = 0;

	begin();
	pool = setup_pool(session->client, TMEM_POOL_PERSISTENT);
	for (size_t i = 0; i < sizeof(ops); i++) {
		size_t bytes = add(0, TMEM_OP_FLUSH_PAGE, tag + 1, pool, 1);
		struct tmem_turn turn;

		bytes = add(bytes, ops[i], tag + 2, pool, UINT64_MAX);
		bytes = add(bytes, TMEM_OP_FLUSH_PAGE, tag + 3, pool, 1);
		turn = serve(0, bytes);
		CHECK_EQ(turn.requests, 2);
		turn = serve(turn.used, bytes);
		CHECK_EQ(turn.requests, 1);
		tag += 3;
	}
	end();
}

int main(int argc, char **argv)
{
	static const struct test tests[] = {
		{"a_lapse_is_noticed_when_the_guest_is_heard",
		 a_lapse_is_noticed_when_the_guest_is_heard},
		{"a_turn_has_its_bounds", a_turn_has_its_bounds},
		{"what_may_take_long_is_the_last_of_its_turn",
		 what_may_take_long_is_the_last_of_its_turn},
	};

	return RUN_TESTS(tests, argc, argv);
}
