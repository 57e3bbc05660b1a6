/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What Redis and memcached understand. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "service.h"

#define TEXT(client, text) memcpy(service_text(client, sizeof(text) - 1), text, sizeof(text) - 1)

static void add_key(struct service_client *client, uint32_t page)
{
	memcpy(service_text(client, SERVICE_KEY_BYTES), service_key(client, page),
	       SERVICE_KEY_BYTES);
}

/* Whether the @bytes at @data begin with @text, as far as they are there. */
static void expect(const struct service_client *client, const char *data, size_t bytes,
		   const char *text, size_t length)
{
	if (memcmp(data, text, bytes < length ? bytes : length) != 0)
		service_bad_reply(client, data, bytes);
}

/* A reply that is @text and nothing else. */
static size_t whole(const struct service_client *client, const char *data, size_t bytes,
		    const char *text)
{
	size_t length = strlen(text);

	expect(client, data, bytes, text, length);
	return bytes < length ? 0 : length;
}

/* A reply that is @before, a page, and @after. */
static size_t around_page(const struct service_client *client, const char *data, size_t bytes,
			  const char *before, const char *after, const char **page)
{
	size_t at = strlen(before);
	size_t length = strlen(after);

	expect(client, data, bytes, before, at);
	if (bytes < at + TMEM_PAGE_BYTES + length)
		return 0;
	*page = data + at;
	at += TMEM_PAGE_BYTES;
	expect(client, data + at, length, after, length);
	return at + length;
}

/* ---- Redis: RESP, the lengths stand before ---- */

static void redis_put(struct service_client *client, uint32_t page)
{
	TEXT(client, "*3\r\n$3\r\nSET\r\n$16\r\n");
	add_key(client, page);
	TEXT(client, "\r\n$4096\r\n");
	service_payload(client, page);
	TEXT(client, "\r\n");
}

static void redis_get(struct service_client *client, uint32_t page)
{
	TEXT(client, "*2\r\n$3\r\nGET\r\n$16\r\n");
	add_key(client, page);
	TEXT(client, "\r\n");
}

static size_t redis_put_reply(struct service_client *client, const char *data, size_t bytes,
			      uint32_t *answered)
{
	*answered = 1;
	return whole(client, data, bytes, "+OK\r\n");
}

static size_t redis_get_reply(struct service_client *client, const char *data, size_t bytes,
			      const char **page)
{
	return around_page(client, data, bytes, "$4096\r\n", "\r\n", page);
}

const struct service_protocol service_speaks_redis = {
	.put = redis_put,
	.get = redis_get,
	.put_reply = redis_put_reply,
	.get_reply = redis_get_reply,
};

/* ---- memcached: its meta commands, which say least ---- */

static void memcached_put(struct service_client *client, uint32_t page)
{
	TEXT(client, "ms ");
	add_key(client, page);
	TEXT(client, " 4096\r\n");
	service_payload(client, page);
	TEXT(client, "\r\n");
}

static void memcached_get(struct service_client *client, uint32_t page)
{
	TEXT(client, "mg ");
	add_key(client, page);
	TEXT(client, " v\r\n");
}

static size_t memcached_put_reply(struct service_client *client, const char *data, size_t bytes,
				  uint32_t *answered)
{
	*answered = 1;
	return whole(client, data, bytes, "HD\r\n");
}

static size_t memcached_get_reply(struct service_client *client, const char *data, size_t bytes,
				  const char **page)
{
	return around_page(client, data, bytes, "VA 4096\r\n", "\r\n", page);
}

const struct service_protocol service_speaks_memcached = {
	.put = memcached_put,
	.get = memcached_get,
	.put_reply = memcached_put_reply,
	.get_reply = memcached_get_reply,
};
