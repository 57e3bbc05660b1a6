/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "lists.h"

#include "pages.h"

enum { LINKS_PER_TICK = 64 };

static bool is_stale(const struct tmem_pool *pool, const struct tmem_record *record)
{
	return record->epoch != (uint16_t)atomic_load_explicit(&pool->epoch, memory_order_relaxed);
}

static struct tmem_page_list *list_of(struct tmem_pool *pool, const struct tmem_record *record)
{
	return is_stale(pool, record) ? &pool->stale : &pool->list;
}

/* Keeps the stamp that reclaim compares pools by. */
static void note_oldest(struct tmem_engine *engine, struct tmem_pool *pool)
{
	if (pool->list.oldest != TMEM_REF_NONE)
		atomic_store_explicit(&pool->oldest_stamp,
				      tmem_ref_record(engine, pool->list.oldest)->stamp,
				      memory_order_relaxed);
}

static void push_newest(struct tmem_engine *engine, struct tmem_page_list *list, tmem_ref ref)
{
	struct tmem_links *links = tmem_ref_links(engine, ref);

	links->newer = TMEM_REF_NONE;
	links->older = list->newest;
	if (list->newest != TMEM_REF_NONE)
		tmem_ref_links(engine, list->newest)->newer = ref;
	else
		list->oldest = ref;
	list->newest = ref;
}

static void take_out(struct tmem_engine *engine, struct tmem_page_list *list, tmem_ref ref)
{
	struct tmem_links *links = tmem_ref_links(engine, ref);

	if (links->newer != TMEM_REF_NONE)
		tmem_ref_links(engine, links->newer)->older = links->older;
	else
		list->newest = links->older;
	if (links->older != TMEM_REF_NONE)
		tmem_ref_links(engine, links->older)->newer = links->newer;
	else
		list->oldest = links->newer;
}

static void stamp_now(struct tmem_engine *engine, struct tmem_pool *pool,
		      struct tmem_record *record)
{
	if (++pool->linked % LINKS_PER_TICK == 0)
		atomic_fetch_add_explicit(&engine->clock, 1, memory_order_relaxed);
	record->stamp =
		atomic_load_explicit(&engine->clock, memory_order_relaxed) & TMEM_STAMP_MASK;
}

static int charge(struct tmem_pool *pool, uint32_t charge_bytes, uint32_t instead_bytes)
{
	struct tmem_client *owner = pool->owner;
	_Atomic uint64_t *account = tmem_account(owner, pool);
	uint64_t cap_bytes = atomic_load_explicit(&owner->cap_bytes, memory_order_relaxed);
	uint64_t quota_bytes = atomic_load_explicit(&owner->quota_bytes, memory_order_relaxed);
	uint64_t used_bytes = atomic_fetch_add(account, charge_bytes) + charge_bytes;
	int code = 0;

	if (quota_bytes != 0 && tmem_pool_persistent(pool) &&
	    used_bytes - instead_bytes > quota_bytes)
		code = -ENOSPC;
	if (cap_bytes != 0 && atomic_load(&owner->ephemeral_bytes) +
					      atomic_load(&owner->persistent_bytes) -
					      instead_bytes >
				      cap_bytes)
		code = -EDQUOT;
	if (code != 0)
		atomic_fetch_sub(account, charge_bytes);
	return code;
}

static void link_newest(struct tmem_engine *engine, struct tmem_pool *pool, tmem_ref ref,
			uint32_t charge_bytes)
{
	push_newest(engine, list_of(pool, tmem_ref_record(engine, ref)), ref);
	if (pool->list.oldest == ref)
		note_oldest(engine, pool);
	atomic_store_explicit(&pool->pages,
			      atomic_load_explicit(&pool->pages, memory_order_relaxed) + 1,
			      memory_order_relaxed);
	pool->bytes += charge_bytes;
	if (tmem_pool_persistent(pool))
		atomic_fetch_add_explicit(&engine->held_slots[tmem_ref_extent(engine, ref)->class],
					  1, memory_order_relaxed);
}

/* These counters change nowhere else, so the list lock guards them: no locked instruction. */
static void count_linked(struct tmem_member *member, size_t counter)
{
	_Atomic uint64_t *count = &member->counters[counter];

	atomic_store_explicit(count, atomic_load_explicit(count, memory_order_relaxed) + 1,
			      memory_order_relaxed);
}

int tmem_list_link(struct tmem_engine *engine, struct tmem_pool *pool, tmem_ref ref,
		   const struct tmem_linking *linking)
{
	int code;

	tmem_lock(&pool->list_lock);
	code = charge(pool, linking->charge_bytes, linking->instead_bytes);
	if (code == 0) {
		stamp_now(engine, pool, tmem_ref_record(engine, ref));
		link_newest(engine, pool, ref, linking->charge_bytes);
		count_linked(linking->member, linking->outcome);
		count_linked(linking->member, linking->encoding);
	}
	tmem_unlock(&pool->list_lock);
	return code;
}

