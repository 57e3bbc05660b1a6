/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "worker.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "channel.h"
#include "slice.h"

enum { TICKS_A_LEASE = 4, NS_PER_MS = 1000000 };

struct tmem_worker *tmem_worker_of(struct tmem_server *server, uint32_t number)
{
	return &server->workers[number % server->worker_count];
}

int tmem_worker_watch(struct tmem_worker *worker, int operation, int fd, uint32_t events,
		      void *watched)
{
	struct epoll_event event = {.events = events, .data.ptr = watched};

	return epoll_ctl(worker->epoll_fd, operation, fd, &event) == 0 ? 0 : -errno;
}

/* ---- commands --------------------------------------------------------------------------- */

static void wake(struct tmem_worker *worker)
{
	uint64_t one = 1;

	(void)!write(worker->wake_fd, &one, sizeof(one));
}

void tmem_worker_do(struct tmem_worker *worker,
		    void (*run)(struct tmem_worker *worker, void *context), void *context)
{
	struct tmem_command command = {.run = run, .context = context};
	struct tmem_command **last = &worker->commands;

	pthread_mutex_lock(&worker->lock);
	while (*last != NULL)
		last = &(*last)->next;
	*last = &command;
	wake(worker);
	while (!command.done)
		pthread_cond_wait(&worker->done, &worker->lock);
	pthread_mutex_unlock(&worker->lock);
}

static void run_commands(struct tmem_worker *worker)
{
	uint64_t count;

	(void)!read(worker->wake_fd, &count, sizeof(count));
	pthread_mutex_lock(&worker->lock);
	while (worker->commands != NULL) {
		struct tmem_command *command = worker->commands;

		worker->commands = command->next;
		pthread_mutex_unlock(&worker->lock);
		command->run(worker, command->context);
		pthread_mutex_lock(&worker->lock);
		command->done = true;
		pthread_cond_broadcast(&worker->done);
	}
	pthread_mutex_unlock(&worker->lock);
}

/* ---- leases ----------------------------------------------------------------------------- */

void tmem_worker_has_sharer(struct tmem_worker *worker)
{
	if (worker != NULL && worker->next_tick_ns == UINT64_MAX)
		worker->next_tick_ns = 0;
}

static void post_change(void *context, const uint8_t *uuid, const char *waited_for)
{
	struct tmem_events *events = context;
	char text[37];
	char *to = text;

	for (int i = 0; i < TMEM_UUID_BYTES; i++)
		to += sprintf(to, i == 4 || i == 6 || i == 8 || i == 10 ? "-%02x" : "%02x",
			      uuid[i]);
	tmem_events_post(events, NULL,
			 waited_for == NULL ? TMEM_EVENT_POOL_SERVED : TMEM_EVENT_POOL_UNSERVED, 0,
			 waited_for,
			 waited_for == NULL ? "shared pool %s is served"
					    : "shared pool %s waits for %s",
			 text, waited_for);
}

/* Looks at the leases of the worker's sharers: a guest that is silent is heard by nobody else. */
static void tick(struct tmem_worker *worker, uint64_t now_ns)
{
	struct tmem_server *server = worker->server;
	bool sharers = false;

	for (struct tmem_session *session = tmem_session_first(server); session != NULL;
	     session = session->next) {
		if (session->worker != worker || session->join_count == 0)
			continue;
		if (!tmem_session_lapsed(session, now_ns))
			sharers = true;
		tmem_session_send_byes(session);
	}
	tmem_shares_changes(&server->shares, now_ns, post_change, &server->events);
	worker->next_tick_ns =
		sharers ? now_ns + server->times.lease_ns / TICKS_A_LEASE : UINT64_MAX;
}

/* ---- the loop --------------------------------------------------------------------------- */

