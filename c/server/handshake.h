/* SPDX-License-Identifier: GPL-2.0-or-later */
/* HELLO and START: how a connection comes by a session. */
#ifndef TMEM_HANDSHAKE_H
#define TMEM_HANDSHAKE_H

#include "connection.h"

/* Answers HELLO, whatever it says, with an offer or a refusal. */
void tmem_handshake_hello(struct tmem_connection *connection, const struct tmem_message *message,
			  const void *untrusted_payload);
/* Answers START of the session that was offered. */
void tmem_handshake_start(struct tmem_connection *connection, const struct tmem_message *message);

#endif
