/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "recover.h"

#include <stdlib.h>

#include "arena.h"
#include "slots.h"

int tmem_extents_read(struct tmem_backing *backing, const struct tmem_arena_header *header,
		      struct tmem_found_extent **ret, uint32_t *count, uint64_t *damaged)
{
	uint64_t offset = tmem_extents_offset_bytes(header);
	uint64_t end = backing->ops->end_bytes(backing);
	uint64_t extents = end > offset ? (end - offset) / header->extent_bytes : 0;
	uint64_t *words;
	int code;

	if (extents > header->max_extents)
		extents = header->max_extents;
	*count = 0;
	*damaged = 0;
	words = calloc(extents + 1, sizeof(*words));
	*ret = calloc(extents + 1, sizeof(**ret));
	if (words == NULL || *ret == NULL) {
		free(words);
		return -ENOMEM;
	}
	code = backing->ops->read(backing, words, TMEM_TABLE_OFFSET_BYTES,
				  extents * sizeof(*words));
	for (uint32_t number = 0; code == 0 && number < extents; number++) {
		uint64_t word = words[number];
		struct tmem_found_extent *found;
		int class;

		if (word == 0)
			continue;
		class = tmem_extent_class(number, word);
		if (class < 0) {
			/* The extent says itself what it is, too. */
			code = backing->ops->read(backing, &word,
						  offset + number * header->extent_bytes,
						  sizeof(word));
			class = word != 0 ? tmem_extent_class(number, word) : -1;
		}
		found = class < 0 ? &(*ret)[extents - ++*damaged] : &(*ret)[(*count)++];
		found->number = number;
		found->class = (uint32_t) class;
	}
	/* The damaged ones, put at the end, move up behind the sound ones. */
	memmove(*ret + *count, *ret + extents - *damaged, *damaged * sizeof(**ret));
	free(words);
	return code;
}

static int by_stamp(const void *a, const void *b)
{
	const struct tmem_found_extent *left = a;
	const struct tmem_found_extent *right = b;

	if (left->stamp != right->stamp)
		return left->stamp < right->stamp ? -1 : 1;
	return left->number < right->number ? -1 : 1;
}

/* Pages go to the ends of their pools' lists as they are found: oldest extents first. */
static void order_extents(struct tmem_recovery_state *state)
{
	struct tmem_engine *engine = state->engine;

	for (uint32_t i = 0; i < state->extent_count; i++) {
		struct tmem_found_extent *found = &state->extents[i];
		const struct tmem_record *record =
			tmem_ref_record(engine, found->number << TMEM_SLOT_BITS);

		found->stamp = found->class == TMEM_CLASS_ROW ? 0 : record->stamp & TMEM_STAMP_MASK;
	}
	qsort(state->extents, state->extent_count, sizeof(*state->extents), by_stamp);
}

/*
 * A sound arena has no holes where extents are. One that does was cut short, or its header was
 * changed: touching a hole is fatal when the file system is full. Looks at a run of neighbours from
 * *@at on, and moves *@at behind it.
 */
static int fill_holes(struct tmem_recovery_state *state, uint32_t *at)
{
	struct tmem_engine *engine = state->engine;
	uint64_t start = tmem_extent_offset_bytes(engine, state->extents[*at].number);
	uint64_t end = start;

	do {
		end += engine->header.extent_bytes;
		(*at)++;
	} while (*at < state->extent_count &&
		 tmem_extent_offset_bytes(engine, state->extents[*at].number) == end);
	if (engine->backing->ops->first_hole(engine->backing, start) >= end)
		return 0;
	return engine->backing->ops->reserve(engine->backing, start, end - start);
}

static int adopt_extents(struct tmem_recovery_state *state)
{
	struct tmem_engine *engine = state->engine;
	uint32_t highest = 0;
	int code = 0;

	for (uint32_t i = 0; code == 0 && i < state->extent_count; i++) {
		uint32_t number = state->extents[i].number;

		highest = number > highest ? number : highest;
		code = tmem_extent_adopt(engine, number, state->extents[i].class);
	}
	if (code == 0 && state->extent_count > 0)
		code = tmem_arena_reserve_table(engine, highest);
	/* Looking for holes costs half as much as recovery itself: only where bytes are missing. */
	if (atomic_load(&engine->resident_bytes) >
	    engine->backing->ops->held_bytes(engine->backing))
		for (uint32_t i = 0; code == 0 && i < state->extent_count;)
			code = fill_holes(state, &i);
	return code;
}

/* As if every slot held a page, and a quarter more, since objects do not spread evenly: what is too
 * much goes as pages do. */
static void presize_tables(struct tmem_recovery_state *state)
{
	struct tmem_engine *engine = state->engine;
	uint64_t slots = 0;

	for (uint32_t i = 0; i < state->extent_count; i++)
		if (state->extents[i].class != TMEM_CLASS_ROW)
			slots += engine->extents[state->extents[i].number].slots;
	slots += slots / 4;
	for (uint32_t i = 0; i < 1u << engine->shard_bits; i++)
		tmem_table_presize(engine, &engine->shards[i].pages,
				   (uint32_t)(slots >> engine->shard_bits));
}

/* What the table says of extents that could not be read, or are not in the file, is forgotten. */
static void forget_words(struct tmem_recovery_state *state)
{
	struct tmem_engine *engine = state->engine;

	for (uint64_t i = 0; i < engine->recovery.damaged_extents; i++)
		(void)tmem_arena_reserve_table(engine,
					       state->extents[state->extent_count + i].number);
	for (uint32_t number = 0; number < tmem_arena_extents(engine); number++)
		if ((engine->unreserved_map[number / 64] >> number % 64 & 1) != 0 &&
		    atomic_load(&engine->extent_table[number]) != 0)
			atomic_store(&engine->extent_table[number], 0);
}

int tmem_recover(struct tmem_engine *engine, struct tmem_error *error)
{
	struct tmem_recovery_state state = {.engine = engine};
	int code = tmem_extents_read(engine->backing, &engine->header, &state.extents,
				     &state.extent_count, &engine->recovery.damaged_extents);

	if (code == 0)
		code = adopt_extents(&state);
	if (code == 0)
		code = tmem_recover_rows(&state);
	if (code == 0) {
		order_extents(&state);
		presize_tables(&state);
		code = tmem_recover_pages(&state);
	}
	if (code == 0) {
		tmem_recover_end_pools(&state);
		forget_words(&state);

		tmem_arena_return_unused(engine);
		atomic_store(&engine->clock, (state.newest_stamp + 1) & TMEM_STAMP_MASK);
		engine->recovery.scrub_done = engine->recovery.pages == 0;
	} else {
		tmem_fail(error, code, "cannot recover the arena: %s", strerror(-code));
	}
	free(state.extents);
	tmem_sparse_free(state.emptied, TMEM_NUMBERS_MAX * sizeof(*state.emptied));
	free(state.losers);
	free(state.doomed_rows);
	return code;
}
