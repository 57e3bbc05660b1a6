/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The arena's extents: reserving them from the host, giving them a size class, returning them.
 *
 * An extent is unreserved (no memory), idle (memory, no class, its table word is zero) or in a
 * class (its table word and its own header name the class). Every change of state is one store of
 * the table word, made when the extent's bytes are already right for it.
 */
#ifndef TMEM_ARENA_H
#define TMEM_ARENA_H

#include "internal.h"

/* Opens or formats the arena and maps it. On failure nothing is left open. */
int tmem_arena_open(struct tmem_engine *engine, const char *path,
		    const struct tmem_options *options, struct tmem_error *error);
void tmem_arena_close(struct tmem_engine *engine);

/*
 * Takes an idle extent, or reserves one within the budget, and gives it @class: links, free map
 * and an empty record area. Returns 0 and its number, -ENOMEM (budget), -ENOSPC (the host has no
 * memory). Takes the arena lock.
 */
int tmem_extent_take(struct tmem_engine *engine, unsigned int class, uint32_t *ret);

/* Takes over an extent that the extent table says is in @class (recovery). 0 or -ENOMEM. */
int tmem_extent_adopt(struct tmem_engine *engine, uint32_t extent, unsigned int class);

/* Makes the words of the extent table up to that of @extent safe to touch. Recovery, or with the
 * arena lock. 0 or a negative errno. */
int tmem_arena_reserve_table(struct tmem_engine *engine, uint32_t extent);

/* Frees what is kept of an extent outside the arena. */
void tmem_extent_forget(struct tmem_engine *engine, struct tmem_extent *extent);

/* Makes an extent whose slots are all free idle. Takes the arena lock. */
void tmem_extent_release(struct tmem_engine *engine, uint32_t extent);

/* Gives up to @bytes (rounded up to extents) of idle extents back to the host; returns how many
 * bytes. Takes the arena lock. */
uint64_t tmem_arena_return_idle(struct tmem_engine *engine, uint64_t bytes);

/* One more than the number of the highest extent that may be in a class. */
uint32_t tmem_arena_extents(struct tmem_engine *engine);

/* After recovery: returns to the host whatever no extent in use covers. */
void tmem_arena_return_unused(struct tmem_engine *engine);

/* Whether another extent may be reserved without exceeding the budget, or is idle. */
bool tmem_arena_has_room(struct tmem_engine *engine);

/* Reads the header, or its second copy if the first is damaged (*@first_damaged). 0 or a negative
 * errno with a sentence. */
int tmem_header_read(struct tmem_backing *backing, struct tmem_arena_header *ret,
		     uint32_t *first_damaged, struct tmem_error *error);

static inline uint64_t tmem_round_up(uint64_t bytes, uint64_t unit)
{
	return (bytes + unit - 1) / unit * unit;
}

static inline uint64_t tmem_extent_offset_bytes(const struct tmem_engine *engine, uint32_t extent)
{
	return engine->extents_offset_bytes + extent * engine->header.extent_bytes;
}

#endif
