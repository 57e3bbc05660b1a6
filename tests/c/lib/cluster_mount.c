/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cluster.h"

#include <string.h>

#include "check.h"
#include "frontends.h"
#include "page.h"

/* ---- the private mount ---------------------------------------------------------------- */

void cluster_private_step(struct cluster *cluster, int number)
{
	struct cluster_node *node = &cluster->nodes[number];
	struct tmem_shim *shim = cluster_shim_of(cluster, number);
	uint32_t object = cluster_below(cluster, CLUSTER_OBJECTS),
		 page = cluster_below(cluster, CLUSTER_PAGES);
	struct task *task = cluster_free_task(node);
	struct tmem_oid oid = cluster_oid_of(object);
	uint8_t contents[TMEM_PAGE_BYTES];

	if (cluster_below(cluster, 2)) {
		object = node->scan_object;
		page = node->scan_page++;
		if (node->scan_page == CLUSTER_PAGES) {
			node->scan_page = 0;
			node->scan_object = cluster_below(cluster, CLUSTER_OBJECTS);
		}
		if (node->private_busy[object][page] || task == NULL)
			return;
		node->private_busy[object][page] = true;
		cluster_begin_get(cluster, number, task, READ_PRIVATE, node->private_pool, object,
				  page);
		return;
	}
	if (node->private_busy[object][page])
		return;
	switch (cluster_below(cluster, 16)) {
	case 0:
		if (cluster_reads_object(node, READ_PRIVATE, object))
			return;
		tmem_cleancache_invalidate_inode(shim, node->private_pool, &oid);
		memset(node->private_pages[object], 0, sizeof(node->private_pages[object]));
		break;
	case 1 ... 4:
		tmem_cleancache_invalidate_page(shim, node->private_pool, &oid, page);
		node->private_pages[object][page] = 0;
		break;
	default:
		cluster_make_page(cluster, contents, ++cluster->next_version);
		node->private_pages[object][page] =
			tmem_shim_put(shim, node->private_pool, &oid, page, contents) == TMEM_DONE
				? cluster->next_version
				: 0;
		break;
	}
}

/* ---- the shared mount ----------------------------------------------------------------- */

/* A node gives its lock on the object up, or down: first its page cache, then the pool. */
static void begin_convert(struct cluster *cluster, int number, uint32_t object,
			  enum lock_mode target)
{
	struct cluster_node *node = &cluster->nodes[number];
	struct tmem_oid oid = cluster_oid_of(object);

	if (node->converting[object] || node->locks[object] <= target ||
	    cluster_reads_object(node, READ_SHARED, object))
		return;
	if (target == LOCK_NL)
		memset(node->cached[object], 0, sizeof(node->cached[object]));
	node->target[object] = target;
	node->converting[object] = tmem_cleancache_invalidate_inode_start(
					   cluster_shim_of(cluster, number), node->shared_pool,
					   &oid, &node->convert[object]) == TMEM_SHIM_PENDING;
	if (!node->converting[object])
		node->locks[object] = target;
}

void cluster_look_at_locks(struct cluster *cluster, int number)
{
	struct cluster_node *node = &cluster->nodes[number];

	for (uint32_t object = 0; object < CLUSTER_OBJECTS; object++)
		if (node->converting[object] &&
		    tmem_shim_finished(cluster_shim_of(cluster, number), &node->convert[object]) !=
			    TMEM_SHIM_PENDING) {
			node->converting[object] = false;
			node->locks[object] = node->target[object];
		}
}

static bool have_lock(struct cluster *cluster, int number, uint32_t object, enum lock_mode mode)
{
	struct cluster_node *node = &cluster->nodes[number];
	struct cluster_node *other = &cluster->nodes[1 - number];

	if (node->converting[object])
		return false;
	if (node->locks[object] >= mode)
		return true;
	if (mode == LOCK_EX ? other->locks[object] != LOCK_NL : other->locks[object] == LOCK_EX) {
		begin_convert(cluster, 1 - number, object, mode == LOCK_EX ? LOCK_NL : LOCK_PR);
		if (mode == LOCK_EX ? other->locks[object] != LOCK_NL
				    : other->locks[object] == LOCK_EX)
			return false;
	}
	node->locks[object] = mode;
	return true;
}

