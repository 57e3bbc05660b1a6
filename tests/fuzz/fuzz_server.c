/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The decoder with the server's session state machine and the engine behind it, without sockets:
 * two clients with two connections each, fed with bytes that the fuzzer chooses, in pieces that it
 * chooses, and now and then with what a right guest would send next, so that it gets past the
 * checks. A kill and a restart of the service are steps, too.
 *
 * Checked: nothing is read or written where it must not be (sanitizers), every turn keeps to its
 * bounds, what is sent is whole messages of the host, and a page is one that somebody put.
 *
 * For hours, on one core, keeping what is found between runs:
 *   make -C c VARIANT=fuzz && mkdir -p corpus &&
 *   build/fuzz/fuzz_server -max_len=4096 -timeout=10 corpus
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "connection.h"
#include "map.h"
#include "page.h"
#include "scratch.h"
#include "setup.h"

enum { CLIENTS = 2, CONNECTIONS = 4, PIECE_MAX = 3 * TMEM_WIRE_MESSAGE_MAX };

struct guest {
	struct tmem_connection connection;
	uint8_t rest[PIECE_MAX + TMEM_WIRE_MESSAGE_MAX]; /* not yet served */
	size_t rest_bytes;
	uint64_t key;
	uint32_t session;
	uint32_t tag;
	uint64_t token;
};

static char arena_path[SCRATCH_PATH_BYTES];
static char state_path[SCRATCH_PATH_BYTES];
static struct tmem_engine *engine;
static struct tmem_server *server;
static struct guest guests[CONNECTIONS];

struct input {
	const uint8_t *data;
	size_t bytes;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static uint8_t next(struct input *input)
{
	if (input->bytes == 0)
		return 0;
	input->bytes--;
	return *input->data++;
}

/* ---- the service ------------------------------------------------------------------------ */

static void start_service(void)
{
	const struct tmem_server_options options = {.lease_ms = 1000};
	struct tmem_session *session;
	struct tmem_error error;

	engine = setup_open(arena_path, 1 << 20, 1 << 20);
	CHECK_EQ(tmem_engine_set_shared_auth_all(engine, 1), 0);
	if (tmem_server_make(engine, state_path, &options, false, &server, &error) != 0)
		check_failed(__FILE__, __LINE__, "%s", error.message);
	for (int i = 0; i < CONNECTIONS; i++) {
		CHECK_EQ(tmem_session_make(server, i % CLIENTS == 0 ? "one" : "two", &session,
					   &error),
			 0);
		tmem_connection_init(&guests[i].connection, session);
		guests[i].rest_bytes = 0;
	}
}

static void stop_service(void)
{
	for (int i = 0; i < CONNECTIONS; i++)
		tmem_connection_deinit(&guests[i].connection);
	tmem_server_free(server);
	tmem_engine_close(engine);
}

static void reconnect(struct guest *guest)
{
	struct tmem_session *session = guest->connection.session;

	tmem_connection_deinit(&guest->connection);
	tmem_connection_init(&guest->connection, session);
	guest->rest_bytes = 0;
}

/* ---- what comes back -------------------------------------------------------------------- */

static void learn_offer(struct guest *guest, const void *payload, size_t bytes)
{
	char key[TMEM_MAP_KEY_MAX + 1];
	struct tmem_map_reader reader;
	struct tmem_map_value value;

	CHECK_EQ(tmem_map_open(&reader, payload, bytes), 0);
	guest->session = 0;
	while (tmem_map_next(&reader, key, &value) > 0) {
		if (strcmp(key, "session") == 0)
			guest->session = (uint32_t)value.number;
		else if (strcmp(key, "key") == 0)
			guest->key = value.number;
		else if (strcmp(key, "tag") == 0)
			guest->tag = (uint32_t)value.number;
	}
}

/* The reply at @data, which must be one under one of the keys that the guest knows. */
static size_t read_reply(const struct guest *guest, uint64_t key_before, const uint8_t *data,
			 size_t bytes, struct tmem_message *reply, const void **payload)
{
	const uint64_t keys[] = {key_before, guest->key, guest->connection.decoder.key, 0};

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		struct tmem_decoder decoder;
		size_t used;

		tmem_decoder_init(&decoder, 1);
		memcpy(&decoder.session, data + 20, sizeof(decoder.session));
		tmem_decoder_begin(&decoder, decoder.session, keys[i]);
		if (tmem_decoder_next(&decoder, data, bytes, reply, payload, &used) ==
		    TMEM_WIRE_FOUND)
			return used;
	}
	check_failed(__FILE__, __LINE__, "what was sent is no message");
}

