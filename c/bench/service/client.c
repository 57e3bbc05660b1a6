/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "service.h"

enum {
	TEXT_BYTES = SERVICE_DEPTH_MAX * SERVICE_TEXT_BYTES,
	RECEIVED_BYTES = SERVICE_DEPTH_MAX * (TMEM_PAGE_BYTES + SERVICE_REPLY_BYTES),
	PATIENCE_S = 60, /* then a server that does not answer ends the run */
};

void service_client_open(struct service_client *client, const char *name,
			 const struct service_protocol *protocol, const struct service_pages *pages,
			 int fd)
{
	const struct timeval patience = {.tv_sec = PATIENCE_S};

	memset(client, 0, sizeof(*client));
	client->name = name;
	client->protocol = protocol;
	client->pages = pages;
	client->text = bench_alloc(TEXT_BYTES);
	client->received = bench_alloc(RECEIVED_BYTES);
	/* faulted in before any clock runs */
	memset(client->received, 1, RECEIVED_BYTES);
	client->fd = fd;
	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) != 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) != 0)
		bench_fail("%s: %s", name, strerror(errno));
	if (protocol->begin != NULL)
		protocol->begin(client);
}

void service_client_close(struct service_client *client)
{
	close(client->fd);
	free(client->text);
	free(client->received);
}

/* ---- requests ---- */

void *service_text(struct service_client *client, uint32_t bytes)
{
	char *at = client->text + client->text_bytes;

	if (client->text_bytes + bytes > TEXT_BYTES)
		bench_fail("%s: a request is longer than the client has room for", client->name);
	if (!client->may_extend) {
		client->parts[client->part_count++] = (struct iovec){at, 0};
		client->may_extend = true;
	}
	client->parts[client->part_count - 1].iov_len += bytes;
	client->text_bytes += bytes;
	return at;
}

void service_payload(struct service_client *client, uint32_t page)
{
	/* writev() does not write to it */
	void *contents = (void *)(uintptr_t)client->pages->page(client->pages, page);

	client->parts[client->part_count++] = (struct iovec){contents, TMEM_PAGE_BYTES};
	client->may_extend = false;
}

const char *service_key(const struct service_client *client, uint32_t page)
{
	static const char digits[] = "0123456789abcdef";
	static char key[SERVICE_KEY_BYTES];
	const struct bench_handle *handle = &client->pages->data->handles[page];
	uint64_t number = (uint64_t)handle->object << 32 | handle->index;

	for (int i = SERVICE_KEY_BYTES - 1; i >= 0; i--, number >>= 4)
		key[i] = digits[number & 15];
	return key;
}

void service_send(struct service_client *client)
{
	struct iovec *part = client->parts;
	uint32_t left = client->part_count;

	while (left > 0) {
		ssize_t sent = writev(client->fd, part, (int)left);

		if (sent < 0)
			bench_fail("%s: cannot send: %s", client->name, strerror(errno));
		for (; left > 0 && (size_t)sent >= part->iov_len; part++, left--)
			sent -= (ssize_t)part->iov_len;
		if (left > 0) {
			part->iov_base = (char *)part->iov_base + sent;
			part->iov_len -= (size_t)sent;
		}
	}
	client->part_count = 0;
	client->text_bytes = 0;
	client->may_extend = false;
}

/* ---- replies ---- */

static size_t receive_some(struct service_client *client, void *to, size_t room)
{
	ssize_t length = recv(client->fd, to, room, 0);

	if (length < 0)
		bench_fail("%s: cannot receive: %s", client->name, strerror(errno));
	if (length == 0)
		bench_fail("%s: the server has closed the connection", client->name);
	return (size_t)length;
}

void service_receive(struct service_client *client, void *to, size_t bytes)
{
	for (size_t done = 0; done < bytes;)
		done += receive_some(client, (char *)to + done, bytes - done);
}

void service_bad_reply(const struct service_client *client, const char *data, size_t bytes)
{
	char said[64];
	size_t length = 0;

	while (length < bytes && length < sizeof(said) - 1) {
		said[length] = data[length];
		if (said[length] < ' ' || said[length] > '~')
			said[length] = '.';
		length++;
	}
	said[length] = 0;
	bench_fail("%s: an unexpected reply: %s", client->name, said);
}

static void compare(struct service_client *client, uint32_t page, const char *contents)
{
	if (client->gets++ % SERVICE_SAMPLED != 0 || contents == NULL)
		return;
	if (memcmp(contents, client->pages->page(client->pages, page), TMEM_PAGE_BYTES) != 0)
		bench_fail("%s: a page came back different", client->name);
}

/* Receives the replies to the batch of requests for @count @pages. */
static void receive_replies(struct service_client *client, bool get, const uint32_t *pages,
			    uint32_t count)
{
	const struct service_protocol *protocol = client->protocol;
	size_t filled = 0;
	size_t at = 0;

	for (uint32_t done = 0; done < count;) {
		const char *from = client->received + at;
		const char *contents = NULL;
		uint32_t answered = 1;
		size_t used = 0;

		if (filled > at)
			used = get ? protocol->get_reply(client, from, filled - at, &contents)
				   : protocol->put_reply(client, from, filled - at, &answered);
		if (used == 0) {
			if (filled == RECEIVED_BYTES)
				service_bad_reply(client, from, filled - at);
			filled += receive_some(client, client->received + filled,
					       RECEIVED_BYTES - filled);
			continue;
		}
		if (answered > count - done)
			service_bad_reply(client, from, used);
		if (get)
			compare(client, pages[done], contents);
		done += answered;
		at += used;
	}
	if (at != filled)
		service_bad_reply(client, client->received + at, filled - at);
}

void service_client_run(struct service_client *client, bool get, const uint32_t *order,
			uint32_t first, uint32_t end, uint32_t depth)
{
	const struct service_protocol *protocol = client->protocol;

	for (uint32_t batch = first; batch < end; batch++) {
		const uint32_t *pages = order + (uint64_t)batch * depth;

		for (uint32_t i = 0; i < depth; i++)
			(get ? protocol->get : protocol->put)(client, pages[i]);
		service_send(client);
		receive_replies(client, get, pages, depth);
	}
}
