/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Writes a trace file block by block; one thread at a time. */
#ifndef TMEM_TRACE_WRITE_H
#define TMEM_TRACE_WRITE_H

#include <stddef.h>

#include "trace_format.h"

struct ZSTD_CCtx_s;

struct tmem_trace_file {
	int fd;
	uint64_t bytes;     /* written, whole blocks */
	uint64_t max_bytes; /* 0: any number */
	uint64_t number;    /* of the next block */
	struct ZSTD_CCtx_s *zstd;
	uint8_t *raw;
	uint8_t *stored;
	size_t stored_room;
};

/* Makes the file, which must not be there, with @max_bytes as its limit. 0 or a negative errno with
 * @error filled in; then nothing is left of it. */
int tmem_trace_file_create(struct tmem_trace_file *file, const char *path, uint32_t flags,
			   uint64_t max_bytes, struct tmem_error *error);

/*
 * Each appends one block: 0, or a negative errno (-EFBIG: beyond max_bytes), after which the file
 * ends where it ended before.
 */
int tmem_trace_file_records(struct tmem_trace_file *file, uint16_t worker, uint64_t dropped,
			    const struct tmem_trace_record *records, uint32_t record_count,
			    const uint8_t *pages, uint32_t page_count);
int tmem_trace_file_clients(struct tmem_trace_file *file, const struct tmem_trace_client *clients,
			    uint32_t client_count);
/* Room for this one is kept within max_bytes. */
int tmem_trace_file_end(struct tmem_trace_file *file, const struct tmem_trace_end *end);

void tmem_trace_file_close(struct tmem_trace_file *file);

#endif
