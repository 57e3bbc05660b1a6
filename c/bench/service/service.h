/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The service against other servers of memory: our server, Redis and memcached over unix sockets,
 * and a raw baseline that stores and looks up nothing. Each server is a process of its own on one
 * processor; this program, on another, is the client of all of them, by one loop (client.c) in
 * which only how a request and a reply look differs (struct service_protocol).
 *
 * A batch is depth requests, sent by one writev(), and the reading of all their replies; then comes
 * the next. Servers take turns of one slice each, as in the engine's contests.
 */
#ifndef TMEM_BENCH_SERVICE_H
#define TMEM_BENCH_SERVICE_H

#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>

#include "bench.h"
#include "wire.h"

enum {
	SERVICE_DEPTH_MAX = 64,
	SERVICE_SAMPLED = 16,      /* one get in so many has its contents compared */
	SERVICE_KEY_BYTES = 16,    /* of a page, at servers that take text */
	SERVICE_TEXT_BYTES = 128,  /* room for what surrounds a page in a request */
	SERVICE_REPLY_BYTES = 128, /* room for what surrounds a page in a reply */
	SERVICE_RAW_SWITCH = 0xff, /* op of the raw baseline: from here on, puts or gets */
};

/* What starts this program a second time. */
#define SERVICE_SELF "/proc/self/exe"

/* What is stored: a page for each handle of the data set, real or made up. */
struct service_pages {
	const struct bench_data *data;
	const char *(*page)(const struct service_pages *pages, uint32_t number);
	const char *made_up;
};

/* ---- the client ---- */

struct service_client;

struct service_protocol {
	/* Begins a conversation; may be NULL. */
	void (*begin)(struct service_client *client);
	/* From here on, only puts or only gets will come, @depth at a time; may be NULL. */
	void (*choose)(struct service_client *client, bool get, uint32_t depth);
	/* Adds a request for the page number @page to the batch. */
	void (*put)(struct service_client *client, uint32_t page);
	void (*get)(struct service_client *client, uint32_t page);
	/*
	 * Look at the first reply in the @bytes at @data. They return its bytes, or 0 if it is not
	 * all there; *@answered is how many requests it answers and *@page what a get returned
	 * (NULL: not known what it should be). Anything but success ends the program.
	 */
	size_t (*put_reply)(struct service_client *client, const char *data, size_t bytes,
			    uint32_t *answered);
	size_t (*get_reply)(struct service_client *client, const char *data, size_t bytes,
			    const char **page);
};

extern const struct service_protocol service_speaks_redis;
extern const struct service_protocol service_speaks_memcached;
extern const struct service_protocol service_speaks_tmem;
extern const struct service_protocol service_speaks_raw;

struct service_client {
	const char *name;
	const struct service_protocol *protocol;
	const struct service_pages *pages;
	int fd;
	/* the batch */
	struct iovec parts[2 * SERVICE_DEPTH_MAX + 1];
	uint32_t part_count;
	char *text;
	uint32_t text_bytes;
	bool may_extend; /* the last part is text that ends at text_bytes */
	/* what came back */
	char *received;
	uint64_t gets; /* of all batches, which decides what is sampled */
	/* of the tmem protocol */
	struct tmem_decoder decoder;
	struct tmem_message request; /* what all requests share; tag: of the last request */
	uint32_t tag_answered;
};

/* Begins a conversation over the connected socket @fd. */
void service_client_open(struct service_client *client, const char *name,
			 const struct service_protocol *protocol, const struct service_pages *pages,
			 int fd);
void service_client_close(struct service_client *client);

/* The batches number @first to @end, the latter excluded, of requests for pages of @order. */
void service_client_run(struct service_client *client, bool get, const uint32_t *order,
			uint32_t first, uint32_t end, uint32_t depth);

/* For protocols. Room for @bytes of the request; adds a page of the set to it. */
void *service_text(struct service_client *client, uint32_t bytes);
void service_payload(struct service_client *client, uint32_t page);
/* The key of @page, SERVICE_KEY_BYTES of text; static memory. */
const char *service_key(const struct service_client *client, uint32_t page);
/* Sends the batch as it is; receives exactly @bytes. */
void service_send(struct service_client *client);
void service_receive(struct service_client *client, void *to, size_t bytes);
/* The server said what it should not: ends the program. */
void service_bad_reply(const struct service_client *client, const char *data, size_t bytes)
	__attribute__((noreturn));

/* ---- servers ---- */

struct service_server {
	const char *name;
	pid_t pid;
	clockid_t processor_time; /* of all its threads */
	int fd;                   /* of the connection that showed that it listens */
	char path[108];           /* of its socket */
};

/* Starts the program @argv, on the second processor, and connects to it at FOLDER/NAME.sock. What
 * it prints goes to FOLDER/NAME.log. */
void service_server_start(struct service_server *server, const struct bench_data *data,
			  const char *name, char *const argv[]);
/* Path of the socket of the server that will be named @name; static memory. */
char *service_socket_path(const struct bench_data *data, const char *name);
/* Starts our own server, with room for the data set, which it stores as @encoding. */
void service_start_tmem(struct service_server *server, const struct bench_data *data,
			const char *name, char *encoding);
/* The time that its threads have had a processor. */
uint64_t service_server_ns(const struct service_server *server);
/* Ends it; ends the program if it has ended by itself. */
void service_server_stop(struct service_server *server, const struct bench_data *data);

/* What a child of ours does: argument vectors of this program that begin with "serve-". Each
 * listens at PATH and does not return. */
void service_serve_raw(const char *path, uint32_t slots) __attribute__((noreturn));
void service_serve_tmem(const char *path, const char *folder, uint32_t pages, const char *encoding)
	__attribute__((noreturn));

/* A new unix socket that listens at @path. */
int service_listen(const char *path);

/* ---- groups ---- */

void service_incompressible(const struct bench_data *data);
void service_real(const struct bench_data *data);
void service_trips(const struct bench_data *data);

#endif
