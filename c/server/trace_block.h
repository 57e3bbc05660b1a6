/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The blocks of a trace file: how large they are, and reading them: found again after damage,
 * checked, unpacked. */
#ifndef TMEM_TRACE_BLOCK_H
#define TMEM_TRACE_BLOCK_H

#include <stdbool.h>

#include "trace_read.h"

enum {
	TMEM_TRACE_RECORD_BYTES = sizeof(struct tmem_trace_record),
	TMEM_TRACE_RAW_MAX = TMEM_TRACE_BLOCK_RECORDS * TMEM_TRACE_RECORD_BYTES +
			     TMEM_TRACE_BLOCK_PAGES * TMEM_PAGE_BYTES,
};

/* A file, while what is in it is taken into @trace. */
struct tmem_trace_reading {
	struct tmem_trace *trace;
	const uint8_t *data;
	size_t bytes;
	uint64_t operation_room;
	uint64_t page_room;
	uint64_t blocks;
	uint64_t next_number; /* after the highest that was seen */
	uint8_t raw[TMEM_TRACE_RAW_MAX];
	bool named[TMEM_TRACE_CLIENTS_MAX];
};

/* Takes all blocks behind the header; what is not sound is told in the trace. 0 or -ENOMEM. */
int tmem_trace_take_blocks(struct tmem_trace_reading *reading);

#endif
