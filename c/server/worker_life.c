/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How a worker begins and ends. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "channel.h"

enum { EVENTS_MIN = 64, NS_PER_MS = 1000000, FAREWELL_TICK_MS = 5 };

int tmem_worker_init(struct tmem_worker *worker, struct tmem_server *server)
{
	worker->watch = TMEM_WATCH_WAKE;
	worker->server = server;
	worker->last_waiting = &worker->first_waiting;
	worker->next_tick_ns = UINT64_MAX;
	worker->next_retry_ns = UINT64_MAX;
	worker->event_room = EVENTS_MIN;
	pthread_mutex_init(&worker->lock, NULL);
	pthread_cond_init(&worker->done, NULL);
	worker->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	worker->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (worker->epoll_fd < 0 || worker->wake_fd < 0)
		return -errno;
	worker->in = aligned_alloc(64, TMEM_SERVER_TURN_BYTES);
	worker->out = aligned_alloc(64, TMEM_TURN_OUT_ROOM);
	worker->events = calloc(worker->event_room, sizeof(*worker->events));
	if (worker->in == NULL || worker->out == NULL || worker->events == NULL)
		return -ENOMEM;
	return tmem_worker_watch(worker, EPOLL_CTL_ADD, worker->wake_fd, EPOLLIN, worker);
}

int tmem_worker_start(struct tmem_worker *worker, uint32_t number)
{
	sigset_t all, before;
	char name[16];
	int code;

	/* Signals are for the threads of the program that we are part of. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	code = pthread_create(&worker->thread, NULL, tmem_worker_run, worker);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (code != 0)
		return -code;
	worker->started = true;
	snprintf(name, sizeof(name), "tmem-worker-%u", number % 100);
	(void)pthread_setname_np(worker->thread, name);
	return 0;
}

void tmem_worker_join(struct tmem_worker *worker)
{
	if (worker->started)
		pthread_join(worker->thread, NULL);
	worker->started = false;
}

void tmem_worker_deinit(struct tmem_worker *worker)
{
	if (worker->server == NULL)
		return;
	if (worker->epoll_fd >= 0)
		close(worker->epoll_fd);
	if (worker->wake_fd >= 0)
		close(worker->wake_fd);
	free(worker->in);
	free(worker->out);
	free(worker->events);
	pthread_cond_destroy(&worker->done);
	pthread_mutex_destroy(&worker->lock);
}

/* ---- the end ---------------------------------------------------------------------------- */

static bool any_unsent(struct tmem_worker *worker)
{
	bool unsent = false;

	for (struct tmem_channel *channel = worker->channels; channel != NULL;
	     channel = channel->next) {
		struct tmem_socket *next;

		for (struct tmem_socket *socket = channel->sockets; socket != NULL; socket = next) {
			next = socket->next;
			if (tmem_socket_send_unsent(worker, socket) &&
			    socket->connection.unsent != NULL)
				unsent = true;
		}
	}
	return unsent;
}

void tmem_worker_say_farewell(struct tmem_worker *worker)
{
	uint64_t until_ns = tmem_now_ns() + (uint64_t)worker->patience_ms * NS_PER_MS;

	for (struct tmem_channel *channel = worker->channels; channel != NULL;
	     channel = channel->next) {
		struct tmem_session *session = channel->session;

		if (session->active == NULL)
			continue;
		tmem_connection_bye(session->active, TMEM_ESHUTDOWN);
		tmem_session_detach(session);
	}
	while (any_unsent(worker) && tmem_now_ns() < until_ns)
		(void)epoll_wait(worker->epoll_fd, worker->events, (int)worker->event_room,
				 FAREWELL_TICK_MS);
}

static void set_stopping(struct tmem_worker *worker, void *context)
{
	worker->patience_ms = *(const uint32_t *)context;
	worker->stopping = true;
}

void tmem_worker_stop(struct tmem_worker *worker, uint32_t patience_ms)
{
	if (worker->started)
		tmem_worker_do(worker, set_stopping, &patience_ms);
}
