/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "channel.h"

int tmem_socket_open(struct tmem_worker *worker, struct tmem_channel *channel, int fd)
{
	struct tmem_session *session = channel->session;
	struct tmem_socket *socket = calloc(1, sizeof(*socket));
	const int send_room = TMEM_TURN_OUT_ROOM;
	int code;

	if (socket == NULL)
		return -ENOMEM;
	socket->watch = TMEM_WATCH_SOCKET;
	socket->fd = fd;
	socket->channel = channel;
	socket->read_bytes = TMEM_SOCKET_READ_BYTES_MIN;
	/* The replies of one turn are taken at one go, if the system's limit is not lower. */
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &send_room, sizeof(send_room));
	code = tmem_worker_watch(worker, EPOLL_CTL_ADD, fd, EPOLLIN, socket);
	if (code != 0) {
		free(socket);
		return code;
	}
	tmem_connection_init(&socket->connection, session);
	socket->next = channel->sockets;
	if (socket->next != NULL)
		socket->next->prev = socket;
	channel->sockets = socket;
	worker->sockets++;
	tmem_socket_account(socket);
	if (!channel->unheard)
		tmem_events_post(&session->server->events, &session->rate, TMEM_EVENT_CONNECTED, 0,
				 session->name, "channel %lld", (long long)channel->number);
	channel->unheard = false;
	return 0;
}

/* The memory stays until nothing in this round can point to it. */
void tmem_socket_close(struct tmem_worker *worker, struct tmem_socket *socket)
{
	struct tmem_channel *channel = socket->channel;
	struct tmem_session *session = channel->session;

	if (socket->closed)
		return;
	socket->closed = true;
	close(socket->fd);
	worker->sockets--;
	if (socket->stalled_since_ns != 0)
		tmem_add(&session->counters.stalled_ns, tmem_now_ns() - socket->stalled_since_ns);
	tmem_connection_deinit(&socket->connection);
	tmem_add(&session->counters.buffered_bytes, -socket->buffered_bytes);
	if (socket->prev != NULL)
		socket->prev->next = socket->next;
	else
		channel->sockets = socket->next;
	if (socket->next != NULL)
		socket->next->prev = socket->prev;
	if (!socket->waiting) {
		socket->next_waiting = worker->closed;
		worker->closed = socket;
	}
	if (!channel->unheard)
		tmem_events_post(&session->server->events, &session->rate, TMEM_EVENT_DISCONNECTED,
				 0, session->name, "channel %lld", (long long)channel->number);
	tmem_channel_lost(worker, channel);
}

void tmem_socket_wait(struct tmem_worker *worker, struct tmem_socket *socket)
{
	if (socket->waiting)
		return;
	socket->waiting = true;
	socket->waits_since = worker->served_requests;
	socket->next_waiting = NULL;
	*worker->last_waiting = socket;
	worker->last_waiting = &socket->next_waiting;
}

void tmem_socket_account(struct tmem_socket *socket)
{
	const struct tmem_connection *connection = &socket->connection;
	uint64_t bytes = sizeof(*socket) + connection->rest_bytes + connection->unsent_bytes;

	if (bytes == socket->buffered_bytes)
		return;
	tmem_add(&connection->session->counters.buffered_bytes, bytes - socket->buffered_bytes);
	socket->buffered_bytes = bytes;
}

/* ---- sending ---------------------------------------------------------------------------- */

static void watch_writing(struct tmem_worker *worker, struct tmem_socket *socket, bool writing)
{
	if (socket->writing == writing)
		return;
	socket->writing = writing;
	(void)tmem_worker_watch(worker, EPOLL_CTL_MOD, socket->fd, writing ? EPOLLOUT : EPOLLIN,
				socket);
	if (writing) {
		socket->stalled_since_ns = tmem_now_ns();
	} else {
		tmem_add(&socket->connection.session->counters.stalled_ns,
			 tmem_now_ns() - socket->stalled_since_ns);
		socket->stalled_since_ns = 0;
	}
}

/* How much the peer took; -1: it is gone. */
static ssize_t send_bytes(struct tmem_socket *socket, const void *data, size_t bytes)
{
	struct tmem_session_counters *counters = &socket->connection.session->counters;
	ssize_t sent;

	do {
		sent = send(socket->fd, data, bytes, MSG_NOSIGNAL | MSG_DONTWAIT);
	} while (sent < 0 && errno == EINTR);
	if (sent < 0 && errno != EAGAIN)
		return -1;
	tmem_add(&counters->reply_writes, 1);
	if (sent < 0)
		return 0;
	tmem_add(&counters->bytes_out, (uint64_t)sent);
	return sent;
}

bool tmem_socket_send_unsent(struct tmem_worker *worker, struct tmem_socket *socket)
{
	struct tmem_connection *connection = &socket->connection;
	size_t left = connection->unsent_bytes - connection->unsent_at;
	ssize_t sent;

	if (left == 0)
		return true;
	sent = send_bytes(socket, connection->unsent + connection->unsent_at, left);
	if (sent < 0) {
		tmem_socket_close(worker, socket);
		return false;
	}
	connection->unsent_at += (uint32_t)sent;
	if ((size_t)sent == left) {
		free(connection->unsent);
		connection->unsent = NULL;
		connection->unsent_at = 0;
		connection->unsent_bytes = 0;
	}
	watch_writing(worker, socket, connection->unsent != NULL);
	tmem_socket_account(socket);
	return true;
}

void tmem_socket_send_turn(struct tmem_worker *worker, struct tmem_socket *socket,
			   const struct tmem_turn *turn)
{
	ssize_t sent = 0;

	if (turn->out_bytes == 0)
		return;
	sent = send_bytes(socket, turn->out, turn->out_bytes);
	if (sent == (ssize_t)turn->out_bytes)
		return;
	if (sent < 0 || !tmem_connection_keep_unsent(&socket->connection, turn->out + sent,
						     turn->out_bytes - (size_t)sent)) {
		tmem_socket_close(worker, socket);
		return;
	}
	watch_writing(worker, socket, true);
}

void tmem_session_send_byes(struct tmem_session *session)
{
	struct tmem_worker *worker = session->worker;

	if (!session->has_unsent_bye)
		return;
	session->has_unsent_bye = false;
	for (struct tmem_channel *channel = worker->channels; channel != NULL;
	     channel = channel->next) {
		struct tmem_socket *next;

		if (channel->session != session)
			continue;
		for (struct tmem_socket *socket = channel->sockets; socket != NULL; socket = next) {
			next = socket->next;
			(void)tmem_socket_send_unsent(worker, socket);
		}
	}
}
