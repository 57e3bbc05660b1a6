/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Worker threads: each waits for its connections and gives one after the other a turn.
 *
 * A worker has one buffer for what is read and one for what is sent; a connection only keeps what a
 * turn leaves. A turn costs one read and one write, however many requests it serves.
 *
 * FAIRNESS. Connections that have something to be served wait in a queue. A round gives each that
 * is in it one turn; those that want more go to its end. Before each round the worker asks which
 * others have become ready.
 */
#ifndef TMEM_WORKER_H
#define TMEM_WORKER_H

#include "connection.h"

struct epoll_event;
struct tmem_channel;
struct tmem_tracer;

/* What an epoll event points to. */
enum tmem_watch { TMEM_WATCH_WAKE, TMEM_WATCH_LISTENER, TMEM_WATCH_SOCKET };

/* A connection with its socket. */
struct tmem_socket {
	enum tmem_watch watch;
	int fd;
	struct tmem_connection connection;
	struct tmem_channel *channel;
	struct tmem_socket *next; /* of the channel */
	struct tmem_socket *prev;
	struct tmem_socket *next_waiting; /* for its turn; or for its memory to be freed */
	bool waiting;
	bool closed;
	bool ended;           /* the peer sends no more */
	bool writing;         /* waits until the peer takes replies */
	bool whole_left;      /* rest begins with a request that can be served */
	uint32_t read_bytes;  /* at most, in its next turn */
	uint64_t waits_since; /* served requests of the worker when it began to wait */
	uint64_t stalled_since_ns;
	uint64_t buffered_bytes; /* counted in its session */
};

/* Something that another thread wants done by the worker's. */
struct tmem_command {
	void (*run)(struct tmem_worker *worker, void *context);
	void *context;
	struct tmem_command *next;
	bool done;
};

struct tmem_worker {
	enum tmem_watch watch; /* of wake_fd */
	struct tmem_server *server;
	pthread_t thread;
	bool started;
	int epoll_fd;
	int wake_fd;
	uint8_t *in;  /* TMEM_SERVER_TURN_BYTES */
	uint8_t *out; /* TMEM_TURN_OUT_ROOM */
	struct epoll_event *events;
	uint32_t event_room;
	uint32_t sockets;
	uint64_t served_requests;
	struct tmem_tracer *tracer; /* NULL: nothing is recorded */

	struct tmem_channel *channels;
	bool has_ended_channel;
	struct tmem_socket *first_waiting;
	struct tmem_socket **last_waiting;
	struct tmem_socket *closed;
	uint64_t next_tick_ns;  /* leases are looked at; UINT64_MAX: nobody shares anything */
	uint64_t next_retry_ns; /* channels are connected; UINT64_MAX: all are */

	bool stopping;
	uint32_t patience_ms;

	pthread_mutex_t lock; /* commands */
	pthread_cond_t done;
	struct tmem_command *commands;
};

struct tmem_worker *tmem_worker_of(struct tmem_server *server, uint32_t number);

/* ---- its life (worker_life.c) ---- */

/* 0 or a negative errno; tmem_worker_deinit frees what is there in either case. */
int tmem_worker_init(struct tmem_worker *worker, struct tmem_server *server);
int tmem_worker_start(struct tmem_worker *worker, uint32_t number);
/* Any thread: it says farewell and ends; tmem_worker_join waits for that. */
void tmem_worker_stop(struct tmem_worker *worker, uint32_t patience_ms);
void tmem_worker_join(struct tmem_worker *worker);
void tmem_worker_deinit(struct tmem_worker *worker);
/* Tells its guests that they can resume, and waits until they have read that, or for its patience:
 * the last that its thread does for them. */
void tmem_worker_say_farewell(struct tmem_worker *worker);

/* ---- its work (worker.c) ---- */

/* Its thread: @worker is the worker. Returns once it was told to stop; then all is closed. */
void *tmem_worker_run(void *worker);

/* Any thread but the worker's: has @run called by it, and waits until it was. */
void tmem_worker_do(struct tmem_worker *worker,
		    void (*run)(struct tmem_worker *worker, void *context), void *context);

/* A session of the worker shares a pool from now on. NULL is allowed. */
void tmem_worker_has_sharer(struct tmem_worker *worker);

/* ---- sockets (socket.c) ---- */

/* Takes @fd, which is connected, for @channel: 0 or a negative errno. */
int tmem_socket_open(struct tmem_worker *worker, struct tmem_channel *channel, int fd);
void tmem_socket_close(struct tmem_worker *worker, struct tmem_socket *socket);
/* Its turn (socket_turn.c). */
void tmem_socket_turn(struct tmem_worker *worker, struct tmem_socket *socket);
/* What it reads in a turn, at first. */
enum { TMEM_SOCKET_READ_BYTES_MIN = TMEM_SERVER_TURN_REQUESTS * TMEM_WIRE_HEADER_BYTES };
/* Queues it for one. */
void tmem_socket_wait(struct tmem_worker *worker, struct tmem_socket *socket);
/* Sends what is unsent, as far as the peer takes it. False: it was closed. */
bool tmem_socket_send_unsent(struct tmem_worker *worker, struct tmem_socket *socket);
/* Sends the replies of a turn; what the peer does not take is unsent, or it is closed. */
void tmem_socket_send_turn(struct tmem_worker *worker, struct tmem_socket *socket,
			   const struct tmem_turn *turn);
void tmem_socket_account(struct tmem_socket *socket);
/* If BYE was left to be sent outside of a turn, sends it. */
void tmem_session_send_byes(struct tmem_session *session);

/* 0 or a negative errno. */
int tmem_worker_watch(struct tmem_worker *worker, int operation, int fd, uint32_t events,
		      void *watched);

#endif
