/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "session.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "connection.h"
#include "worker.h"

static uint64_t random_number(void)
{
	uint64_t number;

	if (getrandom(&number, sizeof(number), 0) != sizeof(number))
		abort(); /* cannot be: 8 bytes are never short */
	return number;
}

static void set_durable(struct tmem_session *session, const struct tmem_state_session *durable)
{
	pthread_mutex_lock(&session->lock);
	session->durable = *durable;
	session->durable.since_ns = tmem_now_ns();
	pthread_mutex_unlock(&session->lock);
	tmem_state_set_session(session->server->state, session->slot, &session->durable);
}

static void set_flags(struct tmem_session *session, uint32_t set, uint32_t clear)
{
	struct tmem_state_session durable = session->durable;

	durable.flags = (durable.flags & ~clear) | set;
	set_durable(session, &durable);
}

bool tmem_session_has_client(struct tmem_session *session)
{
	struct tmem_client *found;

	if (tmem_client_find(session->server->engine, session->name, &found) != 0)
		return false;
	if (found == session->client) {
		tmem_client_release(found);
		return true;
	}
	/* Another client of the same name: what the old one had is gone with it. */
	if (session->client != NULL && session->durable.flags & TMEM_STATE_RESUMABLE)
		tmem_session_end(session, TMEM_ENODEV, TMEM_STATE_LOST);
	tmem_client_release(session->client);
	session->client = found;
	return true;
}

/* ---- progress --------------------------------------------------------------------------- */

void tmem_session_write_progress(struct tmem_session *session)
{
	if (!session->progress_changed)
		return;
	session->progress_changed = false;
	tmem_state_set_progress(session->server->state, session->slot, &session->progress);
	atomic_store_explicit(&session->tag, session->progress.tag, memory_order_relaxed);
	atomic_store_explicit(&session->echo_ns, session->progress.echo_ns, memory_order_relaxed);
}

/* ---- beginning -------------------------------------------------------------------------- */

static bool may_resume(struct tmem_session *session, const struct tmem_hello *hello, bool proven)
{
	return session->durable.flags & TMEM_STATE_RESUMABLE &&
	       !(session->durable.flags & TMEM_STATE_REWOUND) &&
	       hello->session == session->durable.session && (session->join_count == 0 || proven);
}

/* Its persistent pages are still what it thinks they are, if it is the guest that put them. */
static bool pages_are_right(struct tmem_session *session, const struct tmem_hello *hello)
{
	const struct tmem_state_session *durable = &session->durable;

	if (durable->flags & (TMEM_STATE_REWOUND | TMEM_STATE_LOST))
		return false;
	/* A guest that was put back names a session that is over. So does one that never learned
	 * of its newest session, in which therefore nothing has happened. */
	return hello->session == 0 || hello->session == durable->session ||
	       (hello->session == durable->before && session->progress.tag == 0);
}

void tmem_session_offer(struct tmem_session *session, const struct tmem_hello *hello,
			struct tmem_offer *ret)
{
	uint64_t now_ns = tmem_now_ns();
	const struct tmem_state_session *durable = &session->durable;
	bool same_boot, proven, exists;

	(void)tmem_session_lapsed(session, now_ns);
	exists = tmem_session_has_client(session);
	same_boot = durable->epoch != 0 &&
		    memcmp(durable->boot_id, hello->boot_id, TMEM_BOOT_ID_BYTES) == 0;
	memset(ret, 0, sizeof(*ret));
	ret->hello = *hello;
	ret->generation = session->generation;
	ret->same_boot = same_boot;
	if (durable->flags & TMEM_STATE_REMOVED || !exists) {
		ret->verdict = TMEM_ENODEV;
		return;
	}
	if (hello->session != 0 && (!same_boot || durable->flags & TMEM_STATE_LOST)) {
		ret->verdict = TMEM_EUCLEAN;
		return;
	}
	proven = tmem_session_proves_age(session, hello->token, now_ns);
	ret->key = random_number();
	if (same_boot && may_resume(session, hello, proven)) {
		ret->verdict = TMEM_VERDICT_RESUME;
		ret->session = durable->session;
		ret->epoch = durable->epoch;
		ret->tag = session->progress.tag;
		ret->rejoin = !(durable->flags & TMEM_STATE_STAYS_OUT);
		return;
	}
	ret->verdict = TMEM_VERDICT_NEW_EPOCH;
	do {
		ret->session = (uint32_t)random_number();
	} while (ret->session == 0 || ret->session == durable->session ||
		 ret->session == durable->before);
	ret->epoch = durable->epoch + 1;
	ret->rejoin = !same_boot || (proven && !(durable->flags & TMEM_STATE_EXPELLED));
	ret->pools_kept = same_boot && pages_are_right(session, hello);
}

static void attach(struct tmem_session *session, struct tmem_connection *connection)
{
	if (session->active != NULL && session->active != connection)
		tmem_connection_bye(session->active, TMEM_ECONNRESET);
	session->active = connection;
	session->generation++;
	atomic_store(&session->connected, 1);
}

