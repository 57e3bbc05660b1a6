// SPDX-License-Identifier: GPL-2.0-or-later
#include <linux/mm.h>
#include <linux/module.h>

#include "transport.h"

static struct tmem_shim *shim(void)
{
	return tmem_transport.shim;
}

static int new_pool(void *context, const uint8_t *uuid, bool was_member)
{
	int pool;

	if (!uuid)
		pool = tmem_cleancache_init_fs(shim(), PAGE_SIZE);
	else if (was_member)
		pool = tmem_cleancache_rejoin_shared_fs(shim(), uuid, PAGE_SIZE);
	else
		pool = tmem_cleancache_init_shared_fs(shim(), uuid, PAGE_SIZE);
	tmem_pump_leave();
	return pool;
}

static void destroy_pool(void *context, int pool)
{
	tmem_cleancache_invalidate_fs(shim(), pool);
	tmem_pump_leave();
}

static int get(void *context, int pool, const struct tmem_oid *oid, uint64_t index,
	       struct page *page)
{
	u32 backlog;
	int result;

	tmem_pump_make_room();
	if (tmem_cleancache_surely_absent(shim(), pool, oid, index))
		return -1;
	backlog = tmem_shim_backlog(shim());
	result = tmem_shim_get(shim(), pool, oid, index, page);
	/* what it asked for ahead goes at once; puts that are there go on waiting for their batch
	 */
	if (tmem_shim_backlog(shim()) > backlog)
		tmem_pump_leave();
	else
		tmem_pump_leave_later();
	return result == TMEM_DONE ? 0 : -1;
}

static void put(void *context, int pool, const struct tmem_oid *oid, uint64_t index,
		struct page *page)
{
	tmem_cleancache_put_page(shim(), pool, oid, index, page);
	tmem_pump_leave_later();
}

static void flush_page(void *context, int pool, const struct tmem_oid *oid, uint64_t index)
{
	tmem_cleancache_invalidate_page(shim(), pool, oid, index);
	tmem_pump_leave_later();
}

static void flush_object(void *context, int pool, const struct tmem_oid *oid)
{
	tmem_cleancache_invalidate_inode(shim(), pool, oid);
	tmem_pump_leave();
}

/* ---- swap areas ----------------------------------------------------------------------- */

static struct tmem_area_memory areas[32];

static void *allocate(uint64_t bytes)
{
	return kvmalloc(bytes, GFP_KERNEL);
}

static void release(void *memory)
{
	kvfree(memory);
}

static int area_new(void *context, unsigned int type, uint64_t pages)
{
	int result;

	if (type >= ARRAY_SIZE(areas))
		return -EINVAL;
	result = tmem_frontswap_lend(shim(), type, pages, &areas[type], allocate, release);
	tmem_pump_leave();
	return result == TMEM_DONE ? 0 : result;
}

static void area_gone(void *context, unsigned int type)
{
	tmem_frontswap_invalidate_area(shim(), type);
	tmem_pump_leave();
}

void tmem_backend_free_areas(void)
{
	unsigned int type;

	for (type = 0; type < ARRAY_SIZE(areas); type++)
		kvfree(areas[type].memory);
}

static int store(void *context, unsigned int type, uint64_t offset, struct page *page)
{
	int result = tmem_frontswap_store(shim(), type, offset, page);

	tmem_pump_leave();
	return result == TMEM_DONE ? 0 : -1;
}

static int load(void *context, unsigned int type, uint64_t offset, struct page *page)
{
	int result = tmem_frontswap_load(shim(), type, offset, page);

	tmem_pump_leave();
	return result == TMEM_DONE ? 0 : -1;
}

static void flush_slot(void *context, unsigned int type, uint64_t offset)
{
	tmem_frontswap_invalidate_page(shim(), type, offset);
	tmem_pump_leave_later();
}

const struct tmem_backend tmem_transport_backend = {
	.name = "tmem_transport",
	.owner = THIS_MODULE,
	.new_pool = new_pool,
	.destroy_pool = destroy_pool,
	.get = get,
	.put = put,
	.flush_page = flush_page,
	.flush_object = flush_object,
	.area_new = area_new,
	.area_gone = area_gone,
	.store = store,
	.load = load,
	.flush_slot = flush_slot,
};
