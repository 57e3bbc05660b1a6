/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A recording of what is served: what its workers (trace.c) and its writing thread (recording.c)
 * share. Buffers go from one to the other and back under the recording's lock.
 */
#ifndef TMEM_RECORDING_H
#define TMEM_RECORDING_H

#include "session.h"
#include "trace_write.h"

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

/* Given to a worker: @context is its tracer, which it fills from now on. */
void tmem_tracer_begin(struct tmem_worker *worker, void *context);
/* ... and it has none any more: what it had is handed over. */
void tmem_tracer_end(struct tmem_worker *worker, void *context);

#endif
