// SPDX-License-Identifier: GPL-2.0-or-later
#include "core.h"

/*
 * Which pages are certainly not at the host, so that most misses cost nothing (T). Of windows of
 * 128 pages that were used lately it knows each page: on a private pool from this guest's own puts,
 * on a shared one from the host's bitmaps. A filter remembers every window of a private pool that
 * was ever put into, so that the rest of a private pool needs no room at all.
 *
 * Being wrong in one direction costs a trip, in the other a hit; neither is ever wrong data. So
 * windows are forgotten when others need their place, and bits may be stale.
 */

enum { WAYS = 4, WINDOW_SHIFT = 7, WINDOW_MASK = TMEM_WIRE_PRESENCE_PAGES - 1 };
/* A second "not there" for one page of a shared pool asks the host again, but not before this many
 * gets: the read-ahead window of Linux. */
enum { REFRESH_GETS = 32 };

static bool bit_of(const uint64_t *bits, uint64_t index)
{
	return bits[(index & WINDOW_MASK) >> 6] >> (index & 63) & 1;
}

static void set_bit_of(uint64_t *bits, uint64_t index)
{
	bits[(index & WINDOW_MASK) >> 6] |= 1ull << (index & 63);
}

static void clear_bit_of(uint64_t *bits, uint64_t index)
{
	bits[(index & WINDOW_MASK) >> 6] &= ~(1ull << (index & 63));
}

/* ---- the filter: two bits for each window --------------------------------------------- */

static uint64_t hash_of(const struct tmem_shim *shim, uint32_t id, uint32_t era,
			const struct tmem_oid *oid, uint64_t index)
{
	return tmem_shim_hash(shim, id ^ era << 20, oid, index >> WINDOW_SHIFT);
}

static uint64_t window_hash(const struct tmem_shim *shim, const struct tmem_shim_pool *pool,
			    const struct tmem_oid *oid, uint64_t index)
{
	return hash_of(shim, pool->id, pool->era, oid, index);
}

static bool filter_bit(const struct tmem_shim *shim, uint64_t bit)
{
	return __atomic_load_n(&shim->filter[bit >> 6], __ATOMIC_RELAXED) >> (bit & 63) & 1;
}

static bool filter_has(const struct tmem_shim *shim, uint64_t hash)
{
	uint64_t mask = shim->config.summary_filter_bits - 1;

	/* with half of its bits set it no longer says much */
	if (shim->filter_set > mask / 2)
		return true;
	return filter_bit(shim, hash & mask) && filter_bit(shim, hash >> 32 & mask);
}

static void filter_set(struct tmem_shim *shim, uint64_t bit)
{
	uint64_t *word = &shim->filter[bit >> 6];

	shim->filter_set += !(*word >> (bit & 63) & 1);
	__atomic_store_n(word, *word | 1ull << (bit & 63), __ATOMIC_RELAXED);
}

static void filter_add(struct tmem_shim *shim, uint64_t hash)
{
	uint64_t mask = shim->config.summary_filter_bits - 1;

	filter_set(shim, hash & mask);
	filter_set(shim, hash >> 32 & mask);
}

/* ---- windows -------------------------------------------------------------------------- */

static struct tmem_window *first_way(struct tmem_shim *shim, uint64_t hash)
{
	uint32_t sets = shim->config.summary_windows / WAYS;

	return sets ? &shim->windows[hash % sets * WAYS] : NULL;
}

static struct tmem_window *find(struct tmem_shim *shim, const struct tmem_shim_pool *pool,
				const struct tmem_oid *oid, uint64_t index, uint64_t hash)
{
	struct tmem_window *window = first_way(shim, hash);

	for (int way = 0; window && way < WAYS; way++, window++)
		if (window->pool == pool->id && window->era == pool->era &&
		    window->number == index >> WINDOW_SHIFT && tmem_oid_equal(&window->oid, oid))
			return window;
	return NULL;
}

static struct tmem_window *make(struct tmem_shim *shim, const struct tmem_shim_pool *pool,
				const struct tmem_oid *oid, uint64_t index, uint64_t hash)
{
	struct tmem_window *way = first_way(shim, hash), *oldest = way;

	for (int i = 1; way && i < WAYS; i++)
		if (shim->window_clock - way[i].used > shim->window_clock - oldest->used)
			oldest = &way[i];
	if (!oldest)
		return NULL;
	memset(oldest, 0, sizeof(*oldest));
	oldest->pool = pool->id;
	oldest->era = pool->era;
	oldest->oid = *oid;
	oldest->number = index >> WINDOW_SHIFT;
	oldest->used = ++shim->window_clock;
	return oldest;
}

static bool refresh_due(const struct tmem_window *window, uint64_t index)
{
	return bit_of(window->denied, index) && window->gets >= REFRESH_GETS;
}

/* ---- without the lock ----------------------------------------------------------------- */

/*
 * A get and a put of one page have an order, by the page's lock, and the put's bits are set before
 * it returns; those of others may be seen late, which costs nothing but a hit.
 */
bool tmem_summary_surely_absent(struct tmem_shim *shim, uint32_t id, const struct tmem_oid *oid,
				uint64_t index)
{
	uint64_t mask = shim->config.summary_filter_bits - 1, hash;
	uint64_t sure = __atomic_load_n(&shim->sure[id % TMEM_SURE_POOLS], __ATOMIC_RELAXED);

	if (!sure || sure >> 32 != id)
		return false;
	hash = hash_of(shim, id, ~(uint32_t)sure, oid, index);
	if (filter_bit(shim, hash & mask) && filter_bit(shim, hash >> 32 & mask))
		return false;
	__atomic_fetch_add(&shim->sure_misses, 1, __ATOMIC_RELAXED);
	return true;
}

