/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A trace that is run again: replay.c goes through it, replay_operation.c does each operation. */
#ifndef TMEM_TRACE_REPLAY_H
#define TMEM_TRACE_REPLAY_H

#include <stdbool.h>

#include "trace_read.h"

/* Pages are made up for so many operations at a time, when no clock runs. */
enum { TMEM_REPLAY_BATCH = 256 };

/* A pool of the trace, and what it is now. */
struct replay_pool {
	uint32_t recorded;
	uint32_t id;
	bool persistent;
};

struct replay_client {
	struct tmem_client *client;
	struct replay_pool *pools;
	uint32_t pool_count;
	uint32_t pool_room;
	uint32_t last; /* found */
};

struct replay {
	struct tmem_engine *engine;
	const struct tmem_trace *trace;
	const struct tmem_replay_options *options;
	struct tmem_replay_report *report;
	struct replay_client *clients;
	uint8_t *pages;                            /* of a batch */
	const uint8_t *page_of[TMEM_REPLAY_BATCH]; /* recorded, or made up */
};

/* An operation of pages, @page for a put: where its time belongs, NULL when it was passed over. */
uint64_t *tmem_replay_page(struct replay *replay, const struct tmem_trace_record *record,
			   const uint8_t *page);
/* Another one: 0, or -ENOMEM when there is no room for a pool. */
int tmem_replay_rest(struct replay *replay, struct replay_client *client,
		     const struct tmem_trace_record *record);

#endif
