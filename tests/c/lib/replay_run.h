/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Between the files of a replay. */
#ifndef TMEM_TEST_REPLAY_RUN_H
#define TMEM_TEST_REPLAY_RUN_H

#include "core.h"
#include "replay.h"

/* The page that everything is about, and one tick of the lease's clock. */
enum { INDEX = 100, SWAP_PAGES = 4096, TICK_MS = 1000, PATIENCE_TICKS = 100 };

/* T_giveup is one tick, and a little more, so that an echo may come between the two. */
enum { GIVEUP_MS = TICK_MS + TICK_MS / 2 };

extern const struct tmem_oid replay_oid;

struct node {
	uint32_t pool;
	struct tmem_shim_request get, flush, leave, store;
	bool getting, flushing, storing;
	bool flushed; /* invalidate_inode was called since the last write */
	int cached;   /* version in the page cache, 0: none */
	uint8_t page[TMEM_PAGE_BYTES], stored[TMEM_PAGE_BYTES];
};

struct replay {
	struct sim sim;
	struct trail trail;
	const struct plan *plan;
	bool mutant;
	struct node nodes[SIM_CLIENTS];
	int disk;
	bool swap, hit, failed_load;
	int version; /* of the last read */
	void *snapshot;
	uint64_t snapshot_bytes;
	void *area;
	uint8_t peeked[TMEM_PAGE_BYTES];
};

struct tmem_shim *replay_shim_of(struct replay *run, int number);
bool replay_finished(struct replay *run, int number, struct tmem_shim_request *request);
/* The node echoes now, with a token that is brand new. */
void replay_force_echo(struct replay *run, int number);
void replay_begin_get(struct replay *run, int number, uint64_t index);
/* The clock goes on. In the lease's scenarios the witness, guest 1, keeps its own lease alive. */
void replay_tick(struct replay *run, uint64_t ms);
/* ... and the shims notice. */
void replay_pass_time(struct replay *run, uint64_t ms);
/* The kernel of the node waits for the flush that it has begun. */
void replay_await_flush(struct replay *run, int number);
void replay_invalidate_inode(struct replay *run, int number);
void replay_flush_object(struct replay *run, int number);
/* Nothing more finds room. */
void replay_fill_queue(struct replay *run, int number);
void replay_read_page(struct replay *run, const struct trail_step *step);
void replay_guest_step(struct replay *run, const struct trail_step *step);
void replay_lock_step(struct replay *run, const struct trail_step *step);
void replay_host_step(struct replay *run, const struct trail_step *step);
void replay_channel_step(struct replay *run, const struct trail_step *step);

#endif