static void check_replies(struct guest *guest, uint64_t key_before, const uint8_t *out,
			  size_t bytes)
{
	size_t at = 0;

	while (at < bytes) {
		struct tmem_message reply;
		const void *payload;

		CHECK(bytes - at >= TMEM_WIRE_HEADER_BYTES);
		at += read_reply(guest, key_before, out + at, bytes - at, &reply, &payload);
		if (reply.op == TMEM_OP_HELLO)
			learn_offer(guest, payload, reply.payload_bytes);
		if (reply.flags & TMEM_WIRE_TOKEN)
			guest->token = reply.oid.words[2];
		if (reply.op == TMEM_OP_GET_PAGE && payload != NULL)
			CHECK(page_read(payload) != 0);
	}
}

/* ---- what goes in ----------------------------------------------------------------------- */

static void feed(struct guest *guest, const void *data, size_t bytes)
{
	static uint8_t out[TMEM_TURN_OUT_ROOM];
	bool more = true;

	if (guest->rest_bytes + bytes > sizeof(guest->rest)) {
		reconnect(guest);
		return;
	}
	memcpy(guest->rest + guest->rest_bytes, data, bytes);
	guest->rest_bytes += bytes;
	while (more) {
		/* of its own size, so that a read beyond it is seen */
		uint8_t *in = malloc(guest->rest_bytes + 1);
		struct tmem_turn turn = {.in = in, .in_bytes = guest->rest_bytes, .out = out};
		uint64_t key = guest->connection.decoder.key;

		CHECK(in != NULL);
		memcpy(in, guest->rest, guest->rest_bytes);
		more = tmem_connection_serve(&guest->connection, &turn);
		tmem_connection_end_turn(&guest->connection);
		CHECK(turn.requests <= TMEM_SERVER_TURN_REQUESTS);
		CHECK(turn.out_bytes <= TMEM_TURN_OUT_ROOM);
		CHECK(turn.used <= turn.in_bytes);
		CHECK(!more || turn.used > 0);
		check_replies(guest, key, out, turn.out_bytes);
		guest->rest_bytes -= turn.used;
		memcpy(guest->rest, in + turn.used, guest->rest_bytes);
		free(in);
	}
	free(guest->connection.unsent);
	guest->connection.unsent = NULL;
	guest->connection.unsent_bytes = 0;
}

static void feed_message(struct guest *guest, struct tmem_message *message, uint64_t key,
			 const void *payload, struct input *input)
{
	uint8_t whole[TMEM_WIRE_MESSAGE_MAX];
	size_t bytes;

	message->version = TMEM_WIRE_VERSION;
	if (message->payload_bytes != 0)
		memcpy(whole + TMEM_WIRE_HEADER_BYTES, payload, message->payload_bytes);
	bytes = tmem_wire_encode(message, key, whole);
	/* Now and then in two pieces. */
	if (next(input) % 4 == 0) {
		size_t cut = next(input) * 17u % bytes;

		feed(guest, whole, cut);
		feed(guest, whole + cut, bytes - cut);
	} else {
		feed(guest, whole, bytes);
	}
}

static void hello(struct guest *guest, struct input *input)
{
	uint8_t map[TMEM_WIRE_PAYLOAD_MAX];
	struct tmem_message message = {.op = TMEM_OP_HELLO, .tag = 1};
	uint8_t boot_id[16] = {next(input) % 2};
	struct tmem_map_writer writer;

	tmem_map_begin(&writer, map, sizeof(map));
	tmem_map_uint(&writer, "version_min", 1);
	tmem_map_uint(&writer, "version_max", 1 + next(input) % 2);
	tmem_map_uint(&writer, "page_bytes", TMEM_PAGE_BYTES);
	tmem_map_bytes(&writer, "boot_id", boot_id, sizeof(boot_id));
	tmem_map_uint(&writer, "session", next(input) % 2 != 0 ? guest->session : next(input));
	tmem_map_uint(&writer, "token", guest->token);
	message.payload_bytes = (uint16_t)tmem_map_end(&writer);
	feed_message(guest, &message, 0, map, input);
}

