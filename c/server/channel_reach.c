/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How connections come to a channel: it accepts or connects, checks the peer, and tries again. */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "channel.h"

enum {
	ACCEPTS_A_TURN = 16,
	RETRY_MS_MAX = 1000,
	NO_ROOM_MS = 100,   /* to wait when there is no file descriptor left */
	UNHEARD_MS = 10000, /* that a connection lasts over which nothing comes */
	NS_PER_MS = 1000000,
};

/* ---- peers ------------------------------------------------------------------------------ */

/* Whether the peer of @fd is the one that the channel is for; closes it otherwise. */
static bool admit(struct tmem_channel *channel, int fd)
{
	const struct tmem_channel_options *options = &channel->options;
	struct tmem_session *session = channel->session;
	struct ucred peer = {.pid = 0};
	socklen_t bytes = sizeof(peer);
	bool known = getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &bytes) == 0;

	if ((options->peer_pid == 0 || (known && peer.pid == options->peer_pid)) &&
	    (options->peer_uid == -1 || (known && peer.uid == (uint64_t)options->peer_uid)))
		return true;
	tmem_events_post(&session->server->events, &session->rate, TMEM_EVENT_REFUSED_PEER, -EACCES,
			 session->name,
			 "channel %lld, %s: process %d of user %u is not the expected peer",
			 (long long)channel->number, options->path, (int)peer.pid, peer.uid);
	close(fd);
	return false;
}

static int open_socket(struct tmem_worker *worker, struct tmem_channel *channel, int fd)
{
	int code = tmem_socket_open(worker, channel, fd);

	if (code != 0)
		close(fd);
	return code;
}

static void retry_in(struct tmem_worker *worker, struct tmem_channel *channel, uint32_t wait_ms)
{
	channel->retry_ns = tmem_now_ns() + (uint64_t)wait_ms * NS_PER_MS;
	if (channel->retry_ns < worker->next_retry_ns)
		worker->next_retry_ns = channel->retry_ns;
}

/* ---- listening -------------------------------------------------------------------------- */

void tmem_channel_accept(struct tmem_worker *worker, struct tmem_channel *channel)
{
	for (int i = 0; i < ACCEPTS_A_TURN; i++) {
		int fd = accept4(channel->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd >= 0) {
			if (admit(channel, fd))
				(void)open_socket(worker, channel, fd);
			continue;
		}
		if (errno == EINTR || errno == ECONNABORTED)
			continue;
		if (errno != EAGAIN) {
			/* No descriptor or no memory: it would be reported as ready for ever. */
			(void)tmem_worker_watch(worker, EPOLL_CTL_DEL, channel->fd, 0, NULL);
			channel->watched = false;
			retry_in(worker, channel, NO_ROOM_MS);
		}
		return;
	}
}

static void listen_again(struct tmem_worker *worker, struct tmem_channel *channel)
{
	channel->watched =
		tmem_worker_watch(worker, EPOLL_CTL_ADD, channel->fd, EPOLLIN, channel) == 0;
	if (!channel->watched)
		retry_in(worker, channel, NO_ROOM_MS);
}

/* ---- connecting ------------------------------------------------------------------------- */

int tmem_channel_connect_to(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	memcpy(address.sun_path, path, strlen(path));
	if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) != 0) {
		int code = -errno;

		close(fd);
		return code;
	}
	return fd;
}

static void try_to_connect(struct tmem_worker *worker, struct tmem_channel *channel)
{
	int fd = tmem_channel_connect_to(channel->options.path);

	if (fd >= 0 && admit(channel, fd) && open_socket(worker, channel, fd) == 0) {
		channel->opened_ns = tmem_now_ns();
		retry_in(worker, channel, UNHEARD_MS);
		return;
	}
	retry_in(worker, channel, channel->wait_ms);
	channel->wait_ms =
		2 * channel->wait_ms < RETRY_MS_MAX ? 2 * channel->wait_ms : RETRY_MS_MAX;
}

/*
 * QEMU stops looking at a port when a guest writes to it that was paused and has no host end any
 * more, and tells neither that guest nor whoever connects next. Only the end of a connection has it
 * look again.
 */
static void hang_up_if_unheard(struct tmem_worker *worker, struct tmem_channel *channel)
{
	struct tmem_socket *socket = channel->sockets;

	if (tmem_connection_heard(&socket->connection))
		return;
	channel->unheard = true;
	tmem_socket_close(worker, socket);
}

void tmem_channel_lost(struct tmem_worker *worker, struct tmem_channel *channel)
{
	if (channel->kind == TMEM_CHANNEL_ADOPTED)
		worker->has_ended_channel = true;
	if (channel->kind != TMEM_CHANNEL_CONNECTS || worker->stopping)
		return;
	/* At once, but not again and again to somebody who hangs up each time. */
	if (tmem_now_ns() - channel->opened_ns < (uint64_t)RETRY_MS_MAX * NS_PER_MS) {
		retry_in(worker, channel, channel->wait_ms);
		channel->wait_ms =
			2 * channel->wait_ms < RETRY_MS_MAX ? 2 * channel->wait_ms : RETRY_MS_MAX;
		return;
	}
	channel->wait_ms = TMEM_CHANNEL_WAIT_MS;
	retry_in(worker, channel, 0);
}

void tmem_channel_try(struct tmem_worker *worker, struct tmem_channel *channel)
{
	if (channel->kind == TMEM_CHANNEL_LISTENS)
		listen_again(worker, channel);
	else if (channel->sockets != NULL)
		hang_up_if_unheard(worker, channel);
	else
		try_to_connect(worker, channel);
}

uint64_t tmem_channels_retry(struct tmem_worker *worker, uint64_t now_ns)
{
	uint64_t next_ns = UINT64_MAX;

	worker->next_retry_ns = UINT64_MAX;
	for (struct tmem_channel *channel = worker->channels; channel != NULL;
	     channel = channel->next) {
		if (channel->retry_ns <= now_ns) {
			channel->retry_ns = UINT64_MAX;
			tmem_channel_try(worker, channel);
		}
		if (channel->retry_ns < next_ns)
			next_ns = channel->retry_ns;
	}
	return next_ns;
}
