/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a session brings to its shared pools: joins, tokens and echoes, its lease. */
#include <stdlib.h>
#include <string.h>

#include "session.h"
#include "worker.h"

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

/* Whether it was not heard for T_expel since it last shared a pool. No timer looks for that, and it
 * is sticky as well: later echoes count for nothing, until a new mount starts the clock. */
static bool lapsed_outside(const struct tmem_session *session, uint64_t now_ns)
{
	return session->join_count == 0 && session->progress.echo_ns != 0 &&
	       now_ns >= session->progress.echo_ns + session->server->times.expel_ns;
}

static bool is_new_mount(const struct tmem_session *session, const uint8_t *uuid)
{
	for (uint32_t i = 0; i < session->new_mount_count; i++)
		if (memcmp(session->new_mounts[i], uuid, TMEM_UUID_BYTES) == 0)
			return true;
	return false;
}

bool tmem_session_may_rejoin(const struct tmem_session *session, const uint8_t *uuid,
			     uint64_t now_ns)
{
	bool stays_out =
		session->durable.flags & TMEM_STATE_STAYS_OUT && !is_new_mount(session, uuid);

	return !stays_out && !lapsed_outside(session, now_ns);
}

void tmem_session_new_mount(struct tmem_session *session, const uint8_t *uuid)
{
	if (session->new_mount_count == TMEM_NEW_MOUNTS || is_new_mount(session, uuid))
		return;
	memcpy(session->new_mounts[session->new_mount_count++], uuid, TMEM_UUID_BYTES);
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

void tmem_session_set_lease(struct tmem_session *session, uint64_t until_ns)
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

	if (time_ns == 0 || lapsed_outside(session, tmem_now_ns()))
		return false;
	if (time_ns <= session->progress.echo_ns && atomic_load(&session->sharer.until_ns) != 0)
		return true;
	if (time_ns > session->progress.echo_ns) {
		session->progress.echo_ns = time_ns;
		session->progress_changed = true;
	}
	tmem_session_set_lease(session, time_ns + session->server->times.lease_ns);
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

bool tmem_session_proves_age(struct tmem_session *session, uint64_t untrusted_token,
			     uint64_t now_ns)
{
	uint64_t time_ns = tmem_state_token_ns(session->server->state, untrusted_token);

	/* It says which of its echoes was confirmed; one that never came back to us was not. */
	if (time_ns == 0 || time_ns > session->progress.echo_ns)
		return false;
	return now_ns - time_ns < session->server->times.expel_ns;
}
