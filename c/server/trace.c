/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "trace.h"

#include <stdlib.h>
#include <string.h>

#include "recording.h"
#include "worker.h"

static void hand_over(struct tmem_tracer *tracer)
{
	struct tmem_recording *recording = tracer->recording;
	struct trace_buffer *buffer = tracer->buffer;

	tracer->buffer = NULL;
	buffer->next = NULL;
	pthread_mutex_lock(&recording->lock);
	*recording->last_full = buffer;
	recording->last_full = &buffer->next;
	pthread_cond_signal(&recording->more);
	pthread_mutex_unlock(&recording->lock);
}

static void take_buffer(struct tmem_tracer *tracer)
{
	struct tmem_recording *recording = tracer->recording;
	struct trace_buffer *buffer;

	pthread_mutex_lock(&recording->lock);
	buffer = recording->free;
	if (buffer != NULL)
		recording->free = buffer->next;
	else
		recording->status.dropped++;
	pthread_mutex_unlock(&recording->lock);
	if (buffer == NULL) {
		tracer->dropped++;
		return;
	}
	buffer->worker = tracer->worker;
	buffer->dropped = tracer->dropped;
	buffer->record_count = 0;
	buffer->page_count = 0;
	tracer->dropped = 0;
	tracer->buffer = buffer;
}

/* Whether @record, with @page if there is one, was taken. */
static bool add(struct tmem_tracer *tracer, struct tmem_session *session,
		struct tmem_trace_record *record, const void *page)
{
	struct trace_buffer *buffer = tracer->buffer;

	if (buffer != NULL && (buffer->record_count == TMEM_TRACE_BLOCK_RECORDS ||
			       buffer->page_count == TMEM_TRACE_BLOCK_PAGES))
		hand_over(tracer);
	if (tracer->buffer == NULL)
		take_buffer(tracer);
	buffer = tracer->buffer;
	if (buffer == NULL)
		return false;
	if (page != NULL && buffer->pages != NULL) {
		record->flags |= TMEM_TRACE_HAS_PAGE;
		memcpy(buffer->pages + (size_t)buffer->page_count * TMEM_PAGE_BYTES, page,
		       TMEM_PAGE_BYTES);
		buffer->page_count++;
	}
	record->client = session->trace_client;
	record->time_ns = tmem_now_ns() - tracer->recording->start_ns;
	if (record->time_ns <= tracer->last_ns)
		record->time_ns = tracer->last_ns + 1;
	tracer->last_ns = record->time_ns;
	buffer->records[buffer->record_count++] = *record;
	return true;
}

static void drop(struct tmem_tracer *tracer)
{
	tracer->dropped++;
	pthread_mutex_lock(&tracer->recording->lock);
	tracer->recording->status.dropped++;
	pthread_mutex_unlock(&tracer->recording->lock);
}

/* Gives the client a number: false when there is none for it. */
static bool number_client(struct tmem_tracer *tracer, struct tmem_session *session)
{
	struct tmem_recording *recording = tracer->recording;
	struct new_client *made = calloc(1, sizeof(*made));
	struct tmem_client_info info;
	bool room;

	if (made == NULL)
		return false;
	tmem_client_info(session->client, &info);
	made->client.name_bytes = (uint32_t)strlen(session->name);
	memcpy(made->client.name, session->name, made->client.name_bytes);
	made->client.cap_bytes = info.settings.cap_bytes;
	made->client.persistent_quota_bytes = info.settings.persistent_quota_bytes;
	made->client.weight = info.settings.weight;
	made->client.trust_group = info.settings.trust_group;
	made->client.encoding = info.settings.encoding;
	made->client.zstd_level = info.settings.zstd_level;
	made->client.dedup = info.settings.dedup;
	made->client.frozen = info.settings.frozen;
	pthread_mutex_lock(&recording->lock);
	room = recording->status.clients < TMEM_TRACE_CLIENTS_MAX;
	if (room) {
		made->client.number = recording->status.clients++;
		session->trace_client = (uint16_t)made->client.number;
		*recording->last_client = made;
		recording->last_client = &made->next;
	}
	pthread_mutex_unlock(&recording->lock);
	if (!room)
		free(made);
	return room;
}