static int timeout_ms(const struct tmem_worker *worker, uint64_t now_ns)
{
	uint64_t due_ns = worker->next_tick_ns < worker->next_retry_ns ? worker->next_tick_ns
								       : worker->next_retry_ns;
	uint64_t wait_ms;

	if (worker->first_waiting != NULL)
		return 0;
	if (due_ns == UINT64_MAX)
		return -1;
	if (due_ns <= now_ns)
		return 0;
	wait_ms = (due_ns - now_ns + NS_PER_MS - 1) / NS_PER_MS;
	return wait_ms < INT_MAX ? (int)wait_ms : INT_MAX;
}

static bool has_timers(const struct tmem_worker *worker)
{
	return worker->next_tick_ns != UINT64_MAX || worker->next_retry_ns != UINT64_MAX;
}

static void take_events(struct tmem_worker *worker, int count)
{
	bool woken = false;

	for (int i = 0; i < count; i++) {
		enum tmem_watch *watch = worker->events[i].data.ptr;

		switch (*watch) {
		case TMEM_WATCH_WAKE:
			woken = true;
			break;
		case TMEM_WATCH_LISTENER:
			tmem_channel_accept(worker, (struct tmem_channel *)watch);
			break;
		case TMEM_WATCH_SOCKET:
			if (!((struct tmem_socket *)watch)->closed)
				tmem_socket_wait(worker, (struct tmem_socket *)watch);
			break;
		}
	}
	/* Last: a command may remove what other events point to. */
	if (woken)
		run_commands(worker);
}

static void round_of_turns(struct tmem_worker *worker)
{
	struct tmem_socket *next = worker->first_waiting;

	worker->first_waiting = NULL;
	worker->last_waiting = &worker->first_waiting;
	while (next != NULL) {
		struct tmem_socket *socket = next;
		struct tmem_session *session = socket->connection.session;

		next = socket->next_waiting;
		socket->waiting = false;
		if (socket->closed) {
			socket->next_waiting = worker->closed;
			worker->closed = socket;
			continue;
		}
		tmem_socket_turn(worker, socket);
		tmem_session_send_byes(session);
	}
}

static void free_closed(struct tmem_worker *worker)
{
	while (worker->closed != NULL) {
		struct tmem_socket *socket = worker->closed;

		worker->closed = socket->next_waiting;
		free(socket);
	}
}

/* As many events as sockets, so that a round has every one that is ready in it. */
static void fit_events(struct tmem_worker *worker)
{
	struct epoll_event *events;

	if (worker->sockets < worker->event_room)
		return;
	events = realloc(worker->events, 2 * worker->event_room * sizeof(*events));
	if (events == NULL)
		return; /* the kernel hands them out in turn */
	worker->events = events;
	worker->event_room *= 2;
}

static void run_timers(struct tmem_worker *worker)
{
	uint64_t now_ns;

	if (!has_timers(worker))
		return;
	now_ns = tmem_now_ns();
	if (now_ns >= worker->next_tick_ns)
		tick(worker, now_ns);
	if (now_ns >= worker->next_retry_ns)
		worker->next_retry_ns = tmem_channels_retry(worker, now_ns);
}

void *tmem_worker_run(void *context)
{
	struct tmem_worker *worker = context;

	tmem_take_short_slices();
	while (!worker->stopping) {
		uint64_t now_ns = has_timers(worker) ? tmem_now_ns() : 0;
		int count;

		fit_events(worker);
		count = epoll_wait(worker->epoll_fd, worker->events, (int)worker->event_room,
				   timeout_ms(worker, now_ns));
		take_events(worker, count);
		round_of_turns(worker);
		run_timers(worker);
		free_closed(worker);
		if (worker->has_ended_channel)
			tmem_channels_reap(worker);
	}
	tmem_worker_say_farewell(worker);
	while (worker->channels != NULL) {
		struct tmem_channel *channel = worker->channels;

		worker->channels = channel->next;
		tmem_channel_close(worker, channel);
	}
	free_closed(worker);
	return NULL;
}
