/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "reclaim.h"

#include "arena.h"
#include "group.h"
#include "lists.h"
#include "ops.h"
#include "policy.h"
#include "slots.h"

enum {
	BUSY_PAGES_SKIPPED = 8,
	BUSY_TRIES = 4,
	FREE_SLOTS_AHEAD = 4,
	SPARED_MAX = 64,
	SHARES_MAX = 512,
	EXTENTS_EMPTIED_MAX = 8, /* by one put */
	WASTE_DIVISOR = 14, /* of the arena: more than this in free slots, and pages are moved */
};

enum eviction {
	EVICTED_NONE, /* there was none to be had */
	EVICTED_PAGE,
	EVICTED_SHARE,  /* a page went whose contents others still refer to: hardly any room */
	EVICTED_SPARED, /* one was passed over */
};

/* Holds the shard lock. */
static bool shares_contents(struct tmem_engine *engine, const struct tmem_handle *handle,
			    tmem_ref ref)
{
	uint64_t commit = atomic_load(&tmem_ref_record(engine, ref)->commit);

	return tmem_commit_mark(commit) != TMEM_MARK_PAGE &&
	       tmem_group_references(engine, atomic_load(&handle->pool->group), ref) > 0;
}

/* Evicts the oldest page of @pool that is not busy, or if it @may_spare spares it. Holds the owners
 * lock, so that the pool stays who it is until the page is locked; drops it. */
static enum eviction evict_from(struct tmem_engine *engine, struct tmem_pool *pool, bool may_spare)
{
	const struct tmem_policy_eviction *policy =
		atomic_load_explicit(&engine->eviction, memory_order_acquire);
	struct tmem_handle handle;
	enum eviction done;
	tmem_ref ref = TMEM_REF_NONE;

	if (pool != NULL)
		ref = tmem_list_grab_oldest(engine, pool, &pool->list, BUSY_PAGES_SKIPPED, &handle);
	tmem_rw_unlock(&engine->owners);
	if (ref == TMEM_REF_NONE)
		return EVICTED_NONE;
	if (may_spare && policy->spare(engine, &handle, ref)) {
		tmem_list_promote(engine, pool, ref, true);
		done = EVICTED_SPARED;
	} else {
		done = shares_contents(engine, &handle, ref) ? EVICTED_SHARE : EVICTED_PAGE;
		tmem_page_remove(engine, &handle, ref);
		atomic_fetch_add_explicit(&pool->evicted, 1, memory_order_relaxed);
	}
	tmem_unlock(&handle.shard->lock);
	return done;
}

uint32_t tmem_evict_one(struct tmem_engine *engine, struct tmem_client *requester)
{
	enum eviction done = EVICTED_SPARED;
	uint32_t evicted = 0;

	/* After so many pages that were spared the next one is not. */
	for (int tries = 0; done == EVICTED_SPARED || (done == EVICTED_SHARE && tries < SHARES_MAX);
	     tries++) {
		tmem_read_lock(&engine->owners);
		done = evict_from(engine,
				  atomic_load_explicit(&engine->eviction, memory_order_acquire)
					  ->choose(engine, requester),
				  tries < SPARED_MAX);
		evicted += done == EVICTED_PAGE || done == EVICTED_SHARE;
	}
	return evicted;
}

/* Evicts one page charged to @client. */
static bool evict_own(struct tmem_engine *engine, struct tmem_client *client)
{
	enum eviction done = EVICTED_SPARED;

	for (int spared = 0; done == EVICTED_SPARED; spared++) {
		tmem_read_lock(&engine->owners);
		done = evict_from(engine, tmem_oldest_pool(engine, client), spared < SPARED_MAX);
	}
	return done != EVICTED_NONE;
}

static bool fits_cap(struct tmem_client *client, uint64_t bytes)
{
	uint64_t cap_bytes = atomic_load(&client->cap_bytes);

	return cap_bytes == 0 || atomic_load(&client->ephemeral_bytes) +
						 atomic_load(&client->persistent_bytes) + bytes <=
					 cap_bytes;
}

