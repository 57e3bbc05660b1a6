/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Slots: the places for records (and their contents) inside extents, by size class.
 *
 * A slot that is not free belongs to whoever allocated it; its record's commit word is zero until
 * the owner commits, and must be zero again before the slot is freed.
 */
#ifndef TMEM_SLOTS_H
#define TMEM_SLOTS_H

#include "internal.h"

void tmem_slots_init(struct tmem_engine *engine);
void tmem_slots_deinit(struct tmem_engine *engine);

/*
 * A free slot of @class for contents of @length_bytes, taking a new extent if the budget allows.
 * TMEM_REF_NONE with *@why = -ENOMEM (budget) or -ENOSPC (the host has no memory). Takes the class
 * lock.
 */
tmem_ref tmem_slot_alloc(struct tmem_engine *engine, unsigned int class, uint32_t length_bytes,
			 int *why);

/* The same, but only from extents the class has already. */
tmem_ref tmem_slot_alloc_existing(struct tmem_engine *engine, unsigned int class,
				  uint32_t length_bytes);

/* Frees @ref, which held @length_bytes of contents. An extent that becomes empty becomes idle,
 * unless it is closed. Takes the class lock. */
void tmem_slot_free(struct tmem_engine *engine, tmem_ref ref, uint32_t length_bytes);

/* Recovery: the record at @ref is live. No lock: recovery is alone. */
void tmem_slot_adopt(struct tmem_engine *engine, tmem_ref ref, uint32_t length_bytes);
/* Recovery: every live slot of @extent has been adopted; it joins its class, or becomes idle. */
void tmem_extent_settle(struct tmem_engine *engine, uint32_t extent);

/*
 * Closes the extent of @class that is cheapest to empty: the one with the fewest used slots, at
 * most @max_used, whose pages fit into the other extents of the class. No new slot comes from it
 * until it is idle or reopened. TMEM_REF_NONE when there is none. Takes the class lock.
 */
uint32_t tmem_extent_close_sparsest(struct tmem_engine *engine, unsigned int class,
				    uint32_t max_used);
/* Closes @extent; its class, or -1 if it is in no page class, or closed already. Takes the class
 * lock. */
int tmem_extent_close(struct tmem_engine *engine, uint32_t extent);

/* Ends what close or close_sparsest began: the extent becomes idle if it is empty (returns true),
 * else it is open again. */
bool tmem_extent_finish(struct tmem_engine *engine, unsigned int class, uint32_t extent);

#endif
