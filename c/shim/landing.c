// SPDX-License-Identifier: GPL-2.0-or-later
#include "core.h"

/*
 * The landing buffer: pages that came ahead, in a ring in which the newest takes the place of the
 * oldest, found through buckets. Keys carry the pool's id, which is not used again.
 */

static uint32_t *bucket(struct tmem_shim *shim, uint32_t pool, const struct tmem_oid *oid,
			uint64_t index)
{
	uint64_t hash = tmem_shim_hash(shim, pool, oid, index);

	return &shim->landing_buckets[hash % shim->config.landing_pages];
}

/* The link to a page that landed; NULL: there is none. */
static uint32_t *find(struct tmem_shim *shim, uint32_t pool, const struct tmem_oid *oid,
		      uint64_t index)
{
	uint32_t *link;

	if (!shim->landed_count)
		return NULL;
	for (link = bucket(shim, pool, oid, index); *link; link = &shim->landed[*link - 1].next) {
		const struct tmem_landed *landed = &shim->landed[*link - 1];

		if (landed->pool == pool && landed->index == index &&
		    tmem_oid_equal(&landed->oid, oid))
			return link;
	}
	return NULL;
}

/* By its link. Returns its place. */
static uint32_t take_out(struct tmem_shim *shim, uint32_t *link)
{
	uint32_t place = *link - 1;
	struct tmem_landed *landed = &shim->landed[place];

	*link = landed->next;
	landed->pool = TMEM_NO_HOST_POOL;
	shim->landed_count--;
	return place;
}

static void remove_at(struct tmem_shim *shim, uint32_t place)
{
	const struct tmem_landed *landed = &shim->landed[place];

	take_out(shim, find(shim, landed->pool, &landed->oid, landed->index));
}

static uint8_t *page_at(struct tmem_shim *shim, uint32_t place)
{
	return shim->landing[place] + TMEM_WIRE_HEADER_BYTES;
}

/* A page that was assembled from pieces stays where it is. */
static void keep(struct tmem_shim *shim, uint32_t place, const void *page)
{
	uint8_t *room = shim->landing[place];

	if (page != shim->assembly + TMEM_WIRE_HEADER_BYTES) {
		memcpy(page_at(shim, place), page, TMEM_PAGE_BYTES);
		return;
	}
	shim->landing[place] = shim->assembly;
	shim->assembly = room;
}

bool tmem_landing_take(struct tmem_shim *shim, const struct tmem_shim_pool *pool,
		       const struct tmem_oid *oid, uint64_t index, void *page)
{
	uint32_t *link = find(shim, pool->id, oid, index);

	if (!link)
		return false;
	tmem_platform_page_write(page, 0, page_at(shim, take_out(shim, link)), TMEM_PAGE_BYTES);
	return true;
}

void tmem_landing_add(struct tmem_shim *shim, const struct tmem_shim_pool *pool,
		      const struct tmem_oid *oid, uint64_t index, const void *page)
{
	uint32_t place = shim->landing_next, *link;
	struct tmem_landed *landed;

	if (!shim->config.landing_pages || find(shim, pool->id, oid, index))
		return;
	landed = &shim->landed[place];
	if (landed->pool != TMEM_NO_HOST_POOL) {
		TMEM_COUNT(shim, ahead_dropped);
		remove_at(shim, place);
	}
	shim->landing_next = (place + 1) % shim->config.landing_pages;
	landed->pool = pool->id;
	landed->oid = *oid;
	landed->index = index;
	link = bucket(shim, pool->id, oid, index);
	landed->next = *link;
	*link = place + 1;
	shim->landed_count++;
	keep(shim, place, page);
	TMEM_COUNT(shim, ahead_landed);
}

/* ---- dropping ------------------------------------------------------------------------- */

enum { ALL = 0 }; /* for a count of pages */

static bool within(uint64_t index, uint64_t first, uint64_t count)
{
	return count == ALL || index - first < count;
}

/* Gets under way: of the object (@oid NULL: of any), the pages @index and on are not wanted. */
static void void_range(struct tmem_shim *shim, const struct tmem_shim_pool *pool,
		       const struct tmem_oid *oid, uint64_t index, uint64_t count)
{
	if (!TMEM_RULE(S_WAY))
		return;
	for (int i = 0; i < TMEM_AHEADS_MAX; i++) {
		struct tmem_entry *entry;

		if (!shim->aheads[i])
			continue;
		entry = tmem_entry_at(shim, shim->aheads[i]);
		if (entry->pool != tmem_pool_number(shim, pool) ||
		    (oid && !tmem_oid_equal(&entry->oid, oid)))
			continue;
		for (uint32_t ahead = 0; ahead < entry->count; ahead++)
			if (within(entry->index + 1 + ahead, index, count))
				entry->ahead_void |= 1u << ahead;
		/* the page itself, where nobody but the landing buffer wants it */
		if (within(entry->index, index, count))
			entry->flags &= (uint8_t)~TMEM_ENTRY_LANDS;
	}
}

static void drop_at(struct tmem_shim *shim, uint32_t place)
{
	TMEM_COUNT(shim, ahead_dropped);
	remove_at(shim, place);
}

/* @oid NULL: any. */
static void drop_matching(struct tmem_shim *shim, const struct tmem_shim_pool *pool,
			  const struct tmem_oid *oid, uint64_t index, uint64_t count)
{
	void_range(shim, pool, oid, index, count);
	if (!TMEM_RULE(S))
		return;
	for (uint32_t i = 0; shim->landed_count && i < shim->config.landing_pages; i++) {
		const struct tmem_landed *landed = &shim->landed[i];

		if (landed->pool == pool->id && within(landed->index, index, count) &&
		    (!oid || tmem_oid_equal(&landed->oid, oid)))
			drop_at(shim, i);
	}
}

void tmem_landing_drop_page(struct tmem_shim *shim, const struct tmem_shim_pool *pool,
			    const struct tmem_oid *oid, uint64_t index)
{
	uint32_t *link = find(shim, pool->id, oid, index);

	void_range(shim, pool, oid, index, 1);
	if (!link || !TMEM_RULE(S))
		return;
	TMEM_COUNT(shim, ahead_dropped);
	take_out(shim, link);
}

void tmem_landing_drop_range(struct tmem_shim *shim, const struct tmem_shim_pool *pool,
			     const struct tmem_oid *oid, uint64_t index, uint64_t count)
{
	drop_matching(shim, pool, oid, index, count);
}

void tmem_landing_drop_object(struct tmem_shim *shim, const struct tmem_shim_pool *pool,
			      const struct tmem_oid *oid)
{
	drop_matching(shim, pool, oid, 0, ALL);
}

void tmem_landing_drop_pool(struct tmem_shim *shim, const struct tmem_shim_pool *pool)
{
	drop_matching(shim, pool, NULL, 0, ALL);
}

void tmem_landing_drop_all(struct tmem_shim *shim)
{
	shim->counters.ahead_dropped += shim->landed_count;
	for (uint32_t i = 0; i < shim->config.landing_pages; i++) {
		shim->landed[i].pool = TMEM_NO_HOST_POOL;
		shim->landing_buckets[i] = 0;
	}
	shim->landed_count = 0;
}
