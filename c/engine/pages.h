/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Pages and objects in the tables of their shard. Everything here needs the shard lock. */
#ifndef TMEM_PAGES_H
#define TMEM_PAGES_H

#include "internal.h"

/* A handle, with what is needed to find it. */
struct tmem_handle {
	struct tmem_pool *pool;
	struct tmem_shard *shard;
	struct tmem_oid oid;
	uint64_t index;
	uint64_t object_hash;
};

static inline void tmem_handle_init(struct tmem_engine *engine, struct tmem_handle *handle,
				    struct tmem_pool *pool, const struct tmem_oid *oid,
				    uint64_t index)
{
	handle->pool = pool;
	handle->oid = *oid;
	handle->index = index;
	handle->object_hash = tmem_object_hash(engine, pool->number, oid);
	handle->shard = tmem_shard_of(engine, handle->object_hash);
}

/* The handle whose page @record holds. */
static inline void tmem_handle_of(struct tmem_engine *engine, struct tmem_handle *handle,
				  struct tmem_pool *pool, const struct tmem_record *record)
{
	tmem_handle_init(engine, handle, pool, &record->oid, record->index);
}

/* The page of @handle put in the pool's epoch @epoch, or TMEM_REF_NONE. */
tmem_ref tmem_page_find(struct tmem_engine *engine, const struct tmem_handle *handle,
			uint32_t epoch);

/* The first page of the object, or TMEM_REF_NONE. Pages of earlier epochs are in it, too. */
tmem_ref tmem_object_find(struct tmem_engine *engine, const struct tmem_handle *handle);

/* Puts the page at @ref, whose record is complete, into page table and object. */
void tmem_page_link(struct tmem_engine *engine, const struct tmem_handle *handle, tmem_ref ref);
void tmem_page_unlink(struct tmem_engine *engine, const struct tmem_handle *handle, tmem_ref ref);

/* Puts @to, a copy of @ref, into its places (the pool's list excepted). */
void tmem_page_relink(struct tmem_engine *engine, const struct tmem_handle *handle, tmem_ref ref,
		      tmem_ref to);

int tmem_shards_init(struct tmem_engine *engine);
void tmem_shards_deinit(struct tmem_engine *engine);

/* Returns when every data call that was running has gone through its shard lock (internal.h).
 * Holds no shard lock before or after. */
void tmem_shards_quiesce(struct tmem_engine *engine);

#endif