void tmem_list_adopt(struct tmem_engine *engine, struct tmem_pool *pool, tmem_ref ref,
		     uint32_t charge_bytes)
{
	tmem_lock(&pool->list_lock);
	atomic_fetch_add(tmem_account(pool->owner, pool), charge_bytes);
	link_newest(engine, pool, ref, charge_bytes);
	tmem_unlock(&pool->list_lock);
}

void tmem_list_unlink(struct tmem_engine *engine, struct tmem_pool *pool, tmem_ref ref,
		      uint32_t charge_bytes)
{
	struct tmem_page_list *list;
	bool was_oldest;

	tmem_lock(&pool->list_lock);
	list = list_of(pool, tmem_ref_record(engine, ref));
	was_oldest = list->oldest == ref;
	take_out(engine, list, ref);
	if (was_oldest)
		note_oldest(engine, pool);
	atomic_store_explicit(&pool->pages,
			      atomic_load_explicit(&pool->pages, memory_order_relaxed) - 1,
			      memory_order_relaxed);
	pool->bytes -= charge_bytes;
	if (tmem_pool_persistent(pool))
		atomic_fetch_sub_explicit(&engine->held_slots[tmem_ref_extent(engine, ref)->class],
					  1, memory_order_relaxed);
	atomic_fetch_sub_explicit(tmem_account(pool->owner, pool), charge_bytes,
				  memory_order_relaxed);
	tmem_unlock(&pool->list_lock);
}

tmem_ref tmem_list_grab_oldest(struct tmem_engine *engine, struct tmem_pool *pool,
			       struct tmem_page_list *list, unsigned int tries,
			       struct tmem_handle *handle)
{
	tmem_ref ref;

	tmem_lock(&pool->list_lock);
	for (ref = list->oldest; ref != TMEM_REF_NONE;
	     ref = tries > 0 ? tmem_ref_links(engine, ref)->newer : TMEM_REF_NONE) {
		tmem_handle_of(engine, handle, pool, tmem_ref_record(engine, ref));
		if (tmem_trylock(&handle->shard->lock))
			break;
		tries--;
	}
	tmem_unlock(&pool->list_lock);
	return ref;
}

void tmem_list_promote(struct tmem_engine *engine, struct tmem_pool *pool, tmem_ref ref,
		       bool spared)
{
	struct tmem_record *record = tmem_ref_record(engine, ref);

	tmem_lock(&pool->list_lock);
	if (!is_stale(pool, record)) {
		bool was_oldest = pool->list.oldest == ref;

		take_out(engine, &pool->list, ref);
		stamp_now(engine, pool, record);
		if (spared)
			record->stamp |= TMEM_STAMP_SPARED;
		push_newest(engine, &pool->list, ref);
		if (was_oldest)
			note_oldest(engine, pool);
	}
	tmem_unlock(&pool->list_lock);
}

void tmem_list_relink(struct tmem_engine *engine, struct tmem_pool *pool, tmem_ref ref, tmem_ref to)
{
	struct tmem_links *to_links = tmem_ref_links(engine, to);
	struct tmem_page_list *list;

	tmem_lock(&pool->list_lock);
	list = list_of(pool, tmem_ref_record(engine, to));
	tmem_ref_record(engine, to)->stamp = tmem_ref_record(engine, ref)->stamp;
	to_links->newer = tmem_ref_links(engine, ref)->newer;
	to_links->older = tmem_ref_links(engine, ref)->older;
	if (to_links->newer != TMEM_REF_NONE)
		tmem_ref_links(engine, to_links->newer)->older = to;
	else
		list->newest = to;
	if (to_links->older != TMEM_REF_NONE)
		tmem_ref_links(engine, to_links->older)->newer = to;
	else
		list->oldest = to;
	tmem_unlock(&pool->list_lock);
}

void tmem_list_new_epoch(struct tmem_engine *engine, struct tmem_pool *pool, uint32_t epoch)
{
	struct tmem_page_list *list = &pool->list;
	struct tmem_page_list *stale = &pool->stale;

	tmem_lock(&pool->list_lock);
	atomic_store(&pool->epoch, epoch);
	if (list->oldest != TMEM_REF_NONE) {
		tmem_ref_links(engine, list->oldest)->older = stale->newest;
		if (stale->newest != TMEM_REF_NONE)
			tmem_ref_links(engine, stale->newest)->newer = list->oldest;
		else
			stale->oldest = list->oldest;
		stale->newest = list->newest;
		list->newest = TMEM_REF_NONE;
		list->oldest = TMEM_REF_NONE;
	}
	tmem_unlock(&pool->list_lock);
}

void tmem_list_set_owner(struct tmem_pool *pool, struct tmem_client *owner)
{
	tmem_lock(&pool->list_lock);
	if (pool->owner != NULL)
		atomic_fetch_sub(tmem_account(pool->owner, pool), pool->bytes);
	if (owner != NULL)
		atomic_fetch_add(tmem_account(owner, pool), pool->bytes);
	pool->owner = owner;
	tmem_unlock(&pool->list_lock);
}
