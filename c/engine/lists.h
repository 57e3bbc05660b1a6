/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The page list of a pool: its LRU order if it is ephemeral, its enumeration in any case, and the
 * place where its pages are counted and charged. Each function takes the pool's list lock.
 *
 * Charges. Linking a page charges its pool's owner, unlinking gives the charge back; both happen
 * with the list lock held, so that what an owner is charged for a pool moves as a whole when the
 * pool changes hands, and no account exceeds its cap for a moment (guarantee J).
 */
#ifndef TMEM_LISTS_H
#define TMEM_LISTS_H

#include "internal.h"

static inline bool tmem_pool_persistent(const struct tmem_pool *pool)
{
	return (atomic_load_explicit(&pool->flags, memory_order_relaxed) & TMEM_POOL_PERSISTENT) !=
	       0;
}

static inline bool tmem_pool_shared(const struct tmem_pool *pool)
{
	return (atomic_load_explicit(&pool->flags, memory_order_relaxed) & TMEM_POOL_SHARED) != 0;
}

/* The account of @client that pages of @pool are charged to. */
static inline _Atomic uint64_t *tmem_account(struct tmem_client *client,
					     const struct tmem_pool *pool)
{
	return tmem_pool_persistent(pool) ? &client->persistent_bytes : &client->ephemeral_bytes;
}

/* What a put wants linked, and which counters of its member say so. */
struct tmem_linking {
	uint32_t charge_bytes;
	uint32_t instead_bytes; /* charge of the page it replaces, which the caller unlinks next */
	struct tmem_member *member;
	size_t outcome;  /* TMEM_COUNTER() of stored or replaced */
	size_t encoding; /* TMEM_COUNTER() of how */
};

/*
 * Links the page as the newest of the pool, charges it and counts it. Returns 0; or, with nothing
 * done, -EDQUOT (the owner's cap) or -ENOSPC (its persistent quota).
 */
int tmem_list_link(struct tmem_engine *engine, struct tmem_pool *pool, tmem_ref ref,
		   const struct tmem_linking *linking);

/* Recovery: links and charges without looking at limits; @pool's stamp order is the caller's. */
void tmem_list_adopt(struct tmem_engine *engine, struct tmem_pool *pool, tmem_ref ref,
		     uint32_t charge_bytes);

/* Unlinks the page and gives its charge back. */
void tmem_list_unlink(struct tmem_engine *engine, struct tmem_pool *pool, tmem_ref ref,
		      uint32_t charge_bytes);

/*
 * Takes the shard lock of the oldest page of @list (&pool->list or &pool->stale) whose shard is not
 * busy, looking at @tries pages at most, and tells its handle. Returns the page, which stays until
 * the caller unlocks @handle->shard, or TMEM_REF_NONE with nothing locked.
 */
struct tmem_handle;
tmem_ref tmem_list_grab_oldest(struct tmem_engine *engine, struct tmem_pool *pool,
			       struct tmem_page_list *list, unsigned int tries,
			       struct tmem_handle *handle);

/* The page is the newest now: after a hit on a shared pool (rule 16), or @spared by eviction. */
void tmem_list_promote(struct tmem_engine *engine, struct tmem_pool *pool, tmem_ref ref,
		       bool spared);

/* Puts @to, a copy of the page @ref, in its place. */
void tmem_list_relink(struct tmem_engine *engine, struct tmem_pool *pool, tmem_ref ref,
		      tmem_ref to);

/* Starts a new epoch: every page of the pool is stale from here on, found by no get. The caller
 * holds the control lock and has made the epoch durable. */
void tmem_list_new_epoch(struct tmem_engine *engine, struct tmem_pool *pool, uint32_t epoch);

/* Makes @owner the one who is charged for the pool. Holds control and owners locks. */
void tmem_list_set_owner(struct tmem_pool *pool, struct tmem_client *owner);

#endif
