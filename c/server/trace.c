/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "trace.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "trace_write.h"
#include "worker.h"

enum { BUFFERS_A_WORKER = 4 };

struct trace_buffer {
	struct trace_buffer *next;
	uint64_t dropped; /* before its first record */
	uint32_t record_count;
	uint32_t page_count;
	uint16_t worker;
	struct tmem_trace_record *records;
	uint8_t *pages; /* NULL: contents are not recorded */
};

/* One worker's part; its thread's alone while it records. */
struct tmem_tracer {
	struct tmem_recording *recording;
	struct trace_buffer *buffer; /* NULL: none was free */
	uint64_t dropped;            /* since the last record */
	uint64_t last_ns;            /* the time of that: those of one worker differ */
	uint16_t worker;
};

struct new_client {
	struct new_client *next;
	struct tmem_trace_client client;
};

struct tmem_recording {
	struct tmem_trace_file file; /* the writing thread's */
	uint32_t flags;
	uint64_t generation;
	uint64_t start_ns;
	pthread_t thread;
	uint32_t worker_count;
	uint32_t buffer_count;
	struct tmem_tracer *tracers;
	struct trace_buffer *buffers;

	pthread_mutex_t lock; /* what follows */
	pthread_cond_t more;
	struct trace_buffer *free;
	struct trace_buffer *full;
	struct trace_buffer **last_full;
	struct new_client *clients; /* not yet written */
	struct new_client **last_client;
	bool ending;
	struct tmem_trace_status status;
};

/* ---- workers ---------------------------------------------------------------------------- */

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

static void begin_tracing(struct tmem_worker *worker, void *context)
{
	worker->tracer = context;
}

static void end_tracing(struct tmem_worker *worker, void *context)
{
	(void)context;
	if (worker->tracer->buffer != NULL)
		hand_over(worker->tracer);
	worker->tracer = NULL;
}

/* ---- the writing thread ----------------------------------------------------------------- */

static int write_clients(struct tmem_recording *recording, struct new_client *first)
{
	struct tmem_trace_client clients[TMEM_TRACE_BLOCK_CLIENTS];
	uint32_t count = 0;
	int code = 0;

	while (first != NULL) {
		struct new_client *next = first->next;

		clients[count++] = first->client;
		free(first);
		first = next;
		if (code == 0 && (count == TMEM_TRACE_BLOCK_CLIENTS || first == NULL)) {
			code = tmem_trace_file_clients(&recording->file, clients, count);
		}
		if (count == TMEM_TRACE_BLOCK_CLIENTS)
			count = 0;
	}
	return code;
}

static void fail(struct tmem_recording *recording, int code)
{
	struct tmem_trace_status *status = &recording->status;

	if (status->code != 0)
		return;
	status->code = code;
	if (code == -EFBIG)
		snprintf(status->message, sizeof(status->message),
			 "the file has reached its limit of %llu bytes; nothing more is written",
			 (unsigned long long)recording->file.max_bytes);
	else
		snprintf(status->message, sizeof(status->message),
			 "the file cannot be written any further: %s", strerror(-code));
}

static void *write_trace(void *context)
{
	struct tmem_recording *recording = context;
	struct tmem_trace_status *status = &recording->status;
	int code = 0;

	pthread_mutex_lock(&recording->lock);
	for (;;) {
		struct trace_buffer *buffer = recording->full;
		struct new_client *clients = recording->clients;

		if (buffer == NULL && recording->ending && clients == NULL)
			break;
		if (buffer == NULL && !recording->ending) {
			pthread_cond_wait(&recording->more, &recording->lock);
			continue;
		}
		recording->clients = NULL;
		recording->last_client = &recording->clients;
		if (buffer != NULL) {
			recording->full = buffer->next;
			if (recording->full == NULL)
				recording->last_full = &recording->full;
		}
		pthread_mutex_unlock(&recording->lock);
		if (clients != NULL) {
			int failed = write_clients(recording, clients);

			code = code != 0 ? code : failed;
		}
		if (code == 0 && buffer != NULL)
			code = tmem_trace_file_records(
				&recording->file, buffer->worker, buffer->dropped, buffer->records,
				buffer->record_count, buffer->pages, buffer->page_count);
		pthread_mutex_lock(&recording->lock);
		status->file_bytes = recording->file.bytes;
		if (code != 0)
			fail(recording, code);
		if (buffer == NULL)
			continue;
		if (code == 0)
			status->records += buffer->record_count;
		else
			status->dropped += buffer->record_count;
		buffer->next = recording->free;
		recording->free = buffer;
	}
	pthread_mutex_unlock(&recording->lock);
	return NULL;
}

/* ---- beginning and end ------------------------------------------------------------------ */

static void free_recording(struct tmem_recording *recording)
{
	for (uint32_t i = 0; recording->buffers != NULL && i < recording->buffer_count; i++) {
		free(recording->buffers[i].records);
		free(recording->buffers[i].pages);
	}
	pthread_cond_destroy(&recording->more);
	pthread_mutex_destroy(&recording->lock);
	free(recording->buffers);
	free(recording->tracers);
	free(recording);
}

