/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Channels: where connections come from. Each belongs to one client, and so to one worker. */
#ifndef TMEM_CHANNEL_H
#define TMEM_CHANNEL_H

#include <sys/types.h>

#include "worker.h"

enum tmem_channel_kind { TMEM_CHANNEL_LISTENS, TMEM_CHANNEL_CONNECTS, TMEM_CHANNEL_ADOPTED };

struct tmem_channel {
	enum tmem_watch watch;
	enum tmem_channel_kind kind;
	int64_t number;
	int fd;       /* listening; else -1 */
	dev_t device; /* of the listening socket's file */
	ino_t inode;
	bool watched; /* whether the worker waits for connections */
	struct tmem_session *session;
	struct tmem_channel_options options;
	struct tmem_channel *next_of_server; /* server's lock */
	struct tmem_channel *next;           /* of the worker */
	struct tmem_socket *sockets;
	uint64_t retry_ns; /* connect, hang up, or listen again; UINT64_MAX: not now */
	uint32_t wait_ms;  /* before the next try */
	uint64_t opened_ns;
	bool unheard; /* it was hung up since nobody was heard: what begins instead is no event */
};

/* Before a channel tries for the second time. */
enum { TMEM_CHANNEL_WAIT_MS = 10 };

/* A socket that is connected to @path, or a negative errno. */
int tmem_channel_connect_to(const char *path);
/* Waits for connections, connects, or hangs up what nobody has spoken over; when that cannot be, it
 * is tried again later. */
void tmem_channel_try(struct tmem_worker *worker, struct tmem_channel *channel);
/* Takes the connections that wait at a listening channel. */
void tmem_channel_accept(struct tmem_worker *worker, struct tmem_channel *channel);
/* Does what is due; returns when to come again. */
uint64_t tmem_channels_retry(struct tmem_worker *worker, uint64_t now_ns);
/* A connection of it was lost. */
void tmem_channel_lost(struct tmem_worker *worker, struct tmem_channel *channel);
/* Frees the adopted ones whose connection is gone. */
void tmem_channels_reap(struct tmem_worker *worker);
/* Closes everything and frees it; the worker's thread, or nobody else is there any more. */
void tmem_channel_close(struct tmem_worker *worker, struct tmem_channel *channel);

#endif
