/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A turn of a connection: read, one pass, one write. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "channel.h"

/* Reads behind the @kept bytes at worker->in; how many bytes are there then, -1: the peer is
 * gone. */
static ssize_t read_more(struct tmem_worker *worker, struct tmem_socket *socket, size_t kept)
{
	struct tmem_session_counters *counters = &socket->connection.session->counters;
	size_t room = TMEM_SERVER_TURN_BYTES - kept;
	ssize_t got;

	if (room > socket->read_bytes)
		room = socket->read_bytes;
	do {
		got = recv(socket->fd, worker->in + kept, room, MSG_DONTWAIT);
	} while (got < 0 && errno == EINTR);
	if (got < 0)
		return errno == EAGAIN ? (ssize_t)kept : -1;
	if (got == 0)
		socket->ended = true;
	/* The next turn may read more if this one was full. */
	if ((size_t)got == room && socket->read_bytes < TMEM_SERVER_TURN_BYTES)
		socket->read_bytes *= 2;
	tmem_add(&counters->bytes_in, (uint64_t)got);
	return (ssize_t)kept + got;
}

/* Keeps what the turn has left of worker->in. */
static bool keep_rest(struct tmem_connection *connection, const uint8_t *data, size_t bytes)
{
	free(connection->rest);
	connection->rest = NULL;
	connection->rest_at = 0;
	connection->rest_bytes = 0;
	if (bytes == 0)
		return true;
	connection->rest = malloc(bytes);
	if (connection->rest == NULL)
		return false;
	memcpy(connection->rest, data, bytes);
	connection->rest_bytes = (uint32_t)bytes;
	return true;
}

/* Whether a turn has enough in the rest; else it begins with the rest and reads more. */
static bool rest_is_enough(const struct tmem_socket *socket)
{
	const struct tmem_connection *connection = &socket->connection;

	return socket->whole_left &&
	       connection->rest_bytes - connection->rest_at > TMEM_WIRE_MESSAGE_MAX;
}

static void count_turn(struct tmem_worker *worker, struct tmem_socket *socket,
		       const struct tmem_turn *turn)
{
	struct tmem_session_counters *counters = &socket->connection.session->counters;

	tmem_add(&counters->turns, 1);
	tmem_add(&counters->requests, turn->requests);
	tmem_raise(&counters->most_turn_requests, turn->requests);
	tmem_raise(&counters->most_waited_requests, worker->served_requests - socket->waits_since);
	worker->served_requests += turn->requests;
	/* What a turn cannot serve need not be read for it. */
	if (turn->requests == TMEM_SERVER_TURN_REQUESTS && turn->used < turn->in_bytes)
		socket->read_bytes = turn->used > TMEM_SOCKET_READ_BYTES_MIN
					     ? (uint32_t)turn->used
					     : TMEM_SOCKET_READ_BYTES_MIN;
}

/* False: it was closed. */
static bool end_turn(struct tmem_worker *worker, struct tmem_socket *socket,
		     const struct tmem_turn *turn)
{
	tmem_connection_end_turn(&socket->connection);
	count_turn(worker, socket, turn);
	tmem_socket_send_turn(worker, socket, turn);
	return !socket->closed;
}

static bool serve_rest(struct tmem_worker *worker, struct tmem_socket *socket)
{
	struct tmem_connection *connection = &socket->connection;
	struct tmem_turn turn = {
		.in = connection->rest + connection->rest_at,
		.in_bytes = connection->rest_bytes - connection->rest_at,
		.out = worker->out,
	};

	socket->whole_left = tmem_connection_serve(connection, &turn);
	connection->rest_at += (uint32_t)turn.used;
	return end_turn(worker, socket, &turn);
}

/*
 * Reads and serves until nothing more is there or the turn is full: a peer that is sending a batch
 * gets its replies at one go, and is not woken for each part of it. Whether more is there is only
 * asked in the middle of a message. False: the peer is gone.
 */
static bool read_and_serve(struct tmem_worker *worker, struct tmem_socket *socket,
			   struct tmem_turn *turn)
{
	for (;;) {
		size_t before = turn->in_bytes;

		if (!socket->ended) {
			ssize_t bytes = read_more(worker, socket, before);

			if (bytes < 0)
				return false;
			turn->in_bytes = (size_t)bytes;
		}
		socket->whole_left = tmem_connection_serve(&socket->connection, turn);
		if (socket->whole_left || turn->used == turn->in_bytes ||
		    turn->in_bytes == before || turn->in_bytes == TMEM_SERVER_TURN_BYTES)
			return true;
	}
}

static bool serve_read(struct tmem_worker *worker, struct tmem_socket *socket)
{
	struct tmem_connection *connection = &socket->connection;
	size_t kept = connection->rest_bytes - connection->rest_at;
	struct tmem_turn turn = {.in = worker->in, .in_bytes = kept, .out = worker->out};
	bool there;

	if (kept != 0)
		memcpy(worker->in, connection->rest + connection->rest_at, kept);
	there = read_and_serve(worker, socket, &turn);
	if (connection->turn != NULL && !end_turn(worker, socket, &turn))
		return false;
	/* Who sends no more may still read. */
	if (!there || !keep_rest(connection, worker->in + turn.used, turn.in_bytes - turn.used) ||
	    (socket->ended && !socket->whole_left && connection->unsent == NULL)) {
		tmem_socket_close(worker, socket);
		return false;
	}
	return true;
}

void tmem_socket_turn(struct tmem_worker *worker, struct tmem_socket *socket)
{
	if (!tmem_socket_send_unsent(worker, socket) || socket->connection.unsent != NULL)
		return;
	if (!(rest_is_enough(socket) ? serve_rest(worker, socket) : serve_read(worker, socket)))
		return;
	/* With replies unsent, it waits for the peer first. */
	if (socket->whole_left && socket->connection.unsent == NULL)
		tmem_socket_wait(worker, socket);
	tmem_socket_account(socket);
}
