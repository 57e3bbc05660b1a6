/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "connection.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "map.h"
#include "request.h"

#define IMPLEMENTATION "kvm-tmem"

void tmem_connection_init(struct tmem_connection *connection, struct tmem_session *session)
{
	memset(connection, 0, sizeof(*connection));
	connection->session = session;
	tmem_decoder_init(&connection->decoder, 0);
}

void tmem_connection_deinit(struct tmem_connection *connection)
{
	if (connection->session->active == connection)
		tmem_session_detach(connection->session);
	free(connection->rest);
	free(connection->unsent);
}

bool tmem_connection_keep_unsent(struct tmem_connection *connection, const void *data, size_t bytes)
{
	size_t kept = connection->unsent_bytes - connection->unsent_at;
	uint8_t *unsent = malloc(kept + bytes);

	if (unsent == NULL)
		return false;
	if (kept != 0)
		memcpy(unsent, connection->unsent + connection->unsent_at, kept);
	memcpy(unsent + kept, data, bytes);
	free(connection->unsent);
	connection->unsent = unsent;
	connection->unsent_at = 0;
	connection->unsent_bytes = (uint32_t)(kept + bytes);
	return true;
}

void tmem_connection_bye(struct tmem_connection *connection, int reason)
{
	struct tmem_session *session = connection->session;
	struct tmem_message bye = {
		.version = TMEM_WIRE_VERSION,
		.op = TMEM_OP_BYE,
		.flags = TMEM_WIRE_REPLY,
		.status = (int16_t)reason,
		.tag = session->progress.tag,
		.session = connection->decoder.session,
	};
	uint8_t message[TMEM_WIRE_HEADER_BYTES];

	if (connection->turn != NULL) {
		tmem_reply_left_out(connection);
		connection->turn->out_bytes +=
			tmem_wire_encode(&bye, connection->decoder.key,
					 connection->turn->out + connection->turn->out_bytes);
	} else {
		(void)tmem_wire_encode(&bye, connection->decoder.key, message);
		/* without memory for it, the guest finds out by its next request */
		session->has_unsent_bye =
			tmem_connection_keep_unsent(connection, message, sizeof(message));
	}
	tmem_decoder_search(&connection->decoder);
}

/* ---- HELLO and START -------------------------------------------------------------------- */

struct hello_fields {
	struct tmem_hello hello;
	uint64_t version_min;
	uint64_t version_max;
	uint64_t page_bytes;
	bool has_boot_id;
};

/* What people read; a guest's control characters are not for their terminals. */
static void take_implementation(char *to, const struct tmem_map_value *value)
{
	uint32_t bytes = value->bytes < TMEM_IMPLEMENTATION_BYTES - 1
				 ? value->bytes
				 : TMEM_IMPLEMENTATION_BYTES - 1;

	for (uint32_t i = 0; i < bytes; i++) {
		char c = ((const char *)value->data)[i];

		to[i] = c >= ' ' && c <= '~' ? c : '?';
	}
}

static bool take_field(struct hello_fields *fields, const char *key,
		       const struct tmem_map_value *value)
{
	const struct {
		const char *key;
		uint64_t *number;
	} numbers[] = {
		{"version_min", &fields->version_min}, {"version_max", &fields->version_max},
		{"page_bytes", &fields->page_bytes},   {"session", &fields->hello.session},
		{"token", &fields->hello.token},
	};

	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		if (strcmp(key, numbers[i].key) == 0) {
			*numbers[i].number = value->number;
			return value->kind == TMEM_MAP_UINT;
		}
	if (strcmp(key, "boot_id") == 0) {
		fields->has_boot_id =
			value->kind == TMEM_MAP_BYTES && value->bytes == TMEM_BOOT_ID_BYTES;
		if (fields->has_boot_id)
			memcpy(fields->hello.boot_id, value->data, TMEM_BOOT_ID_BYTES);
		return fields->has_boot_id;
	}
	if (strcmp(key, "implementation") == 0) {
		if (value->kind != TMEM_MAP_TEXT)
			return false;
		take_implementation(fields->hello.implementation, value);
	}
	return true;
}

