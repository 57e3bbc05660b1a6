/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Recovery of pages and of the contents they share. */
#include <stdlib.h>

#include "group.h"
#include "lists.h"
#include "ops.h"
#include "recover.h"
#include "slots.h"

static void clear(struct tmem_record *record)
{
	atomic_store_explicit(&record->commit, 0, memory_order_release);
}

static uint32_t stored_length(uint64_t commit)
{
	return tmem_commit_mark(commit) == TMEM_MARK_REFERENCE ? 0 : tmem_commit_length(commit);
}

static struct tmem_pool *pool_of(struct tmem_engine *engine, const struct tmem_record *record)
{
	struct tmem_pool *pool =
		record->pool < engine->pool_slots ? engine->pools[record->pool] : NULL;

	return pool == NULL || atomic_load(&pool->state) == TMEM_POOL_FREE ? NULL : pool;
}

/* Turns a page that is not to be taken back, but may be referred to, into bare contents. */
static uint64_t to_contents(struct tmem_record *record, uint64_t commit)
{
	commit = tmem_record_commit(record, TMEM_MARK_CONTENTS, tmem_commit_encoding(commit),
				    tmem_commit_length(commit));
	atomic_store_explicit(&record->commit, commit, memory_order_release);
	return commit;
}

static bool remember_loser(struct tmem_recovery_state *state, tmem_ref ref)
{
	if (state->loser_count == state->loser_room) {
		size_t room = state->loser_room * 2 + 64;
		tmem_ref *losers = realloc(state->losers, room * sizeof(*losers));

		if (losers == NULL)
			return false;
		state->losers = losers;
		state->loser_room = room;
	}
	state->losers[state->loser_count++] = ref;
	return true;
}

enum verdict { TAKE, DROP, NO_MEMORY };

/* Whether the page at @ref is the newest copy of its handle; an older one becomes a loser. */
static enum verdict judge_copy(struct tmem_recovery_state *state, const struct tmem_handle *handle,
			       const struct tmem_record *record)
{
	struct tmem_engine *engine = state->engine;
	tmem_ref other = tmem_page_find(engine, handle, record->epoch);

	if (other == TMEM_REF_NONE)
		return TAKE;
	if ((int16_t)(record->generation - tmem_ref_record(engine, other)->generation) <= 0)
		return DROP;
	return remember_loser(state, other) ? TAKE : NO_MEMORY;
}

static int take_page(struct tmem_recovery_state *state, tmem_ref ref, struct tmem_pool *pool)
{
	struct tmem_engine *engine = state->engine;
	struct tmem_record *record = tmem_ref_record(engine, ref);
	uint64_t commit = atomic_load(&record->commit);
	uint32_t age = (record->stamp - state->newest_stamp) & TMEM_STAMP_MASK;
	struct tmem_handle handle;
	enum verdict verdict;

	tmem_handle_of(engine, &handle, pool, record);
	tmem_lock(&handle.shard->lock);
	verdict = judge_copy(state, &handle, record);
	if (verdict == TAKE) {
		tmem_slot_adopt(engine, ref, stored_length(commit));
		tmem_page_link(engine, &handle, ref);
		tmem_list_adopt(engine, pool, ref, tmem_charge_bytes(tmem_commit_length(commit)));
		if (age < TMEM_STAMP_MASK / 2)
			state->newest_stamp = record->stamp & TMEM_STAMP_MASK;
		engine->recovery.pages++;
	}
	tmem_unlock(&handle.shard->lock);
	if (verdict == DROP) {
		engine->recovery.stale_records++;
		if (tmem_commit_mark(commit) == TMEM_MARK_SHARING)
			tmem_slot_adopt(engine, ref, stored_length(to_contents(record, commit)));
		else
			clear(record);
	}
	return verdict == NO_MEMORY ? -ENOMEM : 0;
}

static int take_record(struct tmem_recovery_state *state, tmem_ref ref)
{
	struct tmem_engine *engine = state->engine;
	struct tmem_record *record = tmem_ref_record(engine, ref);
	uint64_t commit = atomic_load_explicit(&record->commit, memory_order_relaxed);
	struct tmem_pool *pool;
	bool stale;

	if (commit == 0)
		return 0;
	if (!tmem_record_sound(record, commit, tmem_ref_extent(engine, ref)->class)) {
		engine->recovery.damaged_records++;
		clear(record);
		return 0;
	}
	pool = pool_of(engine, record);
	stale = pool == NULL || atomic_load(&pool->state) != TMEM_POOL_LIVE ||
		state->emptied[pool->number] ||
		record->epoch != (uint16_t)atomic_load(&pool->epoch);
	if (tmem_commit_mark(commit) != TMEM_MARK_PAGE)
		state->sharing = true;
	if (!stale && tmem_commit_mark(commit) != TMEM_MARK_CONTENTS)
		return take_page(state, ref, pool);
	if (pool == NULL || tmem_commit_mark(commit) == TMEM_MARK_PAGE ||
	    tmem_commit_mark(commit) == TMEM_MARK_REFERENCE) {
		engine->recovery.stale_records++;
		clear(record);
		return 0;
	}
	/* Contents, or a sharing page that goes: kept until the references are counted. */
	if (tmem_commit_mark(commit) == TMEM_MARK_SHARING) {
		engine->recovery.stale_records++;
		commit = to_contents(record, commit);
	}
	tmem_slot_adopt(engine, ref, stored_length(commit));
	return 0;
}

