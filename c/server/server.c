/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "server.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "channel.h"
#include "error.h"

enum {
	LEASE_MS = 1000,
	EXPEL_LEASES = 2,
	GIVEUP_LEASES = 4,
	PROCESSORS_A_WORKER = 2,
	WORKERS_MAX = 256,
	NS_PER_MS = 1000000,
};

static int check_options(const struct tmem_server_options *options, struct tmem_times *times,
			 struct tmem_error *error)
{
	uint32_t lease_ms = options->lease_ms != 0 ? options->lease_ms : LEASE_MS;
	uint32_t expel_ms = options->expel_ms != 0 ? options->expel_ms : EXPEL_LEASES * lease_ms;
	uint64_t giveup_ms =
		options->giveup_ms != 0 ? options->giveup_ms : (uint64_t)GIVEUP_LEASES * lease_ms;

	if (options->workers > WORKERS_MAX)
		return tmem_fail(error, -EINVAL, "%u workers: at most %d", options->workers,
				 WORKERS_MAX);
	if (lease_ms > LEASE_MS)
		return tmem_fail(error, -EINVAL, "a lease of %u ms: at most %d", lease_ms,
				 LEASE_MS);
	if (expel_ms < lease_ms)
		return tmem_fail(error, -EINVAL,
				 "expelling after %u ms, which is less than the lease of %u ms",
				 expel_ms, lease_ms);
	if (expel_ms > (uint64_t)TMEM_EXPEL_LEASES_MAX * lease_ms)
		return tmem_fail(error, -EINVAL,
				 "expelling after %u ms: at most %d leases of %u ms", expel_ms,
				 TMEM_EXPEL_LEASES_MAX, lease_ms);
	if (giveup_ms < (uint64_t)GIVEUP_LEASES * lease_ms)
		return tmem_fail(error, -EINVAL,
				 "giving up after %llu ms: at least %d leases of %u ms",
				 (unsigned long long)giveup_ms, GIVEUP_LEASES, lease_ms);
	times->lease_ns = (uint64_t)lease_ms * NS_PER_MS;
	times->expel_ns = (uint64_t)expel_ms * NS_PER_MS;
	times->giveup_ns = giveup_ms * NS_PER_MS;
	return 0;
}

static uint32_t count_workers(const struct tmem_server_options *options)
{
	long processors = sysconf(_SC_NPROCESSORS_ONLN);

	if (options->workers != 0)
		return options->workers;
	return processors > PROCESSORS_A_WORKER ? (uint32_t)(processors / PROCESSORS_A_WORKER) : 1;
}

void tmem_server_free(struct tmem_server *server)
{
	tmem_sessions_free(server);
	for (uint32_t i = 0; i < server->worker_count; i++)
		tmem_worker_deinit(&server->workers[i]);
	free(server->workers);
	tmem_shares_deinit(&server->shares);
	tmem_events_deinit(&server->events);
	tmem_state_close(server->state);
	pthread_mutex_destroy(&server->trace_lock);
	pthread_mutex_destroy(&server->lock);
	free(server);
}

static int make_workers(struct tmem_server *server, uint32_t count)
{
	int code = 0;

	server->workers = calloc(count, sizeof(*server->workers));
	if (server->workers == NULL)
		return -ENOMEM;
	server->worker_count = count;
	for (uint32_t i = 0; i < count && code == 0; i++)
		code = tmem_worker_init(&server->workers[i], server);
	return code;
}

int tmem_server_make(struct tmem_engine *engine, const char *state_path,
		     const struct tmem_server_options *options, bool threads,
		     struct tmem_server **ret, struct tmem_error *error)
{
	uint8_t identity[TMEM_IDENTITY_BYTES];
	struct tmem_server *server = calloc(1, sizeof(*server));
	int code;

