/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Moving pages: copy, commit, relink, clear the old record. At every instant one or both copies
 * are valid, and both are equal.
 */
#include "group.h"
#include "lists.h"
#include "ops.h"
#include "reclaim.h"
#include "slots.h"

/* The slots of the extent being emptied are not given out again (it is closed), so a record that
 * was committed keeps its bytes even if its page is removed meanwhile. */
static void copy_record(struct tmem_engine *engine, tmem_ref ref, tmem_ref to, uint64_t commit)
{
	struct tmem_record *from_record = tmem_ref_record(engine, ref);
	struct tmem_record *to_record = tmem_ref_record(engine, to);

	to_record->pool = from_record->pool;
	to_record->epoch = from_record->epoch;
	to_record->generation = from_record->generation;
	to_record->oid = from_record->oid;
	to_record->index = from_record->index;
	to_record->checksum = from_record->checksum;
	to_record->client = from_record->client;
	if (tmem_commit_mark(commit) != TMEM_MARK_REFERENCE)
		memcpy(tmem_ref_contents(engine, to), tmem_ref_contents(engine, ref),
		       tmem_commit_length(commit));
}

static uint32_t stored_length(uint64_t commit)
{
	return tmem_commit_mark(commit) == TMEM_MARK_REFERENCE ? 0 : tmem_commit_length(commit);
}

static bool move_page(struct tmem_engine *engine, tmem_ref ref, tmem_ref to, uint64_t commit)
{
	struct tmem_record *record = tmem_ref_record(engine, ref);
	struct tmem_pool *pool = engine->pools[record->pool];
	struct tmem_handle handle;
	bool moved = false;

	tmem_handle_of(engine, &handle, pool, record);
	tmem_lock(&handle.shard->lock);
	if (atomic_load_explicit(&record->commit, memory_order_acquire) != commit)
		goto out;
	if (tmem_commit_mark(commit) == TMEM_MARK_SHARING) {
		moved = tmem_group_move(engine, atomic_load(&pool->group), ref, to, commit);
		if (!moved)
			goto out;
	} else {
		atomic_store_explicit(&tmem_ref_record(engine, to)->commit, commit,
				      memory_order_release);
	}
	tmem_page_relink(engine, &handle, ref, to);
	tmem_list_relink(engine, pool, ref, to);
	atomic_store_explicit(&record->commit, 0, memory_order_release);
	moved = true;
out:
	tmem_unlock(&handle.shard->lock);
	return moved;
}

/* Moves what is in slot @ref to another extent of its class. False only if there is no slot. */
static bool move_slot(struct tmem_engine *engine, tmem_ref ref, uint64_t *moved_pages)
{
	struct tmem_record *record = tmem_ref_record(engine, ref);
	uint64_t commit = atomic_load_explicit(&record->commit, memory_order_acquire);
	unsigned int class = tmem_ref_extent(engine, ref)->class;
	bool moved;
	tmem_ref to;

	if (commit == 0)
		return true;
	to = tmem_slot_alloc_existing(engine, class, stored_length(commit));
	if (to == TMEM_REF_NONE)
		return false;
	copy_record(engine, ref, to, commit);
	if (tmem_commit_mark(commit) == TMEM_MARK_CONTENTS)
		moved = tmem_group_move(engine, atomic_load(&engine->pools[record->pool]->group),
					ref, to, commit);
	else
		moved = move_page(engine, ref, to, commit);
	tmem_slot_free(engine, moved ? ref : to, stored_length(commit));
	if (moved)
		(*moved_pages)++;
	return true;
}

static bool empty_extent(struct tmem_engine *engine, unsigned int class, uint32_t number,
			 uint64_t *moved_pages)
{
	uint32_t slots = engine->extents[number].slots;

	for (uint32_t slot = 0; slot < slots; slot++)
		if (!move_slot(engine, number << TMEM_SLOT_BITS | slot, moved_pages))
			break;
	return tmem_extent_finish(engine, class, number);
}

/* The class that gives back most: the one with the most bytes in free slots beyond an extent's
 * worth. TMEM_CLASSES when there is none. */
static unsigned int most_wasteful(struct tmem_engine *engine)
{
	unsigned int best = TMEM_CLASSES;
	uint64_t best_bytes = 0;

	for (unsigned int class = 0; class < TMEM_CLASS_ROW; class += 1) {
		uint32_t slots = tmem_class_slots(class, engine->header.extent_bytes);
		uint32_t free_slots = atomic_load_explicit(&engine->classes[class].free_slots,
							   memory_order_relaxed);
		uint64_t bytes =
			(uint64_t)free_slots * (TMEM_RECORD_BYTES + tmem_class_slot_bytes(class));

		if (free_slots >= slots && bytes > best_bytes) {
			best = class;
			best_bytes = bytes;
		}
	}
	return best;
}

static bool compact_class(struct tmem_engine *engine, unsigned int class, uint64_t *moved_pages)
{
	uint32_t number = tmem_extent_close_sparsest(engine, class, TMEM_SLOTS_MAX);

	return number != TMEM_REF_NONE && empty_extent(engine, class, number, moved_pages);
}

bool tmem_compact_one(struct tmem_engine *engine, bool eager, uint64_t *moved_pages)
{
	unsigned int class = most_wasteful(engine);

	if (class < TMEM_CLASSES && compact_class(engine, class, moved_pages))
		return true;
	for (class = 0; eager && class < TMEM_CLASS_ROW; class += 1)
		if (atomic_load_explicit(&engine->classes[class].free_slots, memory_order_relaxed) >
			    0 &&
		    compact_class(engine, class, moved_pages))
			return true;
	return false;
}
