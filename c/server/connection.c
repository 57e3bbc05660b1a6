/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "connection.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "handshake.h"
#include "request.h"

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

bool tmem_connection_heard(const struct tmem_connection *connection)
{
	return connection->served_bytes != 0 || connection->rest_bytes != 0;
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

void tmem_connection_report_bad(struct tmem_connection *connection, int code, const char *what,
				const char *wrong)
{
	struct tmem_session *session = connection->session;

	tmem_events_post(&session->server->events, &session->rate, TMEM_EVENT_BAD_INPUT, code,
			 session->name, "at byte %llu of the connection, %s: %s",
			 (unsigned long long)connection->served_bytes + connection->turn->used,
			 what, wrong);
}

/* ---- the stream ------------------------------------------------------------------------- */

/* Bad input ends what the connection has of a session; over a new one it can be resumed. */
static void refuse(struct tmem_connection *connection, int code, const char *what,
		   const char *wrong)
{
	struct tmem_session *session = connection->session;

	tmem_connection_report_bad(connection, code, what, wrong);
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
		tmem_handshake_hello(connection, message, untrusted_payload);
		return;
	}
	if (message->op == TMEM_OP_START && message->session == connection->decoder.offered) {
		if (message->payload_bytes == 0 && message->flags == 0) {
			tmem_handshake_start(connection, message);
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
