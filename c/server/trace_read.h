/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reads a trace file, whatever has become of it, and runs it against an engine. */
#ifndef TMEM_TRACE_READ_H
#define TMEM_TRACE_READ_H

#include "trace_format.h"

/* A record, and where its page is. */
struct tmem_trace_operation {
	struct tmem_trace_record record;
	uint64_t page; /* 1 + its number in contents; 0: it has none */
};

/* What could be read of a file, in memory. */
struct tmem_trace {
	uint64_t operation_count;
	uint64_t page_count;
	uint64_t client_count;
	struct tmem_trace_operation *operations; /* by time; those of one client in their order */
	uint8_t *contents;
	struct tmem_trace_client *clients; /* by number */

	uint32_t flags; /* enum tmem_trace_flags */
	uint64_t started_ns;
	uint64_t duration_ns; /* of the newest record, when the end is missing */
	uint64_t file_bytes;
	uint64_t dropped; /* never written, as far as the file says */

	/* what is not sound */
	uint32_t ended;          /* zero: the end is missing */
	int32_t end_code;        /* why writing ended early */
	uint64_t missing_blocks; /* by their numbers */
	uint64_t damaged_blocks; /* whose contents are not what was written */
	uint64_t lost_records;   /* in these */
	uint64_t damaged_bytes;  /* that belong to no block */
	uint64_t bad_records;    /* passed over: no such operation */
	uint64_t nameless_clients;
};

/* Reads all of the file at @path into memory. 0, with what is not sound told in *@ret; or a
 * negative errno with @error filled in when there is nothing to be read. */
int tmem_trace_load(const char *path, struct tmem_trace **ret, struct tmem_error *error);
void tmem_trace_free(struct tmem_trace *trace); /* NULL is allowed */

struct tmem_replay_options {
	int32_t encoding;              /* enum tmem_encoding of all clients; -1: as recorded */
	uint32_t incompressible_bytes; /* of each page that is made up: random; the rest zeros */
};

struct tmem_replay_report {
	uint64_t gets;
	uint64_t gets_hit;
	uint64_t gets_hit_recorded; /* ... when they were recorded */
	uint64_t ahead_pages;
	uint64_t puts;
	uint64_t puts_done;
	uint64_t puts_done_recorded;
	uint64_t flushes;
	uint64_t pool_operations;
	uint64_t passed_over;   /* of the channel, or of pools that the trace does not explain */
	uint64_t made_up_pages; /* puts whose contents were not recorded */
	uint64_t get_ns;        /* in the engine, for all of them */
	uint64_t put_ns;
	uint64_t flush_ns;
};

/*
 * Runs the operations of @trace against @engine, one after the other, with clients of the names and
 * settings that were recorded; none of them may exist. Pages without contents are made up from the
 * handle: the same one has the same page. 0, or a negative errno with @error filled in.
 */
int tmem_trace_replay(struct tmem_engine *engine, const struct tmem_trace *trace,
		      const struct tmem_replay_options *options, struct tmem_replay_report *ret,
		      struct tmem_error *error);

#endif