/* Reads HELLO's map: NULL, or what is wrong with it. */
static const char *read_hello(const struct tmem_message *message, const void *untrusted_payload,
			      struct hello_fields *ret)
{
	char key[TMEM_MAP_KEY_MAX + 1];
	struct tmem_map_reader reader;
	struct tmem_map_value value;
	int more;

	memset(ret, 0, sizeof(*ret));
	if (tmem_map_open(&reader, untrusted_payload, message->payload_bytes) != 0)
		return "its payload is no map";
	while ((more = tmem_map_next(&reader, key, &value)) > 0)
		if (!take_field(ret, key, &value))
			return "a field has the wrong type";
	if (more < 0)
		return "its map is damaged";
	if (!ret->has_boot_id)
		return "it has no boot_id of 16 bytes";
	return NULL;
}

static void report_bad(struct tmem_connection *connection, int code, const char *what,
		       const char *wrong)
{
	struct tmem_session *session = connection->session;

	tmem_events_post(&session->server->events, &session->rate, TMEM_EVENT_BAD_INPUT, code,
			 session->name, "at byte %llu of the connection, %s: %s",
			 (unsigned long long)connection->served_bytes + connection->turn->used,
			 what, wrong);
}

static uint32_t write_hello_reply(const struct tmem_server *server, const struct tmem_offer *offer,
				  uint8_t *to)
{
	struct tmem_map_writer writer;

	tmem_map_begin(&writer, to, TMEM_WIRE_PAYLOAD_MAX);
	tmem_map_int(&writer, "verdict", offer->verdict);
	tmem_map_uint(&writer, "version_min", TMEM_WIRE_VERSION);
	tmem_map_uint(&writer, "version_max", TMEM_WIRE_VERSION);
	tmem_map_uint(&writer, "version", TMEM_WIRE_VERSION);
	tmem_map_text(&writer, "implementation", IMPLEMENTATION);
	if (offer->verdict > 0) {
		tmem_map_uint(&writer, "session", offer->session);
		tmem_map_uint(&writer, "key", offer->key);
		tmem_map_uint(&writer, "epoch", offer->epoch);
		tmem_map_uint(&writer, "tag", offer->tag);
		tmem_map_uint(&writer, "lease_ms", server->times.lease_ns / 1000000);
		tmem_map_uint(&writer, "expel_ms", server->times.expel_ns / 1000000);
		tmem_map_uint(&writer, "giveup_ms", server->times.giveup_ns / 1000000);
		tmem_map_bool(&writer, "rejoin", offer->rejoin);
		tmem_map_bool(&writer, "pools_kept", offer->pools_kept);
	}
	return (uint32_t)tmem_map_end(&writer);
}

static void serve_hello(struct tmem_connection *connection, const struct tmem_message *message,
			const void *untrusted_payload)
{
	struct tmem_session *session = connection->session;
	struct tmem_offer *offer = &connection->offer;
	struct hello_fields fields;
	struct tmem_message reply = {.status = TMEM_DONE};
	const char *wrong = read_hello(message, untrusted_payload, &fields);

	memset(offer, 0, sizeof(*offer));
	if (wrong != NULL) {
		offer->verdict = TMEM_EPROTO;
		tmem_add(&session->counters.refused_messages, 1);
		report_bad(connection, TMEM_EPROTO, "HELLO", wrong);
	} else if (fields.version_min > TMEM_WIRE_VERSION ||
		   fields.version_max < TMEM_WIRE_VERSION) {
		offer->verdict = TMEM_EPROTO;
	} else if (fields.page_bytes != TMEM_PAGE_BYTES) {
		offer->verdict = TMEM_EOPNOTSUPP;
	} else {
		tmem_session_offer(session, &fields.hello, offer);
	}
	if (offer->verdict < 0)
		reply.status = (int16_t)offer->verdict;
	tmem_decoder_offer(&connection->decoder, offer->session, offer->key);
	connection->turn->over = true;
	tmem_reply_left_out(connection);
	tmem_reply(connection, message, 0, &reply,
		   write_hello_reply(session->server, offer, tmem_reply_payload(connection->turn)));
}

