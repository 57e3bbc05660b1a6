/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Looking ahead in a turn: the next few requests are told to the engine, each once, wherever the
 * bytes end and whatever is in them.
 */
#include <string.h>

#include "check.h"
#include "lookahead.h"
#include "setup.h"

enum { MESSAGES = 40, AHEAD = 7, KEY = 99 };

static struct tmem_engine *engine;
static struct tmem_client *client;
static uint32_t pool;
static uint8_t stream[MESSAGES * TMEM_WIRE_MESSAGE_MAX];
static size_t ends[MESSAGES + 1]; /* where message i - 1 ends */

static void start(const char *name)
{
	engine = setup_engine(name, 64 << 20);
	client = setup_client(engine, "guest", TMEM_ENCODING_LZ4);
	pool = setup_pool(client, 0);
}

static void stop(void)
{
	tmem_client_release(client);
	tmem_engine_close(engine);
}

/* Gets, puts and what is not of one page, in turns. */
static void write_stream(void)
{
	static const uint8_t ops[] = {TMEM_OP_GET_PAGE, TMEM_OP_PUT_PAGE, TMEM_OP_STAT,
				      TMEM_OP_FLUSH_PAGE};

	for (uint32_t i = 0; i < MESSAGES; i++) {
		struct tmem_message message = {
			.version = TMEM_WIRE_VERSION,
			.op = ops[i % 4],
			.tag = i + 1,
			.pool = pool,
			.index = 100 + i,
			.oid = setup_oid,
			.payload_bytes = ops[i % 4] == TMEM_OP_PUT_PAGE ? TMEM_PAGE_BYTES : 0,
		};

		memset(stream + ends[i] + TMEM_WIRE_HEADER_BYTES, 'T', message.payload_bytes);
		ends[i + 1] = ends[i] + tmem_wire_encode(&message, KEY, stream + ends[i]);
	}
}

static const struct tmem_hint *hint(const struct tmem_lookahead *lookahead, uint32_t number)
{
	return &lookahead->hints[number % TMEM_LOOKAHEAD_HINTS];
}

static void the_next_requests_are_seen(void)
{
	struct tmem_lookahead lookahead = {.at = 0};

	start("seen");
	write_stream();
	for (uint32_t served = 0; served < MESSAGES; served++) {
		uint32_t last = served + AHEAD < MESSAGES ? served + AHEAD : MESSAGES;

		tmem_look_ahead(&lookahead, client, stream, ends[MESSAGES], ends[served], served);
		CHECK_EQ(lookahead.seen, last);
		CHECK_EQ(lookahead.at, ends[last]);
		for (uint32_t i = served; i < last; i++) {
			CHECK_EQ(hint(&lookahead, i)->index, 100 + i);
			CHECK_EQ(hint(&lookahead, i)->pool, pool);
			CHECK_EQ(hint(&lookahead, i)->get, i % 4 == 0);
			if (i % 4 == 2) /* STAT names no page */
				CHECK(hint(&lookahead, i)->over);
		}
		/* the page is not there, which its third step at the latest has found */
		CHECK(hint(&lookahead, served)->over || served < 4);
	}
	stop();
}

static void a_header_that_is_cut_is_left_for_later(void)
{
	struct tmem_lookahead lookahead = {.at = 0};

	start("cut");
	write_stream();
	tmem_look_ahead(&lookahead, client, stream, TMEM_WIRE_HEADER_BYTES - 1, 0, 0);
	CHECK_EQ(lookahead.seen, 0);
	/* of a put, the header is enough */
	tmem_look_ahead(&lookahead, client, stream, ends[1] + TMEM_WIRE_HEADER_BYTES, 0, 0);
	CHECK_EQ(lookahead.seen, 2);
	CHECK_EQ(lookahead.at, ends[2]);
	tmem_look_ahead(&lookahead, client, stream, ends[MESSAGES], 0, 0);
	CHECK_EQ(lookahead.seen, AHEAD);
	stop();
}

static void what_is_no_message_ends_it(void)
{
	struct tmem_lookahead lookahead = {.at = 0};

	start("noise");
	write_stream();
	memset(stream + ends[3], 0xee, ends[MESSAGES] - ends[3]);
	for (uint32_t served = 0; served <= 3; served++)
		tmem_look_ahead(&lookahead, client, stream, ends[MESSAGES], ends[served], served);
	CHECK_EQ(lookahead.seen, 3);
	CHECK_EQ(lookahead.at, ends[3]);
	stop();
}

/* A turn that went on elsewhere: HELLO, or a search for the next beginning. */
static void a_wrong_guess_is_given_up(void)
{
	struct tmem_lookahead lookahead = {.at = 0};

	start("wrong");
	write_stream();
	tmem_look_ahead(&lookahead, client, stream, ends[MESSAGES], 0, 0);
	CHECK_EQ(lookahead.at, ends[AHEAD]);
	tmem_look_ahead(&lookahead, client, stream, ends[MESSAGES], ends[20], 3);
	CHECK_EQ(lookahead.seen, 3 + AHEAD);
	CHECK_EQ(lookahead.at, ends[20 + AHEAD]);
	CHECK_EQ(hint(&lookahead, 3)->index, 120);
	stop();
}

int main(int argc, char **argv)
{
	static const struct test tests[] = {
		{"the_next_requests_are_seen", the_next_requests_are_seen},
		{"a_header_that_is_cut_is_left_for_later", a_header_that_is_cut_is_left_for_later},
		{"what_is_no_message_ends_it", what_is_no_message_ends_it},
		{"a_wrong_guess_is_given_up", a_wrong_guess_is_given_up},
	};

	return RUN_TESTS(tests, argc, argv);
}
