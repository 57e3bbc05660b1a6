/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Scrubbing: verifying stored pages before anybody asks for them, extent by extent, in the order in
 * which they lie in memory.
 *
 * An extent is closed meanwhile, so that no slot of it is written again: what a record said when it
 * was found committed stays in its place, and nobody has to be locked out while that is verified.
 * Only what looks damaged is looked at again, under the lock, before it is dropped.
 */
#include "arena.h"
#include "codec.h"
#include "group.h"
#include "lists.h"
#include "ops.h"
#include "slots.h"

static bool sound(struct tmem_engine *engine, const struct tmem_record *record, uint64_t commit,
		  const void *contents)
{
	struct tmem_group *group = atomic_load(&engine->pools[record->pool]->group);
	char page[TMEM_PAGE_BYTES];

	if (tmem_commit_mark(commit) == TMEM_MARK_REFERENCE)
		return tmem_group_read(engine, group, record->checksum, page);
	return tmem_verify(contents, tmem_commit_length(commit), tmem_commit_encoding(commit),
			   record->checksum, group->secret);
}

/* The page at @ref looked damaged: drops it if it is still there and is. */
static void drop_damaged(struct tmem_engine *engine, tmem_ref ref, uint64_t commit)
{
	const struct tmem_record *record = tmem_ref_record(engine, ref);
	struct tmem_pool *pool = engine->pools[record->pool];
	struct tmem_handle handle;

	tmem_handle_of(engine, &handle, pool, record);
	tmem_lock(&handle.shard->lock);
	if (atomic_load_explicit(&record->commit, memory_order_acquire) == commit &&
	    !sound(engine, record, commit, tmem_ref_contents(engine, ref))) {
		tmem_page_remove(engine, &handle, ref);
		atomic_fetch_add(&pool->scrub_damaged, 1);
		engine->recovery.scrub_damaged_pages++;
	}
	tmem_unlock(&handle.shard->lock);
}

/* Bare contents are verified through the pages that refer to them. */
static bool holds_page(uint64_t commit)
{
	return commit != 0 && tmem_commit_mark(commit) != TMEM_MARK_CONTENTS;
}

static uint64_t scrub_closed(struct tmem_engine *engine, uint32_t number)
{
	uint32_t slots = engine->extents[number].slots;
	uint64_t pages = 0;

	engine->backing->ops->fetch(engine->backing, tmem_extent_offset_bytes(engine, number),
				    engine->header.extent_bytes);
	for (uint32_t slot = 0; slot < slots; slot++) {
		tmem_ref ref = number << TMEM_SLOT_BITS | slot;
		const struct tmem_record *record = tmem_ref_record(engine, ref);
		uint64_t commit = atomic_load_explicit(&record->commit, memory_order_acquire);

		if (!holds_page(commit))
			continue;
		pages++;
		if (!sound(engine, record, commit, tmem_ref_contents(engine, ref)))
			drop_damaged(engine, ref, commit);
	}
	return pages;
}

static uint64_t scrub_extent(struct tmem_engine *engine, uint32_t number)
{
	int class = tmem_extent_close(engine, number);
	uint64_t pages;

	if (class < 0)
		return 0;
	pages = scrub_closed(engine, number);
	tmem_extent_finish(engine, (unsigned int)class, number);
	return pages;
}

uint64_t tmem_engine_scrub(struct tmem_engine *engine, uint64_t max_pages)
{
	uint32_t extents = tmem_arena_extents(engine);
	uint64_t pages = 0;

	tmem_lock(&engine->scrub_lock);
	while (pages < max_pages && engine->scrub_extent < extents)
		pages += scrub_extent(engine, engine->scrub_extent++);
	engine->recovery.scrubbed_pages += pages;
	if (engine->scrub_extent >= extents) {
		engine->recovery.scrub_done = 1;
		/* Having said that it is through, the next call starts over. */
		if (pages == 0 && max_pages > 0)
			engine->scrub_extent = 0;
	}
	tmem_unlock(&engine->scrub_lock);
	return pages;
}
