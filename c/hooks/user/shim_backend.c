// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <stdlib.h>

#include "frontends.h"
#include "hooks_user.h"

struct tmem_shim_backend {
	struct tmem_backend ops;
	struct tmem_shim *shim;
	struct tmem_area_memory areas[TMEM_HOOKS_AREAS];
};

static struct tmem_shim *shim_of(void *context)
{
	return ((struct tmem_shim_backend *)context)->shim;
}

/* ---- cleancache ------------------------------------------------------------------------- */

static int new_pool(void *context, const uint8_t *uuid, bool was_member)
{
	if (!uuid)
		return tmem_cleancache_init_fs(shim_of(context), TMEM_PAGE_BYTES);
	if (was_member)
		return tmem_cleancache_rejoin_shared_fs(shim_of(context), uuid, TMEM_PAGE_BYTES);
	return tmem_cleancache_init_shared_fs(shim_of(context), uuid, TMEM_PAGE_BYTES);
}

static void destroy_pool(void *context, int pool)
{
	tmem_cleancache_invalidate_fs(shim_of(context), (uint32_t)pool);
}

static int get(void *context, int pool, const struct tmem_oid *oid, uint64_t index,
	       struct page *page)
{
	int result = tmem_cleancache_get_page(shim_of(context), (uint32_t)pool, oid, index, page);

	return result == TMEM_DONE ? 0 : -ENOENT;
}

static void put(void *context, int pool, const struct tmem_oid *oid, uint64_t index,
		struct page *page)
{
	tmem_cleancache_put_page(shim_of(context), (uint32_t)pool, oid, index, page);
}

static void flush_page(void *context, int pool, const struct tmem_oid *oid, uint64_t index)
{
	tmem_cleancache_invalidate_page(shim_of(context), (uint32_t)pool, oid, index);
}

static void flush_object(void *context, int pool, const struct tmem_oid *oid)
{
	tmem_cleancache_invalidate_inode(shim_of(context), (uint32_t)pool, oid);
}

/* ---- frontswap -------------------------------------------------------------------------- */

static void *allocate(uint64_t bytes)
{
	return malloc(bytes);
}

static int area_new(void *context, uint32_t type, uint64_t pages)
{
	struct tmem_shim_backend *backend = context;
	int result = tmem_frontswap_lend(backend->shim, type, pages, &backend->areas[type],
					 allocate, free);

	return result == TMEM_DONE ? 0 : result;
}

static int store(void *context, uint32_t type, uint64_t offset, struct page *page)
{
	int result = tmem_frontswap_store(shim_of(context), type, offset, page);

	return result == TMEM_DONE ? 0 : -ENOSPC;
}

static int load(void *context, uint32_t type, uint64_t offset, struct page *page)
{
	int result = tmem_frontswap_load(shim_of(context), type, offset, page);

	return result == TMEM_DONE ? 0 : TMEM_EUCLEAN;
}

static void flush_slot(void *context, uint32_t type, uint64_t offset)
{
	tmem_frontswap_invalidate_page(shim_of(context), type, offset);
}

static void area_gone(void *context, uint32_t type)
{
	tmem_frontswap_invalidate_area(shim_of(context), type);
}

/* ---- made and freed --------------------------------------------------------------------- */

struct tmem_shim_backend *tmem_shim_backend_new(struct tmem_shim *shim)
{
	struct tmem_shim_backend *backend = calloc(1, sizeof(*backend));

	if (!backend)
		return NULL;
	backend->shim = shim;
	backend->ops = (struct tmem_backend){
		.name = "shim",
		.context = backend,
		.new_pool = new_pool,
		.destroy_pool = destroy_pool,
		.get = get,
		.put = put,
		.flush_page = flush_page,
		.flush_object = flush_object,
		.area_new = area_new,
		.store = store,
		.load = load,
		.flush_slot = flush_slot,
		.area_gone = area_gone,
	};
	return backend;
}

const struct tmem_backend *tmem_shim_backend_ops(struct tmem_shim_backend *backend)
{
	return &backend->ops;
}

void tmem_shim_backend_free(struct tmem_shim_backend *backend)
{
	for (uint32_t type = 0; type < TMEM_HOOKS_AREAS; type++)
		free(backend->areas[type].memory);
	free(backend);
}
