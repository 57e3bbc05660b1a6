/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Recording of what is served (tmem_server_trace_start).
 *
 * Each worker fills a buffer of its own; one thread writes full ones and gives them back. A worker
 * never waits: without a free buffer its records are dropped and counted. Buffers are handed over
 * under the recording's lock, a leaf that is not held while anything is written.
 */
#ifndef TMEM_TRACE_H
#define TMEM_TRACE_H

#include "session.h"

struct tmem_recording;

/* What became of a request. */
struct tmem_served {
	int status;
	uint32_t pool;  /* NEW_POOL: the id; GET: pages sent ahead */
	uint64_t index; /* NEW_POOL: flags granted */
};

static inline bool tmem_tracing(const struct tmem_session *session)
{
	return __builtin_expect(
		atomic_load_explicit(&session->server->tracing, memory_order_relaxed), 0);
}

/* The session's worker, while tmem_tracing: @request was served. @payload is that of a put or a
 * new pool, NULL without. */
void tmem_trace_request(struct tmem_session *session, const struct tmem_message *request,
			const void *payload, const struct tmem_served *served);

/* The same for START: a session was resumed or began. */
void tmem_trace_begins(struct tmem_session *session, const struct tmem_offer *offer);

#endif