	if (server == NULL)
		return tmem_fail(error, -ENOMEM, "out of memory");
	server->engine = engine;
	pthread_mutex_init(&server->lock, NULL);
	pthread_mutex_init(&server->trace_lock, NULL);
	tmem_shares_init(&server->shares);
	code = check_options(options, &server->times, error);
	if (code == 0 && tmem_events_init(&server->events) != 0)
		code = tmem_fail(error, -ENOMEM, "out of memory");
	if (code == 0) {
		tmem_engine_identity(engine, identity);
		code = tmem_state_open(state_path, identity, &server->state, error);
	}
	if (code == 0 && threads) {
		code = make_workers(server, count_workers(options));
		if (code != 0)
			(void)tmem_fail(error, code, "the workers: %s", strerror(-code));
	}
	if (code == 0)
		code = tmem_sessions_load(server, error);
	if (code != 0) {
		tmem_server_free(server);
		return code;
	}
	*ret = server;
	return 0;
}

int tmem_server_start(struct tmem_engine *engine, const char *state_path,
		      const struct tmem_server_options *options, struct tmem_server **ret,
		      struct tmem_error *error)
{
	struct tmem_server *server;
	int code = tmem_server_make(engine, state_path, options, true, &server, error);

	if (code != 0)
		return code;
	for (uint32_t i = 0; i < server->worker_count; i++) {
		code = tmem_worker_start(&server->workers[i], i);
		if (code != 0) {
			tmem_server_stop(server, 0);
			return tmem_fail(error, code, "no thread for a worker: %s",
					 strerror(-code));
		}
	}
	*ret = server;
	return 0;
}

void tmem_server_stop(struct tmem_server *server, uint32_t patience_ms)
{
	struct tmem_trace_status trace;

	(void)tmem_server_trace_stop(server, &trace);
	for (uint32_t i = 0; i < server->worker_count; i++)
		tmem_worker_stop(&server->workers[i], patience_ms);
	for (uint32_t i = 0; i < server->worker_count; i++)
		tmem_worker_join(&server->workers[i]);
	tmem_events_wake(&server->events);
	tmem_server_free(server);
}

/* ---- sessions --------------------------------------------------------------------------- */

struct ending {
	struct tmem_session *session;
	int reason;
	int code;
};

static void end_session(struct tmem_worker *worker, void *context)
{
	struct ending *ending = context;
	struct tmem_session *session = ending->session;
	uint32_t flags = 0;

	(void)worker;
	switch (ending->reason) {
	case TMEM_ESTALE:
		flags = TMEM_STATE_REWOUND;
		break;
	case TMEM_EUCLEAN:
		flags = TMEM_STATE_LOST;
		break;
	case TMEM_ENODEV:
		flags = TMEM_STATE_REMOVED;
		break;
	default:
		break;
	}
	/* A client without a session may still have pages that are to be kept from it. */
	if (!(session->durable.flags & TMEM_STATE_RESUMABLE) &&
	    (flags == 0 || session->durable.epoch == 0)) {
		ending->code = TMEM_ENOENT;
		return;
	}
	tmem_session_end(session, ending->reason, flags);
	tmem_session_send_byes(session);
}

int tmem_server_end_session(struct tmem_server *server, const char *client, int reason)
{
	struct ending ending = {.session = tmem_session_find(server, client), .reason = reason};

	if (reason != TMEM_ECONNRESET && reason != TMEM_ESTALE && reason != TMEM_EUCLEAN &&
	    reason != TMEM_ENODEV)
		return TMEM_EINVAL;
	if (ending.session == NULL)
		return TMEM_ENOENT;
	tmem_worker_do(ending.session->worker, end_session, &ending);
	return ending.code;
}

int tmem_server_session(struct tmem_server *server, const char *client,
			struct tmem_session_info *ret)
{
	struct tmem_session *session = tmem_session_find(server, client);

	if (session == NULL)
		return TMEM_ENOENT;
	tmem_session_fill_info(session, ret);
	return 0;
}

int tmem_server_waited_for(struct tmem_server *server, const uint8_t *uuid, char *waited_for,
			   uint32_t max)
{
	return tmem_shares_waited_for(&server->shares, uuid, tmem_now_ns(), waited_for, max);
}

int tmem_server_next_event(struct tmem_server *server, uint32_t timeout_ms, struct tmem_event *ret)
{
	return tmem_events_next(&server->events, timeout_ms, ret);
}
