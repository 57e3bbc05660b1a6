/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "request.h"

#include <string.h>

enum { LONG_RANGE_PAGES = 64 };

static void encode(struct tmem_connection *connection, uint64_t key, struct tmem_message *reply)
{
	struct tmem_turn *turn = connection->turn;

	turn->out_bytes += tmem_wire_encode(reply, key, turn->out + turn->out_bytes);
}

/* A sharer is told the newest token, once a turn if it is a new one: what it echoes is young. */
static void add_token(struct tmem_connection *connection, struct tmem_message *reply, bool always)
{
	struct tmem_session *session = connection->session;
	uint64_t before = session->token_sent;
	uint64_t token;

	if (!always && (session->join_count == 0 || connection->turn->has_token))
		return;
	connection->turn->has_token = true;
	token = tmem_session_token(session, tmem_now_ns());
	if (!always && token == before)
		return;
	reply->flags |= TMEM_WIRE_TOKEN;
	reply->oid.words[2] = token;
}

void tmem_reply_left_out(struct tmem_connection *connection)
{
	struct tmem_turn *turn = connection->turn;
	struct tmem_message reply = {
		.version = TMEM_WIRE_VERSION,
		.op = turn->done_op,
		.flags = TMEM_WIRE_REPLY | TMEM_WIRE_CUMULATIVE,
		.status = TMEM_DONE,
		.tag = turn->done_tag,
		.session = connection->decoder.session,
	};

	if (!turn->done)
		return;
	turn->done = false;
	add_token(connection, &reply, false);
	encode(connection, connection->decoder.key, &reply);
}

void tmem_reply(struct tmem_connection *connection, const struct tmem_message *request,
		uint64_t key, struct tmem_message *reply, uint32_t payload_bytes)
{
	reply->version = TMEM_WIRE_VERSION;
	reply->op = request->op;
	reply->flags |= TMEM_WIRE_REPLY;
	reply->tag = request->tag;
	reply->session = request->session;
	reply->payload_bytes = (uint16_t)payload_bytes;
	encode(connection, key, reply);
}

static void answer(struct tmem_connection *connection, const struct tmem_message *request,
		   struct tmem_message *reply, uint32_t payload_bytes)
{
	tmem_reply(connection, request, connection->decoder.key, reply, payload_bytes);
}

/* PUT and every FLUSH: the reply may be left out if it is TMEM_DONE. */
static void answer_done(struct tmem_connection *connection, const struct tmem_message *request,
			int status)
{
	struct tmem_turn *turn = connection->turn;
	struct tmem_message reply = {.status = (int16_t)status, .flags = TMEM_WIRE_CUMULATIVE};

	turn->served.status = status;
	if (status == TMEM_DONE) {
		turn->done = true;
		turn->done_op = request->op;
		turn->done_tag = request->tag;
		return;
	}
	turn->done = false;
	answer(connection, request, &reply, 0);
}

/* ---- pages ------------------------------------------------------------------------------ */

static bool room_for_page(const struct tmem_turn *turn)
{
	return turn->out_bytes + TMEM_WIRE_MESSAGE_MAX <= TMEM_TURN_OUT_BYTES;
}

/* Sends what is there of the @wanted pages behind the one asked for; returns how many. */
static uint32_t get_ahead(struct tmem_connection *connection, const struct tmem_message *request,
			  uint32_t wanted)
{
	struct tmem_client *client = connection->session->client;
	struct tmem_turn *turn = connection->turn;
	uint64_t there[TMEM_PRESENCE_WORDS];
	uint32_t sent = 0;

	if (wanted > UINT64_MAX - request->index)
		wanted = (uint32_t)(UINT64_MAX - request->index);
	if (wanted == 0 || tmem_presence(client, request->pool, &request->oid, request->index + 1,
					 wanted, there) != TMEM_DONE)
		return 0;
	for (uint32_t i = 0; i < wanted && room_for_page(turn); i++) {
		struct tmem_message reply = {
			.flags = TMEM_WIRE_AHEAD,
			.status = TMEM_DONE,
			.index = request->index + 1 + i,
		};

		if (!(there[0] >> i & 1))
			continue;
		if (tmem_get(client, request->pool, &request->oid, reply.index,
			     tmem_reply_payload(turn)) != TMEM_DONE)
			continue;
		answer(connection, request, &reply, TMEM_PAGE_BYTES);
		sent++;
	}
	tmem_add(&connection->session->counters.ahead_pages, sent);
	return sent;
}

static void get_page(struct tmem_connection *connection, const struct tmem_message *request)
{
	struct tmem_session *session = connection->session;
	struct tmem_turn *turn = connection->turn;
	struct tmem_message reply = {.index = request->index, .status = TMEM_MISS};
	uint32_t wanted = (uint32_t)request->status;
	size_t reply_at;
	bool served;
	int code;

	if (request->flags & TMEM_WIRE_PRESENCE &&
	    tmem_presence(session->client, request->pool, &request->oid,
			  request->index & ~(uint64_t)(TMEM_WIRE_PRESENCE_PAGES - 1),
			  TMEM_WIRE_PRESENCE_PAGES, reply.oid.words) == TMEM_DONE) {
		reply.flags = TMEM_WIRE_PRESENCE;
		tmem_add(&session->counters.presence_bitmaps, 1);
	}
	add_token(connection, &reply, false);
	/* The lease first, then the page (R-d). */
	served = tmem_session_served(session, request->pool);
	if (!served) {
		tmem_add(&session->counters.unserved_gets, 1);
		turn->served = (struct tmem_served){.status = TMEM_MISS};
		answer(connection, request, &reply, 0);
		return;
	}
	code = tmem_get(session->client, request->pool, &request->oid, request->index,
			tmem_reply_payload(turn));
	reply.status = (int16_t)code;
	turn->served = (struct tmem_served){.status = code};
	reply_at = turn->out_bytes;
	answer(connection, request, &reply, code == TMEM_DONE ? TMEM_PAGE_BYTES : 0);
	if (wanted == 0 || code == TMEM_ENODEV)
		return;
	reply.pool = get_ahead(connection, request, wanted);
	turn->served.pool = reply.pool;
	if (reply.pool != 0)
		(void)tmem_wire_encode(&reply, connection->decoder.key, turn->out + reply_at);
}

