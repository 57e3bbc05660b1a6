/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "peer.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "check.h"
#include "map.h"
#include "page.h"
#include "setup.h"

int64_t peer_reopen(struct peer *peer, struct tmem_server *server, const char *client)
{
	struct tmem_channel_options options = {.peer_uid = -1};
	struct tmem_error error;
	int64_t channel;
	int ends[2];

	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	snprintf(options.client, sizeof(options.client), "%s", client);
	channel = tmem_server_adopt(server, ends[1], &options, &error);
	if (channel < 0)
		check_failed(__FILE__, __LINE__, "%s", error.message);
	peer->fd = ends[0];
	peer->in_at = 0;
	peer->in_bytes = 0;
	tmem_decoder_init(&peer->decoder, 1);
	return channel;
}

int64_t peer_open(struct peer *peer, struct tmem_server *server, const char *client, uint8_t boot)
{
	memset(peer, 0, sizeof(*peer));
	memset(peer->boot_id, boot, sizeof(peer->boot_id));
	return peer_reopen(peer, server, client);
}

void peer_close(struct peer *peer)
{
	close(peer->fd);
}

static void send_all(struct peer *peer, const void *data, size_t bytes)
{
	const char *at = data;

	while (bytes > 0) {
		ssize_t sent = send(peer->fd, at, bytes, MSG_NOSIGNAL);

		CHECK(sent > 0);
		at += sent;
		bytes -= (size_t)sent;
	}
}

bool peer_receive(struct peer *peer, struct tmem_message *message)
{
	const void *payload;
	size_t used;

	for (;;) {
		enum tmem_wire_found found = TMEM_WIRE_MORE;
		ssize_t got;

		if (peer->in_bytes > peer->in_at) {
			found = tmem_decoder_next(&peer->decoder, peer->in + peer->in_at,
						  peer->in_bytes - peer->in_at, message, &payload,
						  &used);
			CHECK(found != TMEM_WIRE_DAMAGED);
			peer->in_at += used;
		}
		if (found == TMEM_WIRE_FOUND) {
			if (payload != NULL)
				memcpy(peer->payload, payload, message->payload_bytes);
			if (message->flags & TMEM_WIRE_TOKEN)
				peer->token = message->oid.words[2];
			return true;
		}
		memmove(peer->in, peer->in + peer->in_at, peer->in_bytes - peer->in_at);
		peer->in_bytes -= peer->in_at;
		peer->in_at = 0;
		got = recv(peer->fd, peer->in + peer->in_bytes, sizeof(peer->in) - peer->in_bytes,
			   0);
		if (got <= 0)
			return false;
		peer->in_bytes += (size_t)got;
	}
}

static void transmit(struct peer *peer, struct tmem_message *message, uint64_t key,
		     const void *payload)
{
	uint8_t whole[TMEM_WIRE_MESSAGE_MAX];

	message->version = TMEM_WIRE_VERSION;
	if (payload != NULL)
		memcpy(whole + TMEM_WIRE_HEADER_BYTES, payload, message->payload_bytes);
	send_all(peer, whole, tmem_wire_encode(message, key, whole));
}

static void read_offer(struct peer *peer, const struct tmem_message *reply)
{
	char key[TMEM_MAP_KEY_MAX + 1];
	struct tmem_map_reader reader;
	struct tmem_map_value value;

	CHECK_EQ(tmem_map_open(&reader, peer->payload, reply->payload_bytes), 0);
	while (tmem_map_next(&reader, key, &value) > 0) {
		if (strcmp(key, "verdict") == 0)
			peer->verdict = (int)value.number;
		else if (strcmp(key, "session") == 0)
			peer->session = (uint32_t)value.number;
		else if (strcmp(key, "key") == 0)
			peer->key = value.number;
		else if (strcmp(key, "tag") == 0)
			peer->offer_tag = (uint32_t)value.number;
		else if (strcmp(key, "epoch") == 0)
			peer->offer_epoch = value.number;
		else if (strcmp(key, "rejoin") == 0)
			peer->rejoin = value.number != 0;
		else if (strcmp(key, "pools_kept") == 0)
			peer->pools_kept = value.number != 0;
	}
}