enum { FETCHED_AHEAD_RECORDS = 8 };

static int for_each_record(struct tmem_recovery_state *state,
			   int (*visit)(struct tmem_recovery_state *state, tmem_ref ref))
{
	struct tmem_engine *engine = state->engine;
	int code = 0;

	for (uint32_t i = 0; code == 0 && i < state->extent_count; i++) {
		uint32_t number = state->extents[i].number;
		uint32_t slots;

		/* An extent that became idle on the way has no records any more. */
		if (state->extents[i].class == TMEM_CLASS_ROW ||
		    engine->extents[number].free_map == NULL)
			continue;
		slots = engine->extents[number].slots;
		for (uint32_t slot = 0; code == 0 && slot < slots; slot++) {
			tmem_ref ref = number << TMEM_SLOT_BITS | slot;

			if (engine->extents[number].free_map == NULL)
				break;
			if (slot + FETCHED_AHEAD_RECORDS < slots)
				__builtin_prefetch(tmem_ref_record(engine, ref) +
						   FETCHED_AHEAD_RECORDS);
			code = visit(state, ref);
		}
	}
	return code;
}

/* Takes sharing pages and contents into the tables of their groups. */
static int enter_group(struct tmem_recovery_state *state, tmem_ref ref)
{
	struct tmem_engine *engine = state->engine;
	struct tmem_record *record = tmem_ref_record(engine, ref);
	uint64_t commit = atomic_load(&record->commit);
	uint8_t mark = tmem_commit_mark(commit);
	struct tmem_pool *pool;
	int code;

	if (commit == 0 || (mark != TMEM_MARK_SHARING && mark != TMEM_MARK_CONTENTS))
		return 0;
	pool = engine->pools[record->pool];
	code = tmem_group_adopt(engine, atomic_load(&pool->group), ref);
	if (code == -ENOMEM)
		return code;
	if (code == 0) {
		if (mark == TMEM_MARK_CONTENTS)
			atomic_fetch_add(&pool->orphans, 1);
	} else if (mark == TMEM_MARK_CONTENTS) {
		/* a copy left by a move */
		clear(record);
		tmem_slot_free(engine, ref, tmem_commit_length(commit));
	} else {
		atomic_store_explicit(&record->commit,
				      tmem_record_commit(record, TMEM_MARK_PAGE,
							 tmem_commit_encoding(commit),
							 tmem_commit_length(commit)),
				      memory_order_release);
	}
	return 0;
}

/* Counts a reference; one that leads nowhere, its contents having been damaged, goes. */
static int count_reference(struct tmem_recovery_state *state, tmem_ref ref)
{
	struct tmem_engine *engine = state->engine;
	struct tmem_record *record = tmem_ref_record(engine, ref);
	uint64_t commit = atomic_load(&record->commit);
	struct tmem_handle handle;
	struct tmem_pool *pool;

	if (commit == 0 || tmem_commit_mark(commit) != TMEM_MARK_REFERENCE)
		return 0;
	pool = engine->pools[record->pool];
	if (tmem_group_adopt_reference(engine, atomic_load(&pool->group), record->checksum,
				       tmem_pool_persistent(pool)))
		return 0;
	tmem_handle_of(engine, &handle, pool, record);
	tmem_lock(&handle.shard->lock);
	tmem_page_unlink(engine, &handle, ref);
	tmem_list_unlink(engine, pool, ref, tmem_charge_bytes(tmem_commit_length(commit)));
	clear(record);
	tmem_slot_free(engine, ref, 0);
	tmem_unlock(&handle.shard->lock);
	engine->recovery.pages--;
	engine->recovery.damaged_records++;
	return 0;
}

static int drop_unreferenced(struct tmem_recovery_state *state, tmem_ref ref)
{
	struct tmem_engine *engine = state->engine;
	const struct tmem_record *record = tmem_ref_record(engine, ref);
	uint64_t commit = atomic_load(&record->commit);

	if (commit != 0 && tmem_commit_mark(commit) == TMEM_MARK_CONTENTS)
		tmem_group_settle(engine, atomic_load(&engine->pools[record->pool]->group), ref);
	return 0;
}

static void drop_losers(struct tmem_recovery_state *state)
{
	struct tmem_engine *engine = state->engine;

	for (size_t i = 0; i < state->loser_count; i++) {
		const struct tmem_record *record = tmem_ref_record(engine, state->losers[i]);
		struct tmem_handle handle;

		tmem_handle_of(engine, &handle, engine->pools[record->pool], record);
		tmem_lock(&handle.shard->lock);
		tmem_page_remove(engine, &handle, state->losers[i]);
		tmem_unlock(&handle.shard->lock);
		engine->recovery.pages--;
		engine->recovery.stale_records++;
	}
}

int tmem_recover_pages(struct tmem_recovery_state *state)
{
	int code = for_each_record(state, take_record);

	if (code != 0)
		return code;
	for (uint32_t i = 0; i < state->extent_count; i++)
		if (state->extents[i].class != TMEM_CLASS_ROW)
			tmem_extent_settle(state->engine, state->extents[i].number);
	if (state->sharing) {
		code = for_each_record(state, enter_group);
		if (code == 0)
			code = for_each_record(state, count_reference);
	}
	if (code == 0)
		drop_losers(state);
	if (code == 0 && state->sharing)
		code = for_each_record(state, drop_unreferenced);
	return code;
}
