/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One connection: bytes in, replies out. Without sockets: the worker (worker.c), the fuzzer and the
 * tests feed it.
 *
 * A connection keeps what a turn leaves: the beginning of a message, or requests that were read
 * but are still to be served; and replies that the peer does not take. Between turns an idle one
 * has neither. Requests are parsed where they were read, pages go from there to the engine, and
 * pages that are got are decoded into the buffer that is sent.
 */
#ifndef TMEM_CONNECTION_H
#define TMEM_CONNECTION_H

#include "lookahead.h"
#include "session.h"
#include "trace.h"

enum {
	/* Replies of one turn: when the next one might not fit, the turn ends. */
	TMEM_TURN_OUT_BYTES = TMEM_SERVER_TURN_REQUESTS * TMEM_WIRE_MESSAGE_MAX,
	/* ... and BYE, behind them. */
	TMEM_TURN_OUT_ROOM = TMEM_TURN_OUT_BYTES + 4 * TMEM_WIRE_HEADER_BYTES,
};

/* What is served at one go. */
struct tmem_turn {
	const uint8_t *in;
	size_t in_bytes;
	size_t used; /* of them */
	uint8_t *out;
	size_t out_bytes;
	uint32_t requests;
	bool over; /* the next request waits for the next turn */
	bool has_token;
	struct tmem_lookahead lookahead;

	/* a reply that is left out for as long as it can be */
	bool done;
	uint8_t done_op;
	uint32_t done_tag;

	struct tmem_served served; /* the last request */
};

struct tmem_connection {
	struct tmem_session *session; /* of its client */
	struct tmem_decoder decoder;
	struct tmem_offer offer;
	struct tmem_turn *turn; /* while it has its turn */
	uint64_t served_bytes;  /* of the stream; for reports */

	uint8_t *rest; /* read, not served */
	uint32_t rest_bytes;
	uint32_t rest_at;
	uint8_t *unsent; /* replies; while there are any, nothing is served */
	uint32_t unsent_bytes;
	uint32_t unsent_at;
	uint32_t unsent_room;
};

void tmem_connection_init(struct tmem_connection *connection, struct tmem_session *session);
/* Detaches it from its session and frees what it keeps. */
void tmem_connection_deinit(struct tmem_connection *connection);
/* Whether the peer has ever sent anything. */
bool tmem_connection_heard(const struct tmem_connection *connection);

/*
 * Serves what can be served of turn->in: in one turn at most TMEM_SERVER_TURN_REQUESTS requests,
 * and as many as have room for their replies at turn->out, which has TMEM_TURN_OUT_ROOM. Returns
 * whether a whole request may be left: the same bytes from turn->used on will do more in another
 * turn. To be called again in the same turn when there are more bytes at turn->in. The turn goes on
 * until tmem_connection_end_turn; then turn->out has all replies, and what was applied is durable.
 */
bool tmem_connection_serve(struct tmem_connection *connection, struct tmem_turn *turn);
void tmem_connection_end_turn(struct tmem_connection *connection);

/* The host ends the session that the connection has: BYE, now or behind what is unsent. */
void tmem_connection_bye(struct tmem_connection *connection, int reason);

/* An event: @what was sent, and what is @wrong with it. */
void tmem_connection_report_bad(struct tmem_connection *connection, int code, const char *what,
				const char *wrong);

/* Keeps @bytes at @data to be sent later. Without memory they are dropped, and false returned: the
 * connection is to be closed. */
bool tmem_connection_keep_unsent(struct tmem_connection *connection, const void *data,
				 size_t bytes);

#endif