void cluster_shared_step(struct cluster *cluster, int number)
{
	struct cluster_node *node = &cluster->nodes[number];
	struct tmem_shim *shim = cluster_shim_of(cluster, number);
	uint32_t object = cluster_below(cluster, CLUSTER_OBJECTS),
		 page = cluster_below(cluster, CLUSTER_PAGES / 6);
	struct task *task = cluster_free_task(node);
	uint8_t contents[TMEM_PAGE_BYTES];
	struct tmem_oid oid;

	if (cluster_below(cluster, 3)) {
		object = cluster->hot_object;
		page = cluster->hot_page;
	}
	oid = cluster_oid_of(object);
	if (cluster_reads_page(node, object, page))
		return;
	/* reclaim alone goes on while a lock is being given up */
	switch (node->converting[object] ? 99 : cluster_below(cluster, 100)) {
	case 0 ... 4:
		if (!have_lock(cluster, number, object, LOCK_EX) ||
		    cluster_reads_object(node, READ_SHARED, object))
			return;
		cluster->disk[object][page] = ++cluster->next_version;
		node->cached[object][page] = cluster->next_version;
		cluster->hot_object = object;
		cluster->hot_page = page;
		return;
	case 5 ... 50:
		if (!have_lock(cluster, number, object, LOCK_PR))
			return;
		if (node->cached[object][page] != 0)
			CHECK_EQ(node->cached[object][page], cluster->disk[object][page]);
		else if (task != NULL)
			cluster_begin_get(cluster, number, task, READ_SHARED, node->shared_pool,
					  object, page);
		return;
	default:
		if (node->cached[object][page] == 0)
			return;
		cluster_make_page(cluster, contents, node->cached[object][page]);
		if (cluster_below(cluster, 4))
			tmem_cleancache_put_page(shim, node->shared_pool, &oid, page, contents);
		else
			tmem_cleancache_invalidate_page(shim, node->shared_pool, &oid, page);
		node->cached[object][page] = 0;
	}
}

/* A mount that has to stay out until its next mount is mounted again. */
void cluster_remount(struct cluster *cluster, int number)
{
	struct cluster_node *node = &cluster->nodes[number];
	struct tmem_shim *shim = cluster_shim_of(cluster, number);
	struct tmem_shim_pool_info info;
	int id;

	CHECK_EQ(tmem_shim_pool_info(shim, node->shared_pool, &info), 0);
	if (info.state != TMEM_SHIM_POOL_STAYS_OUT)
		return;
	for (uint32_t object = 0; object < CLUSTER_OBJECTS; object++)
		if (node->converting[object] || cluster_reads_object(node, READ_SHARED, object))
			return;
	cluster->remounts++;
	tmem_cleancache_invalidate_fs(shim, node->shared_pool);
	memset(node->cached, 0, sizeof(node->cached));
	memset(node->locks, 0, sizeof(node->locks));
	id = tmem_cleancache_init_shared_fs(shim, cluster_uuid, TMEM_PAGE_BYTES);
	CHECK(id >= 0);
	node->shared_pool = (uint32_t)id;
}

/* ---- swap ----------------------------------------------------------------------------- */

void cluster_swap_step(struct cluster *cluster, int number)
{
	struct cluster_node *node = &cluster->nodes[number];
	struct tmem_shim *shim = cluster_shim_of(cluster, number);
	uint32_t slot = cluster_below(cluster, CLUSTER_SLOTS), kind = cluster_below(cluster, 32);
	struct task *task = cluster_free_task(node);

	if (kind == 0) {
		/* a process exits */
		for (slot = cluster_below(cluster, CLUSTER_SLOTS); slot < CLUSTER_SLOTS; slot++)
			if (node->slots[slot] != 0 && !node->slot_busy[slot]) {
				tmem_frontswap_invalidate_page(shim, 0, slot);
				node->slots[slot] = 0;
			}
		return;
	}
	if (node->slot_busy[slot] || task == NULL)
		return;
	if (node->slots[slot] != 0 && kind < 12) {
		node->slot_busy[slot] = true;
		cluster_begin_task(
			cluster, number, task, LOAD, 0, slot,
			tmem_frontswap_load_start(shim, 0, slot, task->contents, &task->request));
		return;
	}
	/* frontswap invalidates a slot before it stores over it */
	if (node->slots[slot] != 0)
		tmem_frontswap_invalidate_page(shim, 0, slot);
	node->slots[slot] = 0;
	if (kind < 16)
		return;
	task->version = ++cluster->next_version;
	cluster_make_page(cluster, task->contents, task->version);
	node->slot_busy[slot] = true;
	cluster_begin_task(
		cluster, number, task, STORE, 0, slot,
		tmem_frontswap_store_start(shim, 0, slot, task->contents, &task->request));
}
