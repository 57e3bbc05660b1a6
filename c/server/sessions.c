/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The sessions of all clients: found by name, made, taken over from an earlier process. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "session.h"
#include "worker.h"

static void free_session(struct tmem_session *session)
{
	free(session->joins);
	tmem_client_release(session->client);
	pthread_mutex_destroy(&session->lock);
	free(session);
}

void tmem_sessions_free(struct tmem_server *server)
{
	while (server->sessions != NULL) {
		struct tmem_session *session = server->sessions;

		server->sessions = session->next;
		free_session(session);
	}
}

/* Holds the server's lock, or no other thread is there yet. */
static struct tmem_session *by_name(struct tmem_server *server, const char *name)
{
	struct tmem_session *session = server->sessions;

	while (session != NULL && strcmp(session->name, name) != 0)
		session = session->next;
	return session;
}

struct tmem_session *tmem_session_first(struct tmem_server *server)
{
	struct tmem_session *first;

	pthread_mutex_lock(&server->lock);
	first = server->sessions;
	pthread_mutex_unlock(&server->lock);
	return first;
}

struct tmem_session *tmem_session_find(struct tmem_server *server, const char *name)
{
	struct tmem_session *session;

	pthread_mutex_lock(&server->lock);
	session = by_name(server, name);
	pthread_mutex_unlock(&server->lock);
	return session;
}

/* Takes over the reference @client. NULL when there is no memory. */
static struct tmem_session *add(struct tmem_server *server, struct tmem_client *client,
				int64_t slot, const struct tmem_state_session *durable,
				const struct tmem_state_progress *progress)
{
	struct tmem_session *session = calloc(1, sizeof(*session));

	if (session == NULL) {
		tmem_client_release(client);
		return NULL;
	}
	memcpy(session->name, durable->client, sizeof(session->name));
	session->server = server;
	session->client = client;
	session->slot = slot;
	session->durable = *durable;
	session->sharer.client = session->name;
	if (progress->session == durable->session)
		session->progress = *progress;
	session->progress.session = durable->session;
	atomic_store(&session->tag, session->progress.tag);
	atomic_store(&session->echo_ns, session->progress.echo_ns);
	pthread_mutex_init(&session->lock, NULL);
	if (server->worker_count != 0)
		session->worker = tmem_worker_of(server, server->next_worker++);
	session->next = server->sessions;
	server->sessions = session;
	return session;
}

static int find_or_create(struct tmem_engine *engine, const char *name, struct tmem_client **ret)
{
	int code;

	do {
		code = tmem_client_find(engine, name, ret);
		if (code == TMEM_ENOENT)
			code = tmem_client_create(engine, name, ret);
	} while (code == TMEM_EEXIST); /* somebody else just made it */
	return code;
}

static int make_locked(struct tmem_server *server, const char *name, struct tmem_session **ret,
		       struct tmem_error *error)
{
	const struct tmem_state_progress none = {0};
	struct tmem_state_session durable = {0};
	struct tmem_client *client;
	int64_t slot;
	int code = find_or_create(server->engine, name, &client);

	if (code != 0)
		return tmem_fail(error, code, "there can be no client %s: %s", name,
				 code == TMEM_EINVAL ? "a name is not empty" : strerror(-code));
	*ret = by_name(server, name);
	if (*ret != NULL) {
		tmem_client_release(client);
		return 0;
	}
	snprintf(durable.client, sizeof(durable.client), "%s", name);
	slot = tmem_state_add(server->state, &durable);
	if (slot < 0) {
		tmem_client_release(client);
		return tmem_fail(error, (int)slot, "client %s: no room in the state file: %s", name,
				 strerror((int)-slot));
	}
	*ret = add(server, client, slot, &durable, &none);
	return *ret != NULL ? 0 : tmem_fail(error, -ENOMEM, "client %s: out of memory", name);
}

int tmem_session_make(struct tmem_server *server, const char *name, struct tmem_session **ret,
		      struct tmem_error *error)
{
	int code;

	if (strnlen(name, TMEM_CLIENT_NAME_MAX + 1) > TMEM_CLIENT_NAME_MAX)
		return tmem_fail(error, TMEM_ENAMETOOLONG, "a client's name has at most %d bytes",
				 TMEM_CLIENT_NAME_MAX);
	pthread_mutex_lock(&server->lock);
	code = make_locked(server, name, ret, error);
	pthread_mutex_unlock(&server->lock);
	return code;
}

/* ---- what an earlier process left ------------------------------------------------------- */

/* The pools that it shares wait for it, as for every member. */
static int await(struct tmem_session *session, struct tmem_error *error)
{
	struct tmem_pool_info info;

	for (int64_t pool = -1; (pool = tmem_pool_next(session->client, pool)) >= 0;) {
		if (tmem_pool_info(session->client, (uint32_t)pool, &info) != 0 ||
		    !(info.flags & TMEM_POOL_SHARED))
			continue;
		if (tmem_session_join(session, (uint32_t)pool) != 0)
			return tmem_fail(error, -ENOMEM, "client %s: out of memory", session->name);
	}
	return 0;
}

static int load_slot(struct tmem_server *server, int64_t slot,
		     const struct tmem_state_session *durable,
		     const struct tmem_state_progress *progress, struct tmem_error *error)
{
	struct tmem_session *session;
	struct tmem_client *client;

	if (tmem_client_find(server->engine, durable->client, &client) != 0) {
		tmem_state_remove(server->state, slot);
		return 0;
	}
	session = add(server, client, slot, durable, progress);
	if (session == NULL)
		return tmem_fail(error, -ENOMEM, "client %s: out of memory", durable->client);
	if (durable->flags & TMEM_STATE_RESUMABLE)
		return await(session, error);
	/* The end may have been cut short. */
	tmem_session_end(session, 0, durable->flags);
	return 0;
}

/* A client without a session cannot come back to the shared pools that it was in. */
static void leave_shared(struct tmem_client *client)
{
	struct tmem_pool_info info;

	for (int64_t pool = -1; (pool = tmem_pool_next(client, pool)) >= 0;)
		if (tmem_pool_info(client, (uint32_t)pool, &info) == 0 &&
		    info.flags & TMEM_POOL_SHARED)
			(void)tmem_pool_destroy(client, (uint32_t)pool);
}

int tmem_sessions_load(struct tmem_server *server, struct tmem_error *error)
{
	struct tmem_state_progress progress;
	struct tmem_state_session durable;
	struct tmem_client_info info;
	struct tmem_client *client;
	int code = 0;

	for (int64_t slot = -1;
	     code == 0 && (slot = tmem_state_next(server->state, slot, &durable, &progress)) >= 0;)
		code = load_slot(server, slot, &durable, &progress, error);
	for (int64_t uid = -1; code == 0 && tmem_client_next(server->engine, uid, &client) == 0;) {
		tmem_client_info(client, &info);
		uid = info.uid;
		if (!info.resumed && by_name(server, info.name) == NULL)
			leave_shared(client);
		tmem_client_release(client);
	}
	return code;
}
