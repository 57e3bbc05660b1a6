/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The requests of a session: checked, applied to the engine, answered. */
#ifndef TMEM_REQUEST_H
#define TMEM_REQUEST_H

#include "connection.h"

/* Answers that are common to all. */
void tmem_reply(struct tmem_connection *connection, const struct tmem_message *request,
		uint64_t key, struct tmem_message *reply, uint32_t payload_bytes);

/* Where the payload of the next reply goes. */
static inline uint8_t *tmem_reply_payload(const struct tmem_turn *turn)
{
	return turn->out + turn->out_bytes + TMEM_WIRE_HEADER_BYTES;
}

/* Sends the reply that was left out, if there is one. */
void tmem_reply_left_out(struct tmem_connection *connection);

/*
 * Serves one request of the session, whose tag is the next one. NULL; or what is wrong with it:
 * then it has not been applied.
 */
const char *tmem_request_serve(struct tmem_connection *connection,
			       const struct tmem_message *untrusted_request,
			       const void *untrusted_payload);

#endif
