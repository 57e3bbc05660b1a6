/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "session.h"

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
