/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest for tests of the server: one connection, one message at a time, nothing that a shim would
 * do by itself. What a test asks for is what is sent.
 */
#ifndef TMEM_TEST_PEER_H
#define TMEM_TEST_PEER_H

#include <stdbool.h>

#include "server.h"

struct peer {
	int fd;
	struct tmem_decoder decoder;
	uint8_t boot_id[16];
	uint64_t key;
	uint32_t session;
	uint32_t tag; /* the last sent */
	uint64_t chain;
	uint64_t token;     /* the newest received */
	uint64_t confirmed; /* the newest whose echo was */
	/* what the last HELLO was answered */
	int verdict;
	uint32_t offer_tag;
	uint64_t offer_epoch;
	bool rejoin;
	bool pools_kept;
	/* received, not looked at */
	uint8_t in[64 << 10];
	size_t in_at;
	size_t in_bytes;
	uint8_t payload[4096]; /* of the last message */
};

/* Serves one end of a socket pair to @client and gives the other to @peer; boot id from @boot. */
int64_t peer_open(struct peer *peer, struct tmem_server *server, const char *client, uint8_t boot);
/* Goes on with another connection. */
int64_t peer_reopen(struct peer *peer, struct tmem_server *server, const char *client);
void peer_close(struct peer *peer);

/* The next message from the host: true; false at the end of the stream. */
bool peer_receive(struct peer *peer, struct tmem_message *message);

/* HELLO naming @session; the verdict. */
int peer_hello(struct peer *peer, uint32_t session);
/* START of what was offered; its status. */
int peer_start(struct peer *peer);
/* Both: a new epoch. */
void peer_begin(struct peer *peer);

/* Sends a request under the next tag; fields of @message that a request has are the caller's. */
void peer_send(struct peer *peer, struct tmem_message *message, const void *payload);
/* Sends and waits for its reply. */
struct tmem_message peer_call(struct peer *peer, struct tmem_message message, const void *payload);

uint32_t peer_new_pool(struct peer *peer, uint32_t kind, const uint8_t *uuid);
/* Pages of page.h in object 1; get returns the value, 0 for a miss, or a negative status. */
int peer_put(struct peer *peer, uint32_t pool, uint64_t index, uint32_t value);
int64_t peer_get(struct peer *peer, uint32_t pool, uint64_t index);
/* Echoes the newest token; its status. */
int peer_echo(struct peer *peer);

#endif
