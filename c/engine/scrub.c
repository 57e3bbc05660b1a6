/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Scrubbing: verifying stored pages before anybody asks for them, shard by shard, some buckets at
 * a time. A page table that grows moves pages to buckets still ahead; if one has shrunk since, its
 * shard is looked at again from the start.
 */
#include "codec.h"
#include "group.h"
#include "lists.h"
#include "ops.h"
#include "pages.h"

enum { BUCKETS_PER_LOCK = 16 };

static bool page_sound(struct tmem_engine *engine, const struct tmem_pool *pool, tmem_ref ref)
{
	struct tmem_group *group = atomic_load(&pool->group);
	const struct tmem_record *record = tmem_ref_record(engine, ref);
	uint64_t commit = atomic_load(&record->commit);
	char page[TMEM_PAGE_BYTES];

	if (tmem_commit_mark(commit) == TMEM_MARK_REFERENCE)
		return tmem_group_read(engine, group, record->checksum, page);
	return tmem_decode(tmem_ref_contents(engine, ref), tmem_commit_length(commit),
			   tmem_commit_encoding(commit), record->checksum, group->secret, page);
}

static uint64_t scrub_bucket(struct tmem_engine *engine, struct tmem_shard *shard, uint32_t bucket)
{
	tmem_ref ref = shard->pages.buckets[bucket];
	uint64_t pages = 0;

	while (ref != TMEM_REF_NONE) {
		const struct tmem_record *record = tmem_ref_record(engine, ref);
		struct tmem_pool *pool = engine->pools[record->pool];
		tmem_ref next = tmem_ref_links(engine, ref)->hash_next;
		struct tmem_handle handle;

		pages++;
		if (!page_sound(engine, pool, ref)) {
			tmem_handle_of(engine, &handle, pool, record);
			tmem_page_remove(engine, &handle, ref);
			atomic_fetch_add(&pool->scrub_damaged, 1);
			engine->recovery.scrub_damaged_pages++;
		}
		ref = next;
	}
	return pages;
}

/* Looks at some buckets of the current shard and moves the cursor on. */
static uint64_t scrub_some(struct tmem_engine *engine, uint64_t max_pages)
{
	struct tmem_shard *shard = &engine->shards[engine->scrub_shard];
	uint64_t pages = 0;

	tmem_lock(&shard->lock);
	if (shard->pages.bucket_count < engine->scrub_buckets)
		engine->scrub_bucket = 0;
	engine->scrub_buckets = shard->pages.bucket_count;
	for (int i = 0; pages < max_pages && i < BUCKETS_PER_LOCK &&
			engine->scrub_bucket < shard->pages.bucket_count;
	     i++)
		pages += scrub_bucket(engine, shard, engine->scrub_bucket++);
	if (engine->scrub_bucket >= shard->pages.bucket_count) {
		engine->scrub_shard++;
		engine->scrub_bucket = 0;
		engine->scrub_buckets = 0;
	}
	tmem_unlock(&shard->lock);
	return pages;
}

uint64_t tmem_engine_scrub(struct tmem_engine *engine, uint64_t max_pages)
{
	uint64_t pages = 0;

	tmem_lock(&engine->scrub_lock);
	while (pages < max_pages && engine->scrub_shard < 1u << engine->shard_bits)
		pages += scrub_some(engine, max_pages - pages);
	engine->recovery.scrubbed_pages += pages;
	if (pages == 0 && max_pages != 0) {
		/* The next call starts over. */
		engine->recovery.scrub_done = 1;
		engine->scrub_shard = 0;
	}
	tmem_unlock(&engine->scrub_lock);
	return pages;
}