static void start(struct guest *guest, struct input *input)
{
	const struct tmem_session *session = guest->connection.session;
	struct tmem_message message = {
		.op = TMEM_OP_START,
		.session = guest->session,
		.tag = guest->tag,
		.index = next(input) % 8 != 0 && guest->tag != 0 ? session->progress.chain : 0,
	};

	feed_message(guest, &message, guest->key, NULL, input);
}

static void request(struct guest *guest, uint8_t op, struct input *input)
{
	const struct tmem_session *session = guest->connection.session;
	uint8_t choice = next(input);
	uint8_t page[TMEM_PAGE_BYTES];
	struct tmem_message message = {
		.op = op,
		.tag = session->progress.tag + (choice % 32 != 31),
		.session = guest->connection.decoder.session,
		.pool = next(input) % 8,
		.index = next(input) % 40,
		.oid = setup_oid,
	};
	/* ids of real pools, mostly */
	int64_t pool = tmem_pool_next(session->client, (int64_t)message.pool * 16384);

	if (pool >= 0 && choice % 16 != 0)
		message.pool = (uint32_t)pool;
	switch (op) {
	case TMEM_OP_NEW_POOL:
		message.index = TMEM_ABI_VERSION << TMEM_POOL_VERSION_SHIFT | choice % 4;
		message.flags = choice & 64 ? TMEM_WIRE_NEW_MOUNT : 0;
		message.payload_bytes = choice & 2 ? TMEM_UUID_BYTES : 0;
		break;
	case TMEM_OP_PUT_PAGE:
		message.payload_bytes = TMEM_PAGE_BYTES;
		break;
	case TMEM_OP_GET_PAGE:
		message.status = choice % 40;
		message.flags = choice & 64 ? TMEM_WIRE_PRESENCE : 0;
		break;
	case TMEM_OP_FLUSH_RANGE:
		message.status = choice * 100;
		break;
	case TMEM_OP_ECHO:
		message.index = guest->token;
		break;
	default:
		break;
	}
	page_make(page, page_value(choice % PAGE_FILLS, 1 + choice));
	feed_message(guest, &message, guest->connection.decoder.key, page, input);
}

static void raw_bytes(struct guest *guest, struct input *input)
{
	size_t bytes = next(input) * 16u;

	if (bytes > input->bytes)
		bytes = input->bytes;
	feed(guest, input->data, bytes);
	input->data += bytes;
	input->bytes -= bytes;
}

static void step(struct input *input)
{
	static const uint8_t ops[] = {
		TMEM_OP_NEW_POOL,     TMEM_OP_DESTROY_POOL, TMEM_OP_PUT_PAGE,   TMEM_OP_PUT_PAGE,
		TMEM_OP_PUT_PAGE,     TMEM_OP_GET_PAGE,     TMEM_OP_GET_PAGE,   TMEM_OP_FLUSH_PAGE,
		TMEM_OP_FLUSH_OBJECT, TMEM_OP_FLUSH_RANGE,  TMEM_OP_FLUSH_POOL, TMEM_OP_ECHO,
		TMEM_OP_BYE,          TMEM_OP_STAT,         TMEM_OP_POOLS,
	};
	uint8_t choice = next(input);
	struct guest *guest = &guests[choice % CONNECTIONS];

	choice /= CONNECTIONS;
	if (choice < sizeof(ops))
		request(guest, ops[choice], input);
	else if (choice < 32)
		request(guest, ops[choice % 9], input);
	else if (choice < 40)
		hello(guest, input);
	else if (choice < 50)
		start(guest, input);
	else if (choice < 52)
		request(guest, next(input), input);
	else if (choice < 56)
		raw_bytes(guest, input);
	else if (choice < 58)
		reconnect(guest);
	else if (choice == 58)
		(void)tmem_session_lapsed(guest->connection.session, UINT64_MAX - 1);
	else if (choice == 59)
		tmem_session_end(guest->connection.session, TMEM_ECONNRESET, 0);
	else if (choice == 60) {
		stop_service();
		start_service();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct input input = {.data = data, .bytes = bytes};

	scratch_memory(arena_path);
	scratch_memory(state_path);
	memset(guests, 0, sizeof(guests));
	start_service();
	while (input.bytes > 0)
		step(&input);
	stop_service();
	close(atoi(strrchr(arena_path, '/') + 1));
	close(atoi(strrchr(state_path, '/') + 1));
	return 0;
}
