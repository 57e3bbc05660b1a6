// SPDX-License-Identifier: GPL-2.0-or-later
#include "core.h"
#include "frontends.h"

int tmem_cleancache_init_fs(struct tmem_shim *shim, uint64_t page_bytes)
{
	if (page_bytes != TMEM_PAGE_BYTES)
		return TMEM_EOPNOTSUPP;
	return tmem_shim_new_pool(shim, 0, NULL);
}

int tmem_cleancache_init_shared_fs(struct tmem_shim *shim, const uint8_t *uuid, uint64_t page_bytes)
{
	if (page_bytes != TMEM_PAGE_BYTES)
		return TMEM_EOPNOTSUPP;
	return tmem_shim_new_pool(shim, TMEM_POOL_SHARED, uuid);
}

int tmem_cleancache_rejoin_shared_fs(struct tmem_shim *shim, const uint8_t *uuid,
				     uint64_t page_bytes)
{
	if (page_bytes != TMEM_PAGE_BYTES)
		return TMEM_EOPNOTSUPP;
	return tmem_shim_rejoin_pool(shim, uuid);
}

int tmem_cleancache_get_page(struct tmem_shim *shim, uint32_t pool, const struct tmem_oid *oid,
			     uint64_t index, void *page)
{
	if (tmem_cleancache_surely_absent(shim, pool, oid, index))
		return TMEM_MISS;
	return tmem_shim_get(shim, pool, oid, index, page);
}

bool tmem_cleancache_surely_absent(struct tmem_shim *shim, uint32_t pool,
				   const struct tmem_oid *oid, uint64_t index)
{
	return tmem_summary_surely_absent(shim, pool, oid, index);
}

void tmem_cleancache_put_page(struct tmem_shim *shim, uint32_t pool, const struct tmem_oid *oid,
			      uint64_t index, const void *page)
{
	tmem_shim_put(shim, pool, oid, index, page);
}

void tmem_cleancache_invalidate_page(struct tmem_shim *shim, uint32_t pool,
				     const struct tmem_oid *oid, uint64_t index)
{
	tmem_shim_flush_page(shim, pool, oid, index);
}

/* What has to be done about the object before invalidate_inode returns. */
enum need { NOTHING, FLUSH, FLUSH_AND_WAIT };

static enum need look(struct tmem_shim *shim, uint32_t id, const struct tmem_oid *oid)
{
	unsigned long flags = tmem_shim_lock(shim);
	struct tmem_shim_pool *pool = tmem_pool_find(shim, id);
	enum need need = NOTHING;

	if (pool && !shim->ending) {
		bool shared = tmem_pool_shared(pool);
		bool ready = pool->state == TMEM_SHIM_POOL_READY;

		tmem_landing_drop_object(shim, pool, oid);
		need = shared ? FLUSH_AND_WAIT : FLUSH;
		/* F10; while a leave is under way it has to be waited for all the same */
		if (shared && ready && !tmem_own_any(shim, pool, oid)) {
			TMEM_COUNT(shim, flushes_needless);
			need = NOTHING;
		}
	}
	tmem_shim_unlock(shim, flags);
	return need;
}

int tmem_cleancache_invalidate_inode_start(struct tmem_shim *shim, uint32_t pool,
					   const struct tmem_oid *oid,
					   struct tmem_shim_request *request)
{
	enum need need = look(shim, pool, oid);

	if (need == NOTHING)
		return TMEM_DONE;
	if (need == FLUSH || !TMEM_RULE(M))
		return tmem_shim_flush_object(shim, pool, oid);
	memset(request, 0, sizeof(*request));
	request->op = TMEM_OP_FLUSH_OBJECT;
	request->pool = pool;
	request->oid = *oid;
	return tmem_shim_start(shim, request);
}

void tmem_cleancache_invalidate_inode(struct tmem_shim *shim, uint32_t pool,
				      const struct tmem_oid *oid)
{
	struct tmem_shim_request request;

	if (tmem_cleancache_invalidate_inode_start(shim, pool, oid, &request) == TMEM_SHIM_PENDING)
		tmem_shim_wait(shim, &request);
}

void tmem_cleancache_invalidate_fs(struct tmem_shim *shim, uint32_t pool)
{
	tmem_shim_destroy_pool(shim, pool);
}