static int resume(struct tmem_session *session, const struct tmem_offer *offer,
		  struct tmem_connection *connection, uint32_t untrusted_tag,
		  uint64_t untrusted_digest)
{
	if (untrusted_tag != session->progress.tag)
		return TMEM_EILSEQ;
	if (untrusted_digest != session->progress.chain) {
		session->generation++;
		set_flags(session, TMEM_STATE_REWOUND, 0);
		tmem_events_post(&session->server->events, &session->rate, TMEM_EVENT_BAD_INPUT,
				 TMEM_ESTALE, session->name,
				 "START: what it has sent under tag %u is not what was received: "
				 "the guest was put back to an earlier moment",
				 untrusted_tag);
		return TMEM_ESTALE;
	}
	if (tmem_client_resume(session->client) != 0)
		return TMEM_EILSEQ;
	attach(session, connection);
	set_flags(session, 0, 0);
	tmem_events_post(&session->server->events, &session->rate, TMEM_EVENT_SESSION_RESUMED, 0,
			 session->name, "session %u goes on behind tag %u, epoch %llu",
			 offer->session, untrusted_tag, (unsigned long long)offer->epoch);
	return TMEM_DONE;
}

static void end_pools(struct tmem_session *session, bool persistent_too)
{
	struct tmem_pool_info info;

	tmem_session_set_lease(session, 0);
	for (int64_t pool = -1; (pool = tmem_pool_next(session->client, pool)) >= 0;) {
		if (tmem_pool_info(session->client, (uint32_t)pool, &info) != 0)
			continue;
		if (info.flags & TMEM_POOL_PERSISTENT && !persistent_too)
			continue;
		(void)tmem_pool_destroy(session->client, (uint32_t)pool);
		tmem_session_left(session, (uint32_t)pool);
	}
	/* those of a client that was destroyed */
	while (session->join_count != 0)
		tmem_session_left(session, session->joins[0].pool);
}

static int begin_epoch(struct tmem_session *session, const struct tmem_offer *offer,
		       struct tmem_connection *connection)
{
	struct tmem_state_session durable = session->durable;

	/* What is durable is first that the old session is over: half of it is never resumed. */
	set_flags(session, 0, TMEM_STATE_RESUMABLE);
	end_pools(session, !offer->pools_kept);
	if (tmem_client_resume(session->client) != 0)
		return TMEM_EILSEQ;
	session->progress = (struct tmem_state_progress){
		.session = offer->session,
		.echo_ns = offer->same_boot ? session->progress.echo_ns : 0,
	};
	session->progress_changed = true;
	session->new_mount_count = 0;
	tmem_session_write_progress(session);
	memcpy(durable.boot_id, offer->hello.boot_id, TMEM_BOOT_ID_BYTES);
	memcpy(durable.implementation, offer->hello.implementation, TMEM_IMPLEMENTATION_BYTES);
	durable.session = offer->session;
	durable.before = (uint32_t)offer->hello.session;
	durable.epoch = offer->epoch;
	durable.flags = TMEM_STATE_RESUMABLE | (offer->rejoin ? 0 : TMEM_STATE_STAYS_OUT);
	set_durable(session, &durable);
	attach(session, connection);
	tmem_events_post(&session->server->events, &session->rate, TMEM_EVENT_SESSION_STARTED, 0,
			 session->name, "session %u, epoch %llu, persistent pools %s",
			 offer->session, (unsigned long long)offer->epoch,
			 offer->pools_kept ? "kept" : "given up");
	return TMEM_DONE;
}

int tmem_session_start(struct tmem_session *session, const struct tmem_offer *offer,
		       struct tmem_connection *connection, uint32_t untrusted_tag,
		       uint64_t untrusted_digest)
{
	uint64_t now_ns = tmem_now_ns();

	/* HELLO was a while ago: whatever was true then must still be. */
	(void)tmem_session_lapsed(session, now_ns);
	if (offer->generation != session->generation || !tmem_session_has_client(session))
		return TMEM_EILSEQ;
	if (offer->verdict == TMEM_VERDICT_RESUME) {
		if (session->join_count != 0 &&
		    !tmem_session_proves_age(session, offer->hello.token, now_ns))
			return TMEM_EILSEQ;
		return resume(session, offer, connection, untrusted_tag, untrusted_digest);
	}
	if (untrusted_tag != 0)
		return TMEM_EILSEQ;
	if (offer->rejoin && offer->same_boot &&
	    !tmem_session_proves_age(session, offer->hello.token, now_ns))
		return TMEM_EILSEQ;
	return begin_epoch(session, offer, connection);
}

/* ---- ending ----------------------------------------------------------------------------- */

void tmem_session_detach(struct tmem_session *session)
{
	session->active = NULL;
	atomic_store(&session->connected, 0);
	set_flags(session, 0, 0);
}

void tmem_session_end(struct tmem_session *session, int reason, uint32_t flags)
{
	bool had_session = (session->durable.flags & TMEM_STATE_RESUMABLE) != 0;
	struct tmem_connection *connection = session->active;

	session->generation++;
	tmem_session_write_progress(session);
	set_flags(session, flags, TMEM_STATE_RESUMABLE);
	if (connection != NULL && reason != 0)
		tmem_connection_bye(connection, reason);
	session->active = NULL;
	atomic_store(&session->connected, 0);
	end_pools(session, (flags & TMEM_STATE_LOST) != 0);
	if (had_session)
		tmem_events_post(&session->server->events, reason == 0 ? &session->rate : NULL,
				 TMEM_EVENT_SESSION_ENDED, reason, session->name,
				 "session %u ended, last tag %u", session->durable.session,
				 session->progress.tag);
}

void tmem_session_comes_back(struct tmem_session *session)
{
	if (session->durable.flags & TMEM_STATE_REMOVED)
		set_flags(session, 0, TMEM_STATE_REMOVED);
}
