/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The raw baseline: what the kernel takes for carrying the bytes that our protocol would carry, and
 * nothing more. Payloads are received into and sent from random slots of an arena of the size of
 * the set, faulted in beforehand. Of the requests nothing is read: the client says beforehand what
 * is coming and how many make a batch. A batch of puts has one reply, which is the fewest that the
 * protocol allows.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "service.h"

struct batch {
	char *arena;
	uint32_t slots;
	uint64_t random;
	char headers[SERVICE_DEPTH_MAX][TMEM_WIRE_HEADER_BYTES];
	char tails[SERVICE_DEPTH_MAX][TMEM_WIRE_TAIL_BYTES];
	struct iovec parts[3 * SERVICE_DEPTH_MAX];
};

/* Prepares for @depth messages with a page, each of another slot. Returns the parts. */
static uint32_t messages(struct batch *batch, uint32_t depth)
{
	struct iovec *part = batch->parts;

	for (uint32_t i = 0; i < depth; i++) {
		uint64_t slot = (bench_random(&batch->random) >> 32) * batch->slots >> 32;

		*part++ = (struct iovec){batch->headers[i], TMEM_WIRE_HEADER_BYTES};
		*part++ = (struct iovec){batch->arena + slot * TMEM_PAGE_BYTES, TMEM_PAGE_BYTES};
		*part++ = (struct iovec){batch->tails[i], TMEM_WIRE_TAIL_BYTES};
	}
	return (uint32_t)(part - batch->parts);
}

/* @parts is used up. False: the peer has gone, or said that something else follows, which is in the
 * first header. */
static bool move(int fd, struct iovec *part, uint32_t parts, bool out)
{
	bool first = true;

	while (parts > 0) {
		struct msghdr message = {.msg_iov = part, .msg_iovlen = parts};
		ssize_t moved =
			out ? sendmsg(fd, &message, MSG_NOSIGNAL) : recvmsg(fd, &message, 0);
		const uint8_t *header = part->iov_base;

		if (moved <= 0)
			_exit(moved < 0);
		/* it comes between batches, and the client waits for an answer to it */
		if (!out && first && moved == TMEM_WIRE_HEADER_BYTES &&
		    header[5] == SERVICE_RAW_SWITCH)
			return false;
		first = false;
		for (; parts > 0 && (size_t)moved >= part->iov_len; part++, parts--)
			moved -= (ssize_t)part->iov_len;
		if (parts > 0) {
			part->iov_base = (char *)part->iov_base + moved;
			part->iov_len -= (size_t)moved;
		}
	}
	return true;
}

static void send_all(int fd, struct batch *batch, uint32_t parts)
{
	(void)move(fd, batch->parts, parts, true);
}

static void send_header(int fd, struct batch *batch)
{
	batch->parts[0] = (struct iovec){batch->headers[0], TMEM_WIRE_HEADER_BYTES};
	send_all(fd, batch, 1);
}

static void serve_puts(int fd, struct batch *batch, uint32_t depth)
{
	while (move(fd, batch->parts, messages(batch, depth), false))
		send_header(fd, batch);
}

static void serve_gets(int fd, struct batch *batch, uint32_t depth)
{
	for (;;) {
		/* all headers are one piece of memory */
		batch->parts[0] = (struct iovec){batch->headers, sizeof(batch->headers[0]) * depth};
		if (!move(fd, batch->parts, 1, false))
			return;
		send_all(fd, batch, messages(batch, depth));
	}
}

void service_serve_raw(const char *path, uint32_t slots)
{
	static struct batch batch = {.random = 1};
	int listener = service_listen(path);
	int fd = -1;

	batch.slots = slots;
	batch.arena = mmap(NULL, (uint64_t)slots * TMEM_PAGE_BYTES, PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (batch.arena == MAP_FAILED)
		bench_fail("cannot map %u pages: %s", slots, strerror(errno));
	memset(batch.arena, 1, (uint64_t)slots * TMEM_PAGE_BYTES);
	fd = accept(listener, NULL, NULL);
	if (fd < 0)
		bench_fail("cannot accept: %s", strerror(errno));
	batch.parts[0] = (struct iovec){batch.headers[0], TMEM_WIRE_HEADER_BYTES};
	if (move(fd, batch.parts, 1, false))
		bench_fail("the client does not say what is coming");
	for (;;) {
		uint8_t depth = (uint8_t)batch.headers[0][7];
		bool get = batch.headers[0][6];

		send_header(fd, &batch);
		(get ? serve_gets : serve_puts)(fd, &batch, depth);
	}
}

/* ---- the client's side: requests as for our server; of the replies only lengths count ---- */

static void choose(struct service_client *client, bool get, uint32_t depth)
{
	char *header = service_text(client, TMEM_WIRE_HEADER_BYTES);
	char reply[TMEM_WIRE_HEADER_BYTES];

	memset(header, 0, TMEM_WIRE_HEADER_BYTES);
	header[5] = (char)SERVICE_RAW_SWITCH;
	header[6] = get;
	header[7] = (char)depth;
	service_send(client);
	service_receive(client, reply, sizeof(reply));
	client->tag_answered = depth;
}

static void put(struct service_client *client, uint32_t page)
{
	service_speaks_tmem.put(client, page);
}

static void get(struct service_client *client, uint32_t page)
{
	service_speaks_tmem.get(client, page);
}

static size_t put_reply(struct service_client *client, const char *data, size_t bytes,
			uint32_t *answered)
{
	(void)data;
	*answered = client->tag_answered;
	return bytes < TMEM_WIRE_HEADER_BYTES ? 0 : TMEM_WIRE_HEADER_BYTES;
}

static size_t get_reply(struct service_client *client, const char *data, size_t bytes,
			const char **page)
{
	(void)client;
	(void)data;
	*page = NULL;
	return bytes < TMEM_WIRE_MESSAGE_MAX ? 0 : TMEM_WIRE_MESSAGE_MAX;
}

const struct service_protocol service_speaks_raw = {
	.choose = choose,
	.put = put,
	.get = get,
	.put_reply = put_reply,
	.get_reply = get_reply,
};
