/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Recovery: rebuilds everything outside the arena from its rows and records.
 *
 * It only clears what is dead or damaged, one commit word at a time, so a kill during recovery
 * leaves an arena that recovers to the same. Nobody else uses the engine meanwhile.
 */
#ifndef TMEM_RECOVER_H
#define TMEM_RECOVER_H

#include "internal.h"

/* An extent in use, as the extent table (or the extent itself) says. */
struct tmem_found_extent {
	uint32_t number;
	uint32_t class;
	uint32_t stamp; /* of its first page */
};

struct tmem_recovery_state {
	struct tmem_engine *engine;
	struct tmem_found_extent *extents;
	uint32_t extent_count;
	bool *emptied;         /* by pool number: none of its pages is to be taken back */
	tmem_ref *doomed_rows; /* of members without a client: cleared last */
	uint32_t doomed_count;
	tmem_ref *losers; /* pages that a newer copy replaced */
	size_t loser_count;
	size_t loser_room;
	bool sharing; /* some record shares contents */
	uint32_t newest_stamp;
};

/* 0 or -ENOMEM. */
int tmem_recover(struct tmem_engine *engine, struct tmem_error *error);

/* The parts: rows first (recover_rows.c), then pages. 0 or -ENOMEM. */
int tmem_recover_rows(struct tmem_recovery_state *state);
int tmem_recover_pages(struct tmem_recovery_state *state);
/* Pools that turned out to have no members are ended, and rows of members that are gone. */
void tmem_recover_end_pools(struct tmem_recovery_state *state);

/* Reads the extent table of the arena behind @backing into *@ret (allocated; to be freed by the
 * caller): @count extents in use, and behind them @damaged ones whose class cannot be told. 0 or a
 * negative errno. */
int tmem_extents_read(struct tmem_backing *backing, const struct tmem_arena_header *header,
		      struct tmem_found_extent **ret, uint32_t *count, uint64_t *damaged);

#endif
