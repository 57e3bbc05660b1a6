/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Scrubbing: verifying stored pages before anybody asks for them, extent by extent, in the order in
 * which they lie in memory.
 *
 * An extent is closed meanwhile, so that what a committed record says does not change. Contents are
 * read through the backing rather than the mapping: that costs one system call for many pages
 * instead of a page fault for a few, and nobody has to be locked out while they are verified. Only
 * what looks damaged is looked at again, under the lock, before it is dropped.
 */
#include <stdlib.h>

#include "arena.h"
#include "codec.h"
#include "group.h"
#include "lists.h"
#include "ops.h"
#include "slots.h"

enum { READ_BYTES = 64 << 10 };

struct scrub {
	struct tmem_engine *engine;
	struct tmem_record records[TMEM_SLOTS_MAX];
	char contents[READ_BYTES];
};

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

/* Slots @first to @first + @count, whose contents have been read. Bare contents are verified
 * through the pages that refer to them. */
static uint64_t scrub_slots(struct scrub *scrub, uint32_t number, uint32_t first, uint32_t count)
{
	uint32_t slot_bytes = scrub->engine->extents[number].slot_bytes;
	uint64_t pages = 0;

	for (uint32_t slot = first; slot < first + count; slot++) {
		const struct tmem_record *record = &scrub->records[slot];
		uint64_t commit = atomic_load_explicit(&record->commit, memory_order_relaxed);

		if (commit == 0 || tmem_commit_mark(commit) == TMEM_MARK_CONTENTS)
			continue;
		pages++;
		if (!sound(scrub->engine, record, commit,
			   scrub->contents + (slot - first) * slot_bytes))
			drop_damaged(scrub->engine, number << TMEM_SLOT_BITS | slot, commit);
	}
	return pages;
}

static uint64_t scrub_closed(struct scrub *scrub, uint32_t number)
{
	struct tmem_engine *engine = scrub->engine;
	const struct tmem_extent *extent = &engine->extents[number];
	uint64_t offset = tmem_extent_offset_bytes(engine, number);
	uint32_t step = extent->slot_bytes > 0 ? READ_BYTES / extent->slot_bytes : TMEM_SLOTS_MAX;
	uint64_t pages = 0;

	if (engine->backing->ops->read(engine->backing, scrub->records,
				       offset + TMEM_EXTENT_HEADER_BYTES,
				       extent->slots * sizeof(struct tmem_record)) != 0)
		return 0;
	for (uint32_t first = 0; first < extent->slots; first += step) {
		uint32_t count = extent->slots - first < step ? extent->slots - first : step;

		if (engine->backing->ops->read(engine->backing, scrub->contents,
					       offset + extent->contents_offset +
						       first * extent->slot_bytes,
					       count * extent->slot_bytes) != 0)
			return pages;
		pages += scrub_slots(scrub, number, first, count);
	}
	return pages;
}

static uint64_t scrub_extent(struct scrub *scrub, uint32_t number)
{
	int class = tmem_extent_close(scrub->engine, number);
	uint64_t pages;

	if (class < 0)
		return 0;
	pages = scrub_closed(scrub, number);
	tmem_extent_finish(scrub->engine, (unsigned int)class, number);
	return pages;
}

uint64_t tmem_engine_scrub(struct tmem_engine *engine, uint64_t max_pages)
{
	uint32_t extents = tmem_arena_extents(engine);
	struct scrub *scrub = malloc(sizeof(*scrub));
	uint64_t pages = 0;

	if (scrub == NULL)
		return 0;
	scrub->engine = engine;
	tmem_lock(&engine->scrub_lock);
	while (pages < max_pages && engine->scrub_extent < extents)
		pages += scrub_extent(scrub, engine->scrub_extent++);
	engine->recovery.scrubbed_pages += pages;
	if (engine->scrub_extent >= extents) {
		engine->recovery.scrub_done = 1;
		/* Having said that it is through, the next call starts over. */
		if (pages == 0 && max_pages > 0)
			engine->scrub_extent = 0;
	}
	tmem_unlock(&engine->scrub_lock);
	free(scrub);
	return pages;
}
