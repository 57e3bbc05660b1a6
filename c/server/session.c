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

/* ---- shared pools ----------------------------------------------------------------------- */

static struct tmem_join *find_join(struct tmem_session *session, uint32_t untrusted_pool)
{
	uint32_t low = 0, high = session->join_count;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (session->joins[middle].pool == untrusted_pool)
			return &session->joins[middle];
		if (session->joins[middle].pool < untrusted_pool)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

bool tmem_session_served(struct tmem_session *session, uint32_t untrusted_pool)
{
	const struct tmem_join *join =
		session->join_count != 0 ? find_join(session, untrusted_pool) : NULL;

	return join == NULL || tmem_share_served(join->share, tmem_now_ns());
}

static bool room_for_join(struct tmem_session *session)
{
	uint32_t room = session->join_room != 0 ? 2 * session->join_room : 4;
	struct tmem_join *joins;

	if (session->join_count < session->join_room)
		return true;
	joins = realloc(session->joins, room * sizeof(*joins));
	if (joins == NULL)
		return false;
	session->joins = joins;
	session->join_room = room;
	return true;
}

int tmem_session_join(struct tmem_session *session, uint32_t pool)
{
	struct tmem_pool_info info;
	struct tmem_share *share;
	uint32_t at = session->join_count;

	if (tmem_pool_info(session->client, pool, &info) != 0 || !room_for_join(session))
		return TMEM_ENOMEM;
	share = tmem_share_join(&session->server->shares, info.uuid, &session->sharer);
	if (share == NULL)
		return TMEM_ENOMEM;
	for (; at > 0 && session->joins[at - 1].pool > pool; at--)
		session->joins[at] = session->joins[at - 1];
	session->joins[at] = (struct tmem_join){.pool = pool, .share = share};
	session->join_count++;
	atomic_store(&session->shared_pools, session->join_count);
	tmem_worker_has_sharer(session->worker);
	return 0;
}

void tmem_session_left(struct tmem_session *session, uint32_t untrusted_pool)
{
	struct tmem_join *join = find_join(session, untrusted_pool);

	if (join == NULL)
		return;
	tmem_share_leave(&session->server->shares, join->share, &session->sharer);
	session->join_count--;
	memmove(join, join + 1,
		(size_t)(session->joins + session->join_count - join) * sizeof(*join));
	atomic_store(&session->shared_pools, session->join_count);
}

void tmem_session_start_clock(struct tmem_session *session)
{
	uint64_t behind_ns = tmem_now_ns() - session->server->times.lease_ns;

	if (session->join_count != 0 || session->progress.echo_ns >= behind_ns)
		return;
	session->progress.echo_ns = behind_ns;
	session->progress_changed = true;
	tmem_session_write_progress(session);
}

static void set_lease(struct tmem_session *session, uint64_t until_ns)
{
	atomic_store(&session->sharer.until_ns, until_ns);
	for (uint32_t i = 0; i < session->join_count; i++)
		tmem_share_update(&session->server->shares, session->joins[i].share);
}

/* ---- tokens and echoes ------------------------------------------------------------------ */

uint64_t tmem_session_token(struct tmem_session *session, uint64_t now_ns)
{
	session->token_sent =
		tmem_state_token(session->server->state, now_ns,
				 session->server->times.lease_ns / TMEM_TOKENS_A_LEASE);
	return session->token_sent;
}

bool tmem_session_echo(struct tmem_session *session, uint64_t untrusted_token)
{
	uint64_t time_ns = tmem_state_token_ns(session->server->state, untrusted_token);

	if (time_ns == 0)
		return false;
	if (time_ns <= session->progress.echo_ns && atomic_load(&session->sharer.until_ns) != 0)
		return true;
	if (time_ns > session->progress.echo_ns) {
		session->progress.echo_ns = time_ns;
		session->progress_changed = true;
	}
	set_lease(session, time_ns + session->server->times.lease_ns);
	return true;
}

uint64_t tmem_session_lapses_ns(const struct tmem_session *session)
{
	if (session->join_count == 0)
		return UINT64_MAX;
	return session->progress.echo_ns + session->server->times.expel_ns;
}

bool tmem_session_lapsed(struct tmem_session *session, uint64_t now_ns)
{
	if (now_ns < tmem_session_lapses_ns(session))
		return false;
	tmem_events_post(&session->server->events, NULL, TMEM_EVENT_EXPELLED, TMEM_ETIMEDOUT,
			 session->name, "no echo for %llu ms: out of %u shared pools, now empty",
			 (unsigned long long)((now_ns - session->progress.echo_ns) / 1000000),
			 session->join_count);
	tmem_session_end(session, TMEM_ETIMEDOUT, TMEM_STATE_EXPELLED);
	return true;
}

/* Whether the guest can prove that it was heard less than T_expel ago (R-a). */
static bool proves_age(struct tmem_session *session, uint64_t untrusted_token, uint64_t now_ns)
{
	uint64_t time_ns = tmem_state_token_ns(session->server->state, untrusted_token);

	/* It says which of its echoes was confirmed; one that never came back to us was not. */
	if (time_ns == 0 || time_ns > session->progress.echo_ns)
		return false;
	return now_ns - time_ns < session->server->times.expel_ns;
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
	proven = proves_age(session, hello->token, now_ns);
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

	set_lease(session, 0);
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
		if (session->join_count != 0 && !proves_age(session, offer->hello.token, now_ns))
			return TMEM_EILSEQ;
		return resume(session, offer, connection, untrusted_tag, untrusted_digest);
	}
	if (untrusted_tag != 0)
		return TMEM_EILSEQ;
	if (offer->rejoin && offer->same_boot && !proves_age(session, offer->hello.token, now_ns))
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

/* ---- for others ------------------------------------------------------------------------- */

static uint32_t state_of(struct tmem_session *session, uint32_t flags)
{
	if (flags & TMEM_STATE_RESUMABLE)
		return atomic_load(&session->connected) ? TMEM_SESSION_ACTIVE
							: TMEM_SESSION_AWAITED;
	return flags & TMEM_STATE_EXPELLED ? TMEM_SESSION_EXPELLED : TMEM_SESSION_NONE;
}

void tmem_session_fill_info(struct tmem_session *session, struct tmem_session_info *ret)
{
	const struct tmem_session_counters *counters = &session->counters;
	struct tmem_state_session durable;
	uint64_t echo_ns = atomic_load(&session->echo_ns);
	uint64_t now_ns = tmem_now_ns();

	pthread_mutex_lock(&session->lock);
	durable = session->durable;
	pthread_mutex_unlock(&session->lock);
	memset(ret, 0, sizeof(*ret));
	memcpy(ret->client, session->name, sizeof(ret->client));
	ret->state = state_of(session, durable.flags);
	ret->session = durable.flags & TMEM_STATE_RESUMABLE ? durable.session : 0;
	ret->epoch = durable.epoch;
	memcpy(ret->boot_id, durable.boot_id, sizeof(ret->boot_id));
	memcpy(ret->implementation, durable.implementation, sizeof(ret->implementation));
	ret->tag = atomic_load(&session->tag);
	ret->shared_pools = atomic_load(&session->shared_pools);
	ret->since_ns = durable.since_ns;
	ret->echo_age_ns = echo_ns == 0 ? UINT64_MAX : now_ns > echo_ns ? now_ns - echo_ns : 0;
	ret->bytes_in = atomic_load(&counters->bytes_in);
	ret->bytes_out = atomic_load(&counters->bytes_out);
	ret->requests = atomic_load(&counters->requests);
	ret->turns = atomic_load(&counters->turns);
	ret->most_turn_requests = atomic_load(&counters->most_turn_requests);
	ret->most_waited_requests = atomic_load(&counters->most_waited_requests);
	ret->reply_writes = atomic_load(&counters->reply_writes);
	ret->damaged_streams = atomic_load(&counters->damaged_streams);
	ret->refused_messages = atomic_load(&counters->refused_messages);
	ret->stalled_ns = atomic_load(&counters->stalled_ns);
	ret->unserved_gets = atomic_load(&counters->unserved_gets);
	ret->presence_bitmaps = atomic_load(&counters->presence_bitmaps);
	ret->ahead_pages = atomic_load(&counters->ahead_pages);
	ret->buffered_bytes = atomic_load(&counters->buffered_bytes);
}