static void serve_start(struct tmem_connection *connection, const struct tmem_message *message)
{
	struct tmem_session *session = connection->session;
	struct tmem_offer *offer = &connection->offer;
	struct tmem_message reply = {.status = TMEM_EILSEQ};
	uint64_t key = connection->decoder.offered_key;

	tmem_reply_left_out(connection);
	reply.status = (int16_t)tmem_session_start(session, offer, connection, message->tag,
						   message->index);
	if (reply.status == TMEM_DONE) {
		tmem_decoder_begin(&connection->decoder, offer->session, offer->key);
		reply.flags = TMEM_WIRE_TOKEN;
		reply.oid.words[2] = tmem_session_token(session, tmem_now_ns());
		if (tmem_tracing(session))
			tmem_trace_begins(session, offer);
	} else {
		tmem_decoder_offer(&connection->decoder, 0, 0);
	}
	tmem_reply(connection, message, key, &reply, 0);
	connection->turn->over = true;
}

/* ---- the stream ------------------------------------------------------------------------- */

/* Bad input ends what the connection has of a session; over a new one it can be resumed. */
static void refuse(struct tmem_connection *connection, int code, const char *what,
		   const char *wrong)
{
	struct tmem_session *session = connection->session;

	report_bad(connection, code, what, wrong);
	tmem_connection_bye(connection, code);
	if (session->active == connection)
		tmem_session_detach(session);
}

static void serve_message(struct tmem_connection *connection, const struct tmem_message *message,
			  const void *untrusted_payload)
{
	struct tmem_session *session = connection->session;
	const char *wrong = NULL;
	char what[64];

	if (message->op == TMEM_OP_HELLO) {
		serve_hello(connection, message, untrusted_payload);
		return;
	}
	if (message->op == TMEM_OP_START && message->session == connection->decoder.offered) {
		if (message->payload_bytes == 0 && message->flags == 0) {
			serve_start(connection, message);
			return;
		}
		wrong = "START has flags or a payload";
	} else if (message->tag != session->progress.tag + 1) {
		wrong = "its tag is not the next one";
	} else {
		wrong = tmem_request_serve(connection, message, untrusted_payload);
		if (wrong == NULL && tmem_tracing(session))
			tmem_trace_request(session, message, untrusted_payload,
					   &connection->turn->served);
	}
	if (wrong == NULL)
		return;
	tmem_add(&session->counters.refused_messages, 1);
	snprintf(what, sizeof(what), "op %u with tag %u", message->op, message->tag);
	refuse(connection, TMEM_EPROTO, what, wrong);
}

static bool has_room(const struct tmem_turn *turn)
{
	return !turn->over && turn->requests < TMEM_SERVER_TURN_REQUESTS &&
	       turn->out_bytes + 2 * TMEM_WIRE_HEADER_BYTES + TMEM_WIRE_MESSAGE_MAX <=
		       TMEM_TURN_OUT_ROOM;
}

bool tmem_connection_serve(struct tmem_connection *connection, struct tmem_turn *turn)
{
	struct tmem_session *session = connection->session;
	bool begins = connection->turn == NULL;
	struct tmem_message message;
	const void *payload;
	size_t used;

	connection->turn = turn;
	if (begins && session->active == connection && session->join_count != 0)
		(void)tmem_session_lapsed(session, tmem_now_ns());
	while (turn->used < turn->in_bytes) {
		enum tmem_wire_found found;

		if (!has_room(turn))
			return true;
		if (session->active == connection)
			tmem_look_ahead(&turn->lookahead, session->client, turn->in, turn->in_bytes,
					turn->used, turn->requests);
		found = tmem_decoder_next(&connection->decoder, turn->in + turn->used,
					  turn->in_bytes - turn->used, &message, &payload, &used);
		if (found == TMEM_WIRE_DAMAGED) {
			tmem_add(&session->counters.damaged_streams, 1);
			refuse(connection, TMEM_EILSEQ, "in the stream",
			       "these bytes are no message of the session");
			continue;
		}
		turn->used += used;
		if (found == TMEM_WIRE_MORE)
			return false;
		turn->requests++;
		serve_message(connection, &message, payload);
	}
	return false;
}

void tmem_connection_end_turn(struct tmem_connection *connection)
{
	tmem_reply_left_out(connection);
	tmem_session_write_progress(connection->session);
	connection->served_bytes += connection->turn->used;
	connection->turn = NULL;
}
