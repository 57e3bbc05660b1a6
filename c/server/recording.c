/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "recording.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "worker.h"

enum { BUFFERS_A_WORKER = 4 };

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
		tmem_worker_do(&server->workers[i], tmem_tracer_begin, &recording->tracers[i]);
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
		tmem_worker_do(&server->workers[i], tmem_tracer_end, NULL);
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
