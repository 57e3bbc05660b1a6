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

int tmem_cleancache_get_page(struct tmem_shim *shim, uint32_t pool, const struct tmem_oid *oid,
			     uint64_t index, void *page)
{
	return tmem_shim_get(shim, pool, oid, index, page);
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

void tmem_cleancache_invalidate_inode(struct tmem_shim *shim, uint32_t pool,
				      const struct tmem_oid *oid)
{
	enum need need = look(shim, pool, oid);

	if (need == FLUSH || (need == FLUSH_AND_WAIT && !TMEM_RULE(M)))
		tmem_shim_flush_object(shim, pool, oid);
	else if (need == FLUSH_AND_WAIT)
		tmem_shim_flush_object_wait(shim, pool, oid);
}

void tmem_cleancache_invalidate_fs(struct tmem_shim *shim, uint32_t pool)
{
	tmem_shim_destroy_pool(shim, pool);
}