int peer_hello(struct peer *peer, uint32_t session)
{
	uint8_t map[TMEM_WIRE_PAYLOAD_MAX];
	struct tmem_map_writer writer;
	struct tmem_message hello = {.op = TMEM_OP_HELLO, .tag = 77};
	struct tmem_message reply;

	tmem_map_begin(&writer, map, sizeof(map));
	tmem_map_uint(&writer, "version_min", 1);
	tmem_map_uint(&writer, "version_max", 1);
	tmem_map_uint(&writer, "page_bytes", TMEM_PAGE_BYTES);
	tmem_map_bytes(&writer, "boot_id", peer->boot_id, sizeof(peer->boot_id));
	tmem_map_text(&writer, "implementation", "test peer");
	tmem_map_uint(&writer, "session", session);
	tmem_map_uint(&writer, "token", peer->confirmed);
	hello.payload_bytes = (uint16_t)tmem_map_end(&writer);
	transmit(peer, &hello, 0, map);
	do {
		CHECK(peer_receive(peer, &reply));
	} while (reply.op != TMEM_OP_HELLO);
	CHECK_EQ(reply.tag, 77);
	read_offer(peer, &reply);
	if (peer->verdict > 0)
		tmem_decoder_offer(&peer->decoder, peer->session, peer->key);
	return peer->verdict;
}

int peer_start(struct peer *peer)
{
	bool resumes = peer->verdict == 1;
	struct tmem_message start = {
		.op = TMEM_OP_START,
		.session = peer->session,
		.tag = resumes ? peer->offer_tag : 0,
		.index = resumes ? peer->chain : 0,
	};
	struct tmem_message reply;

	transmit(peer, &start, peer->key, NULL);
	do {
		CHECK(peer_receive(peer, &reply));
	} while (reply.op != TMEM_OP_START);
	if (reply.status != TMEM_DONE)
		return reply.status;
	tmem_decoder_begin(&peer->decoder, peer->session, peer->key);
	peer->tag = start.tag;
	peer->chain = start.index;
	return TMEM_DONE;
}

void peer_begin(struct peer *peer)
{
	CHECK_EQ(peer_hello(peer, 0), 2);
	CHECK_EQ(peer_start(peer), TMEM_DONE);
}

void peer_send(struct peer *peer, struct tmem_message *message, const void *payload)
{
	message->tag = ++peer->tag;
	message->session = peer->session;
	transmit(peer, message, peer->key, payload);
	peer->chain = tmem_wire_chain(peer->chain, message, payload);
}

struct tmem_message peer_call(struct peer *peer, struct tmem_message message, const void *payload)
{
	struct tmem_message reply;

	peer_send(peer, &message, payload);
	do {
		CHECK(peer_receive(peer, &reply));
	} while (reply.op != TMEM_OP_BYE && reply.tag != message.tag);
	return reply;
}

uint32_t peer_new_pool(struct peer *peer, uint32_t kind, const uint8_t *uuid)
{
	struct tmem_message message = {
		.op = TMEM_OP_NEW_POOL,
		.index = kind | TMEM_ABI_VERSION << TMEM_POOL_VERSION_SHIFT,
		.flags = uuid != NULL ? TMEM_WIRE_NEW_MOUNT : 0,
		.payload_bytes = uuid != NULL ? TMEM_UUID_BYTES : 0,
	};
	struct tmem_message reply = peer_call(peer, message, uuid);

	CHECK_EQ(reply.status, TMEM_DONE);
	CHECK_EQ(reply.index, kind);
	return reply.pool;
}

int peer_put(struct peer *peer, uint32_t pool, uint64_t index, uint32_t value)
{
	uint8_t page[TMEM_PAGE_BYTES];
	struct tmem_message message = {
		.op = TMEM_OP_PUT_PAGE,
		.pool = pool,
		.index = index,
		.oid = setup_oid,
		.payload_bytes = TMEM_PAGE_BYTES,
	};

	page_make(page, value);
	return peer_call(peer, message, page).status;
}

int64_t peer_get(struct peer *peer, uint32_t pool, uint64_t index)
{
	struct tmem_message message = {
		.op = TMEM_OP_GET_PAGE,
		.pool = pool,
		.index = index,
		.oid = setup_oid,
	};
	struct tmem_message reply = peer_call(peer, message, NULL);

	if (reply.status == TMEM_EEMPTY)
		return 0;
	return reply.status == TMEM_DONE ? (int64_t)page_read(peer->payload) : reply.status;
}

int peer_echo(struct peer *peer)
{
	uint64_t token = peer->token;
	struct tmem_message message = {.op = TMEM_OP_ECHO, .index = token};
	int status = peer_call(peer, message, NULL).status;

	if (status == TMEM_DONE)
		peer->confirmed = token;
	return status;
}
