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

/* ---- those about pools (request_pool.c) ---- */

/* A new pool: TMEM_DONE with *@reply filled in, or a negative errno. */
int tmem_request_new_pool(struct tmem_session *session, const struct tmem_message *request,
			  const void *untrusted_uuid, struct tmem_message *reply);
/* Writes the ids behind @untrusted_after, as many as a reply holds, to @to: their bytes. */
uint32_t tmem_request_list_pools(struct tmem_session *session, uint64_t untrusted_after,
				 uint8_t *to);
/* Writes what STAT answers to @to: its bytes. */
uint32_t tmem_request_report(struct tmem_session *session, uint8_t *to);

#endif