/* The pools that the client has now, so that what is done to them is understood; not the one that
 * was made just now. */
static bool record_pools(struct tmem_tracer *tracer, struct tmem_session *session, int64_t made)
{
	struct tmem_pool_info info;

	for (int64_t id = tmem_pool_next(session->client, -1); id >= 0;
	     id = tmem_pool_next(session->client, id)) {
		struct tmem_trace_record record = {
			.op = TMEM_TRACE_OP_POOL,
			.pool = (uint32_t)id,
			.result = TMEM_DONE,
		};

		if (id == made || tmem_pool_info(session->client, (uint32_t)id, &info) != 0)
			continue;
		record.index = info.flags | TMEM_ABI_VERSION << TMEM_POOL_VERSION_SHIFT;
		memcpy(record.oid.words, info.uuid, TMEM_UUID_BYTES);
		record.oid.words[2] = info.flags;
		if (!add(tracer, session, &record, NULL))
			return false;
	}
	return true;
}

static bool introduce(struct tmem_tracer *tracer, struct tmem_session *session, int64_t made)
{
	uint64_t generation = tracer->recording->generation;

	if (__builtin_expect(session->trace_introduced == generation, 1))
		return true;
	if (session->trace_generation != generation && !number_client(tracer, session)) {
		drop(tracer);
		return false;
	}
	session->trace_generation = generation;
	if (!record_pools(tracer, session, made)) {
		drop(tracer);
		return false;
	}
	session->trace_introduced = generation;
	return true;
}

static struct tmem_tracer *tracer_of(const struct tmem_session *session)
{
	return session->worker != NULL ? session->worker->tracer : NULL;
}

void tmem_trace_request(struct tmem_session *session, const struct tmem_message *request,
			const void *payload, const struct tmem_served *served)
{
	struct tmem_tracer *tracer = tracer_of(session);
	struct tmem_trace_record record = {
		.index = request->index,
		.oid = request->oid,
		.pool = request->pool,
		.count = request->status,
		.result = (int16_t)served->status,
		.op = request->op,
	};

	if (tracer == NULL ||
	    !introduce(tracer, session,
		       request->op == TMEM_OP_NEW_POOL ? (int64_t)served->pool : -1))
		return;
	if (request->op == TMEM_OP_GET_PAGE) {
		record.ahead = served->pool;
		record.flags = request->flags & TMEM_WIRE_PRESENCE ? TMEM_TRACE_PRESENCE : 0;
	} else if (request->op == TMEM_OP_NEW_POOL) {
		record.pool = served->pool;
		record.flags = request->flags & TMEM_WIRE_NEW_MOUNT ? TMEM_TRACE_NEW_MOUNT : 0;
		memset(&record.oid, 0, sizeof(record.oid));
		if (payload != NULL)
			memcpy(record.oid.words, payload, TMEM_UUID_BYTES);
		record.oid.words[2] = served->index;
	}
	(void)add(tracer, session, &record, request->op == TMEM_OP_PUT_PAGE ? payload : NULL);
}

void tmem_trace_begins(struct tmem_session *session, const struct tmem_offer *offer)
{
	struct tmem_tracer *tracer = tracer_of(session);
	struct tmem_trace_record record = {
		.op = TMEM_OP_START,
		.result = (int16_t)offer->verdict,
		.flags = offer->pools_kept ? TMEM_TRACE_POOLS_KEPT : 0,
	};

	if (tracer != NULL && introduce(tracer, session, -1))
		(void)add(tracer, session, &record, NULL);
}

void tmem_tracer_begin(struct tmem_worker *worker, void *context)
{
	worker->tracer = context;
}

void tmem_tracer_end(struct tmem_worker *worker, void *context)
{
	(void)context;
	if (worker->tracer->buffer != NULL)
		hand_over(worker->tracer);
	worker->tracer = NULL;
}