void tmem_reclaim_for_cap(struct tmem_engine *engine, struct tmem_pool *pool, uint64_t bytes)
{
	bool persistent = tmem_pool_persistent(pool);
	struct tmem_client *owner;

	for (int i = 0; persistent || i < TMEM_EVICTIONS_PER_PUT; i++) {
		/* Client structs are not freed: should this one have changed hands since, somebody
		 * else loses a page that could have gone at any time. */
		tmem_lock(&pool->list_lock);
		owner = pool->owner;
		tmem_unlock(&pool->list_lock);
		if (owner == NULL || fits_cap(owner, bytes) || !evict_own(engine, owner))
			return;
	}
}

uint64_t tmem_reclaim_client(struct tmem_engine *engine, struct tmem_client *client, uint64_t bytes)
{
	uint64_t before = atomic_load(&client->ephemeral_bytes);
	uint64_t after = before;
	int failures = 0;

	while (before - after < bytes && failures < BUSY_TRIES) {
		if (!evict_own(engine, client))
			failures++;
		after = atomic_load(&client->ephemeral_bytes);
		/* others may put at the same time: what they add is not ours to count */
		if (after > before)
			before = after;
	}
	return before - after;
}

static uint32_t free_slots(struct tmem_engine *engine, unsigned int class)
{
	return atomic_load_explicit(&engine->classes[class].free_slots, memory_order_relaxed);
}

/* Evicts until the class has slots to spare or an extent is idle; returns 0 if nothing went. */
static uint32_t evict_for(struct tmem_engine *engine, struct tmem_client *requester,
			  unsigned int class)
{
	uint32_t evicted = 0;

	while (evicted < TMEM_EVICTIONS_PER_PUT && tmem_evict_one(engine, requester) > 0) {
		evicted++;
		if (free_slots(engine, class) >= FREE_SLOTS_AHEAD || tmem_arena_has_room(engine))
			break;
	}
	return evicted;
}

static tmem_ref alloc_larger(struct tmem_engine *engine, unsigned int class, uint32_t length_bytes)
{
	tmem_ref ref = TMEM_REF_NONE;

	while (ref == TMEM_REF_NONE && ++class <= TMEM_CLASS_RAW)
		if (free_slots(engine, class) > 0)
			ref = tmem_slot_alloc_existing(engine, class, length_bytes);
	return ref;
}

/* Whether so much of the arena is free slots that pages should be moved together before the arena
 * grows: the sizes of what is put have changed. */
static bool wasteful(struct tmem_engine *engine)
{
	uint64_t free_bytes = 0;

	for (unsigned int class = 0; class < TMEM_CLASS_ROW; class += 1)
		free_bytes += free_slots(engine, class) *
			      (uint64_t)(TMEM_RECORD_BYTES + tmem_class_slot_bytes(class));
	return free_bytes >
	       atomic_load_explicit(&engine->resident_bytes, memory_order_relaxed) / WASTE_DIVISOR;
}

tmem_ref tmem_reclaim_slot(struct tmem_engine *engine, struct tmem_client *requester,
			   bool persistent, unsigned int class, uint32_t length_bytes, int *why)
{
	tmem_ref ref = tmem_slot_alloc_existing(engine, class, length_bytes);
	uint64_t moved_pages = 0;
	int again = 0;

	if (ref != TMEM_REF_NONE)
		return ref;
	for (int i = 0; i < EXTENTS_EMPTIED_MAX && wasteful(engine); i++)
		if (!tmem_compact_one(engine, false, &moved_pages))
			break;
	ref = tmem_slot_alloc(engine, class, length_bytes, why);

	while (ref == TMEM_REF_NONE) {
		uint32_t evicted = 0;

		if (!tmem_compact_one(engine, false, &moved_pages))
			evicted = evict_for(engine, requester, class);
		ref = tmem_slot_alloc(engine, class, length_bytes, &again);
		if (ref == TMEM_REF_NONE && class != TMEM_CLASS_ROW)
			ref = alloc_larger(engine, class, length_bytes);
		if (ref != TMEM_REF_NONE || (!persistent && evicted > 0))
			break;
		if (evicted == 0) {
			/* The last resort: what is free, in whatever class, moved together. */
			if (tmem_compact_one(engine, true, &moved_pages))
				ref = tmem_slot_alloc(engine, class, length_bytes, &again);
			break;
		}
	}
	return ref;
}