static bool make_buffers(struct tmem_recording *recording)
{
	bool contents = recording->flags & TMEM_TRACE_CONTENTS;

	recording->buffers = calloc(recording->buffer_count, sizeof(*recording->buffers));
	recording->tracers = calloc(recording->worker_count, sizeof(*recording->tracers));
	if (recording->buffers == NULL || recording->tracers == NULL)
		return false;
	for (uint32_t i = 0; i < recording->buffer_count; i++) {
		struct trace_buffer *buffer = &recording->buffers[i];

		buffer->records = malloc(TMEM_TRACE_BLOCK_RECORDS * sizeof(*buffer->records));
		if (contents)
			buffer->pages = malloc((size_t)TMEM_TRACE_BLOCK_PAGES * TMEM_PAGE_BYTES);
		if (buffer->records == NULL || (contents && buffer->pages == NULL))
			return false;
		buffer->next = recording->free;
		recording->free = buffer;
	}
	for (uint32_t i = 0; i < recording->worker_count; i++) {
		recording->tracers[i].recording = recording;
		recording->tracers[i].worker = (uint16_t)i;
	}
	return true;
}

static int start_writing(struct tmem_recording *recording)
{
	sigset_t all, before;
	int code;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	code = pthread_create(&recording->thread, NULL, write_trace, recording);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (code == 0)
		(void)pthread_setname_np(recording->thread, "tmem-trace");
	return -code;
}

static int make_recording(struct tmem_server *server, const char *path, uint32_t flags,
			  uint64_t max_bytes, struct tmem_error *error)
{
	struct tmem_recording *recording = calloc(1, sizeof(*recording));
	int code;

	if (recording == NULL)
		return tmem_fail(error, -ENOMEM, "out of memory");
	pthread_mutex_init(&recording->lock, NULL);
	pthread_cond_init(&recording->more, NULL);
	recording->last_full = &recording->full;
	recording->last_client = &recording->clients;
	recording->flags = flags;
	recording->worker_count = server->worker_count;
	recording->buffer_count = BUFFERS_A_WORKER * server->worker_count;
	recording->generation = ++server->trace_generation;
	recording->start_ns = tmem_now_ns();
	recording->status.recording = 1;
	recording->status.flags = flags;
	code = make_buffers(recording) ? 0 : tmem_fail(error, -ENOMEM, "out of memory");
	if (code == 0)
		code = tmem_trace_file_create(&recording->file, path, flags, max_bytes, error);
	if (code != 0) {
		free_recording(recording);
		return code;
	}
	recording->status.file_bytes = recording->file.bytes;
	code = start_writing(recording);
	if (code != 0) {
		tmem_trace_file_close(&recording->file);
		free_recording(recording);
		return tmem_fail(error, code, "no thread to write a trace: %s", strerror(-code));
	}
	server->recording = recording;
	for (uint32_t i = 0; i < server->worker_count; i++)
		tmem_worker_do(&server->workers[i], begin_tracing, &recording->tracers[i]);
	atomic_store_explicit(&server->tracing, true, memory_order_relaxed);
	return 0;
}

int tmem_server_trace_start(struct tmem_server *server, const char *path, uint32_t flags,
			    uint64_t max_bytes, struct tmem_error *error)
{
	int code;

	if (flags & ~(uint32_t)TMEM_TRACE_CONTENTS || server->worker_count == 0)
		return tmem_fail(error, -EINVAL, "no such kind of trace");
	pthread_mutex_lock(&server->trace_lock);
	if (server->recording != NULL)
		code = tmem_fail(error, -EBUSY, "a trace is being recorded already");
	else
		code = make_recording(server, path, flags, max_bytes, error);
	pthread_mutex_unlock(&server->trace_lock);
	return code;
}

static void fill_status(struct tmem_recording *recording, struct tmem_trace_status *ret)
{
	pthread_mutex_lock(&recording->lock);
	*ret = recording->status;
	pthread_mutex_unlock(&recording->lock);
	ret->duration_ns = tmem_now_ns() - recording->start_ns;
}

void tmem_server_trace_status(struct tmem_server *server, struct tmem_trace_status *ret)
{
	pthread_mutex_lock(&server->trace_lock);
	if (server->recording != NULL)
		fill_status(server->recording, ret);
	else
		memset(ret, 0, sizeof(*ret));
	pthread_mutex_unlock(&server->trace_lock);
}

static void end_recording(struct tmem_server *server, struct tmem_trace_status *ret)
{
	struct tmem_recording *recording = server->recording;
	struct tmem_trace_end end;
	int code;

	atomic_store_explicit(&server->tracing, false, memory_order_relaxed);
	for (uint32_t i = 0; i < server->worker_count; i++)
		tmem_worker_do(&server->workers[i], end_tracing, NULL);
	pthread_mutex_lock(&recording->lock);
	recording->ending = true;
	pthread_cond_signal(&recording->more);
	pthread_mutex_unlock(&recording->lock);
	pthread_join(recording->thread, NULL);
	fill_status(recording, ret);
	end.records = ret->records;
	end.dropped = ret->dropped;
	end.duration_ns = ret->duration_ns;
	end.code = ret->code;
	code = tmem_trace_file_end(&recording->file, &end);
	if (code != 0) {
		fail(recording, code);
		fill_status(recording, ret);
	}
	ret->file_bytes = recording->file.bytes;
	ret->recording = 0;
	tmem_trace_file_close(&recording->file);
	free_recording(recording);
	server->recording = NULL;
}

int tmem_server_trace_stop(struct tmem_server *server, struct tmem_trace_status *ret)
{
	int code = -ENOENT;

	memset(ret, 0, sizeof(*ret));
	pthread_mutex_lock(&server->trace_lock);
	if (server->recording != NULL) {
		end_recording(server, ret);
		code = 0;
	}
	pthread_mutex_unlock(&server->trace_lock);
	return code;
}