void tmem_summary_sure(struct tmem_shim *shim, const struct tmem_shim_pool *pool)
{
	if (shim->config.summary_windows && !tmem_pool_shared(pool) &&
	    !tmem_pool_persistent(pool) && !pool->unknown_puts)
		__atomic_store_n(&shim->sure[pool->id % TMEM_SURE_POOLS],
				 (uint64_t)pool->id << 32 | (uint32_t)~pool->era, __ATOMIC_RELAXED);
}

void tmem_summary_unsure(struct tmem_shim *shim)
{
	for (int i = 0; i < TMEM_SURE_POOLS; i++)
		__atomic_store_n(&shim->sure[i], 0, __ATOMIC_RELAXED);
}

struct tmem_summary tmem_summary_find(struct tmem_shim *shim, const struct tmem_shim_pool *pool,
				      const struct tmem_oid *oid, uint64_t index)
{
	uint64_t hash = window_hash(shim, pool, oid, index);

	return (struct tmem_summary){hash, find(shim, pool, oid, index, hash)};
}

static bool absent(const struct tmem_shim *shim, const struct tmem_shim_pool *pool,
		   const struct tmem_summary *summary, uint64_t index)
{
	const struct tmem_window *window = summary->window;

	if (!shim->config.summary_windows)
		return false;
	if (window && window->valid)
		return !bit_of(window->present, index) &&
		       !(tmem_pool_shared(pool) && refresh_due(window, index));
	return !window && !tmem_pool_shared(pool) && !pool->unknown_puts &&
	       !filter_has(shim, summary->hash);
}

bool tmem_summary_absent(struct tmem_shim *shim, const struct tmem_shim_pool *pool,
			 const struct tmem_oid *oid, uint64_t index)
{
	struct tmem_summary summary = tmem_summary_find(shim, pool, oid, index);

	return absent(shim, pool, &summary, index);
}

bool tmem_summary_positive(struct tmem_shim *shim, const struct tmem_shim_pool *pool,
			   const struct tmem_oid *oid, uint64_t index)
{
	const struct tmem_window *window =
		find(shim, pool, oid, index, window_hash(shim, pool, oid, index));

	return window && bit_of(window->present, index);
}

bool tmem_summary_negative(struct tmem_shim *shim, const struct tmem_shim_pool *pool,
			   const struct tmem_summary *summary, uint64_t index)
{
	struct tmem_window *window = summary->window;
	bool is_absent = absent(shim, pool, summary, index);

	if (window) {
		window->used = ++shim->window_clock;
		window->gets++;
		if (is_absent)
			set_bit_of(window->denied, index);
	}
	return is_absent;
}

bool tmem_summary_ask(struct tmem_shim *shim, const struct tmem_shim_pool *pool,
		      const struct tmem_summary *summary)
{
	struct tmem_window *window = summary->window;

	if (!shim->config.summary_windows)
		return false;
	if (window && window->valid && !(tmem_pool_shared(pool) && window->gets >= REFRESH_GETS))
		return false;
	/* the bitmap will not know of what is put after it was asked for */
	if (window)
		memset(window->since, 0, sizeof(window->since));
	return true;
}

void tmem_summary_put(struct tmem_shim *shim, const struct tmem_shim_pool *pool,
		      const struct tmem_oid *oid, uint64_t index)
{
	uint64_t hash = window_hash(shim, pool, oid, index);
	struct tmem_window *window = find(shim, pool, oid, index, hash);

	if (!window && !tmem_pool_shared(pool)) {
		bool first = !filter_has(shim, hash) && !pool->unknown_puts;

		filter_add(shim, hash);
		window = make(shim, pool, oid, index, hash);
		if (window)
			window->valid = first;
	}
	if (window) {
		set_bit_of(window->present, index);
		set_bit_of(window->since, index);
	}
}

void tmem_summary_gone(struct tmem_shim *shim, const struct tmem_shim_pool *pool,
		       const struct tmem_oid *oid, uint64_t index, bool missed)
{
	struct tmem_window *window =
		find(shim, pool, oid, index, window_hash(shim, pool, oid, index));

	if (!window)
		return;
	/* the host has dropped pages: which, its next bitmap says */
	if (missed && bit_of(window->present, index))
		window->valid = false;
	clear_bit_of(window->present, index);
	clear_bit_of(window->since, index);
}

void tmem_summary_presence(struct tmem_shim *shim, const struct tmem_shim_pool *pool,
			   const struct tmem_oid *oid, uint64_t index, const uint64_t *bitmap)
{
	uint64_t hash = window_hash(shim, pool, oid, index);
	struct tmem_window *window = find(shim, pool, oid, index, hash);

	TMEM_COUNT(shim, presence_bitmaps);
	if (!window)
		window = make(shim, pool, oid, index, hash);
	if (!window)
		return;
	for (int i = 0; i < 2; i++)
		window->present[i] = bitmap[i] | window->since[i];
	memset(window->denied, 0, sizeof(window->denied));
	window->gets = 0;
	window->valid = true;
}

void tmem_summary_reset(struct tmem_shim *shim)
{
	for (uint32_t i = 0; i < shim->config.summary_windows; i++)
		shim->windows[i].pool = TMEM_NO_HOST_POOL;
	tmem_summary_unsure(shim);
	for (uint32_t i = 0; i < shim->config.summary_filter_bits / 64; i++)
		__atomic_store_n(&shim->filter[i], 0, __ATOMIC_RELAXED);
	shim->filter_set = 0;
}
