/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Making room: eviction of ephemeral pages, and compaction, which moves pages together. */
#ifndef TMEM_RECLAIM_H
#define TMEM_RECLAIM_H

#include "internal.h"

enum { TMEM_EVICTIONS_PER_PUT = 8 };

/*
 * A slot of @class (or a larger one) for @length_bytes, making room if need be. An ephemeral put
 * evicts TMEM_EVICTIONS_PER_PUT pages at most; a persistent one, and a row of the tables, whatever
 * it takes. @requester: whose put it is, NULL for a row. TMEM_REF_NONE with *@why = -ENOMEM (the
 * budget is used up and nothing could be evicted) or -ENOSPC (the host had no memory). Holds no
 * lock from owners on down.
 */
tmem_ref tmem_reclaim_slot(struct tmem_engine *engine, struct tmem_client *requester,
			   bool persistent, unsigned int class, uint32_t length_bytes, int *why);

/* Evicts pages charged to the owner of @pool until @bytes fit under its cap; for an ephemeral pool
 * TMEM_EVICTIONS_PER_PUT at most. */
void tmem_reclaim_for_cap(struct tmem_engine *engine, struct tmem_pool *pool, uint64_t bytes);

/* Evicts pages charged to @client until @bytes of charge are gone or nothing is left; returns the
 * bytes. */
uint64_t tmem_reclaim_client(struct tmem_engine *engine, struct tmem_client *client,
			     uint64_t bytes);

/* Evicts one page chosen by policy; while pages share their contents with others, as many as it
 * takes until some contents are freed. Returns how many went, 0 when there was none to be had. */
uint32_t tmem_evict_one(struct tmem_engine *engine, struct tmem_client *requester);

/*
 * Empties one sparse extent into others of its class; true if one became idle. Looks at the class
 * with the most free room, if that is an extent's worth; @eager: at every class.
 * Adds to *@moved_pages.
 */
bool tmem_compact_one(struct tmem_engine *engine, bool eager, uint64_t *moved_pages);

#endif