/* ---- all of them ------------------------------------------------------------------------ */

static const char *check_form(const struct tmem_message *request)
{
	uint16_t flags = 0;
	uint32_t payload_bytes = 0;
	int16_t most = 0;

	switch (request->op) {
	case TMEM_OP_NEW_POOL:
		flags = TMEM_WIRE_NEW_MOUNT;
		if (request->index & TMEM_POOL_SHARED)
			payload_bytes = TMEM_UUID_BYTES;
		break;
	case TMEM_OP_PUT_PAGE:
		payload_bytes = TMEM_PAGE_BYTES;
		break;
	case TMEM_OP_GET_PAGE:
		flags = TMEM_WIRE_PRESENCE;
		most = TMEM_WIRE_AHEAD_MAX;
		break;
	case TMEM_OP_FLUSH_RANGE:
		if (request->status < 1)
			return "its count is not positive";
		most = TMEM_WIRE_RANGE_MAX;
		break;
	case TMEM_OP_DESTROY_POOL:
	case TMEM_OP_FLUSH_PAGE:
	case TMEM_OP_FLUSH_OBJECT:
	case TMEM_OP_FLUSH_POOL:
	case TMEM_OP_ECHO:
	case TMEM_OP_BYE:
	case TMEM_OP_STAT:
	case TMEM_OP_POOLS:
		break;
	default:
		return "there is no such op";
	}
	if (request->payload_bytes != payload_bytes)
		return "its payload has the wrong length";
	if (request->flags & ~flags)
		return "it has a flag that does not belong to it";
	if (request->status < 0 || request->status > most)
		return "its count is out of range";
	return NULL;
}

const char *tmem_request_serve(struct tmem_connection *connection,
			       const struct tmem_message *untrusted_request,
			       const void *untrusted_payload)
{
	const struct tmem_message *request = untrusted_request;
	struct tmem_session *session = connection->session;
	struct tmem_client *client = session->client;
	struct tmem_turn *turn = connection->turn;
	struct tmem_message reply = {.status = TMEM_DONE};
	uint32_t payload_bytes = 0;
	const char *wrong = check_form(request);

	if (wrong != NULL)
		return wrong;
	/* From here on every value of every field is one that engine and session answer. */
	session->progress.chain =
		tmem_wire_chain(session->progress.chain, request, untrusted_payload);
	session->progress.tag = request->tag;
	session->progress_changed = true;

	switch (request->op) {
	case TMEM_OP_PUT_PAGE:
		answer_done(connection, request,
			    tmem_put(client, request->pool, &request->oid, request->index,
				     untrusted_payload));
		return NULL;
	case TMEM_OP_FLUSH_PAGE:
		answer_done(connection, request,
			    tmem_flush_page(client, request->pool, &request->oid, request->index));
		return NULL;
	case TMEM_OP_FLUSH_OBJECT:
		answer_done(connection, request,
			    tmem_flush_object(client, request->pool, &request->oid));
		return NULL;
	case TMEM_OP_FLUSH_RANGE:
		turn->over = request->status > LONG_RANGE_PAGES;
		answer_done(connection, request,
			    tmem_flush_range(client, request->pool, &request->oid, request->index,
					     (uint64_t)request->status));
		return NULL;
	case TMEM_OP_FLUSH_POOL:
		turn->over = true;
		answer_done(connection, request, tmem_pool_flush(client, request->pool));
		return NULL;
	default:
		break;
	}
	tmem_reply_left_out(connection);
	if (request->op == TMEM_OP_GET_PAGE) {
		get_page(connection, request);
		return NULL;
	}
	/* What may take long is the last of its turn. */
	turn->over = true;
	switch (request->op) {
	case TMEM_OP_NEW_POOL:
		reply.status =
			(int16_t)tmem_request_new_pool(session, request, untrusted_payload, &reply);
		add_token(connection, &reply, session->join_count != 0);
		break;
	case TMEM_OP_DESTROY_POOL:
		reply.status = (int16_t)tmem_pool_destroy(client, request->pool);
		tmem_session_left(session, request->pool);
		break;
	case TMEM_OP_ECHO:
		turn->over = false;
		turn->served = (struct tmem_served){.status = TMEM_ETIMEDOUT};
		if (tmem_session_lapsed(session, tmem_now_ns()))
			return NULL;
		if (request->index != 0 && !tmem_session_echo(session, request->index))
			reply.status = TMEM_MISS;
		add_token(connection, &reply, true);
		break;
	case TMEM_OP_STAT:
		payload_bytes = tmem_request_report(session, tmem_reply_payload(turn));
		break;
	case TMEM_OP_POOLS:
		payload_bytes =
			tmem_request_list_pools(session, request->index, tmem_reply_payload(turn));
		break;
	case TMEM_OP_BYE:
		turn->served = (struct tmem_served){.status = TMEM_DONE};
		tmem_session_end(session, 0, 0);
		tmem_decoder_search(&connection->decoder);
		return NULL;
	default: /* check_form() knows no other */
		break;
	}
	turn->served = (struct tmem_served){reply.status, reply.pool, reply.index};
	answer(connection, request, &reply, payload_bytes);
	return NULL;
}
