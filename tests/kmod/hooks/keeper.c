// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A backend for tests: keeps pages in the guest's own memory, and complains when it is called in a
 * way that tmem_backend.h does not promise.
 *
 * Parameters: attached (Y, N: attaches, detaches), second (written: another backend tries),
 * destroy_ms (how long destroy_pool takes), pools_max (new_pool refuses more), talk.
 */
#include <linux/atomic.h>
#include <linux/bitmap.h>
#include <linux/delay.h>
#include <linux/highmem.h>
#include <linux/jhash.h>
#include <linux/module.h>
#include <linux/spinlock.h>
#include <linux/vmalloc.h>

#include "tmem_backend.h"

enum { SLOTS = 8192, POOLS = 65536, SWAP = -2, AREAS = 32 };

struct slot {
	int pool; /* -1: empty; SWAP - type: of a swap area */
	struct tmem_oid oid;
	uint64_t index;
	u8 data[PAGE_SIZE];
};

static struct slot *slots;
static DEFINE_SPINLOCK(lock);
static DECLARE_BITMAP(open, POOLS);   /* from new_pool to destroy_pool */
static DECLARE_BITMAP(closed, POOLS); /* from destroy_pool on */
static bool area_there[AREAS];
static int last_pool, open_pools;
static bool registered; /* from before register to after unregister */

static unsigned int destroy_ms;
module_param(destroy_ms, uint, 0644);
static unsigned int pools_max = POOLS;
module_param(pools_max, uint, 0644);
static bool talk = true;
module_param(talk, bool, 0644);

#define SAY(...)                                                                                   \
	do {                                                                                       \
		if (READ_ONCE(talk))                                                               \
			pr_info("keeper: " __VA_ARGS__);                                           \
	} while (0)

static void used(int pool)
{
	WARN(!READ_ONCE(registered), "called without being attached");
	WARN(pool < 0 || !test_bit(pool, open), "pool %d is not open", pool);
}

static struct slot *slot_of(int pool, const struct tmem_oid *oid, uint64_t index)
{
	/* neighbours apart: a long run of swapped pages would keep all of a file out */
	u32 hash = jhash(oid, sizeof(*oid), jhash_2words(pool, (u32)index, 0));

	return &slots[hash % SLOTS];
}

static bool is(const struct slot *slot, int pool, const struct tmem_oid *oid, uint64_t index)
{
	return slot->pool == pool && slot->index == index && !memcmp(&slot->oid, oid, sizeof(*oid));
}

static void drop(int pool, const struct tmem_oid *oid, uint64_t index)
{
	struct slot *slot = slot_of(pool, oid, index);
	unsigned long flags;

	spin_lock_irqsave(&lock, flags);
	if (is(slot, pool, oid, index))
		slot->pool = -1;
	spin_unlock_irqrestore(&lock, flags);
}

/* Whether the page is kept now; @replace: at the cost of another one. */
static bool keep(int pool, const struct tmem_oid *oid, uint64_t index, struct page *page,
		 bool replace)
{
	struct slot *slot = slot_of(pool, oid, index);
	unsigned long flags;
	bool kept = false;
	void *from;

	spin_lock_irqsave(&lock, flags);
	if (slot->pool == -1 || is(slot, pool, oid, index) || (replace && slot->pool >= 0)) {
		slot->pool = pool;
		slot->oid = *oid;
		slot->index = index;
		from = kmap_atomic(page);
		copy_page(slot->data, from);
		kunmap_atomic(from);
		kept = true;
	}
	spin_unlock_irqrestore(&lock, flags);
	return kept;
}

static int fetch(int pool, const struct tmem_oid *oid, uint64_t index, struct page *page,
		 bool exclusive)
{
	struct slot *slot = slot_of(pool, oid, index);
	unsigned long flags;
	bool hit;
	void *to;

	spin_lock_irqsave(&lock, flags);
	hit = is(slot, pool, oid, index);
	if (hit) {
		to = kmap_atomic(page);
		copy_page(to, slot->data);
		kunmap_atomic(to);
		if (exclusive)
			slot->pool = -1;
	}
	spin_unlock_irqrestore(&lock, flags);
	return hit ? 0 : -ENOENT;
}

static void drop_all(int pool, const struct tmem_oid *oid)
{
	unsigned long flags;
	int i;

	spin_lock_irqsave(&lock, flags);
	for (i = 0; i < SLOTS; i++)
		if (slots[i].pool == pool && (!oid || !memcmp(&slots[i].oid, oid, sizeof(*oid))))
			slots[i].pool = -1;
	spin_unlock_irqrestore(&lock, flags);
}

static int new_pool(void *context, const uint8_t *uuid, bool was_member)
{
	WARN(!READ_ONCE(registered), "a pool without being attached");
	if (open_pools >= READ_ONCE(pools_max) || last_pool == POOLS - 1) {
		SAY("new_pool is refused\n");
		return -EMFILE;
	}
	open_pools++;
	set_bit(++last_pool, open);
	SAY("new_pool %d %s %s\n", last_pool, uuid ? "shared" : "private",
	    was_member ? "again" : "new");
	return last_pool;
}

static void destroy_pool(void *context, int pool)
{
	might_sleep();
	WARN(!READ_ONCE(registered), "called without being attached");
	WARN(!test_and_clear_bit(pool, open), "pool %d is not open", pool);
	open_pools--;
	SAY("destroy_pool %d\n", pool);
	msleep(READ_ONCE(destroy_ms));
	drop_all(pool, NULL);
	set_bit(pool, closed);
	SAY("destroyed %d\n", pool);
}

static int get(void *context, int pool, const struct tmem_oid *oid, uint64_t index,
	       struct page *page)
{
	might_sleep();
	used(pool);
	return fetch(pool, oid, index, page, true);
}

static void put(void *context, int pool, const struct tmem_oid *oid, uint64_t index,
		struct page *page)
{
	used(pool);
	WARN(PageCompound(page), "a compound page");
	if (!keep(pool, oid, index, page, true))
		drop(pool, oid, index);
}

static void flush_page(void *context, int pool, const struct tmem_oid *oid, uint64_t index)
{
	used(pool);
	drop(pool, oid, index);
}

static void flush_object(void *context, int pool, const struct tmem_oid *oid)
{
	might_sleep();
	WARN(!READ_ONCE(registered), "called without being attached");
	if (!test_bit(pool, open)) {
		while (!test_bit(pool, closed))
			msleep(10);
		SAY("flush_object has waited for %d\n", pool);
		return;
	}
	drop_all(pool, oid);
}

/* ---- swap ------------------------------------------------------------------------------ */

static const struct tmem_oid no_oid;

static int area_new(void *context, unsigned int type, uint64_t pages)
{
	might_sleep();
	WARN(area_there[type], "area %u twice", type);
	area_there[type] = true;
	SAY("area_new %u\n", type);
	return 0;
}

static int store(void *context, unsigned int type, uint64_t offset, struct page *page)
{
	might_sleep();
	WARN(!READ_ONCE(registered), "called without being attached");
	WARN(!area_there[type], "area %u is not there", type);
	WARN(PageCompound(page), "a compound page");
	return keep(SWAP - (int)type, &no_oid, offset, page, false) ? 0 : -ENOSPC;
}

static int load(void *context, unsigned int type, uint64_t offset, struct page *page)
{
	int result = fetch(SWAP - (int)type, &no_oid, offset, page, false);

	might_sleep();
	WARN(result, "a load of what was not stored");
	return result;
}

static void flush_slot(void *context, unsigned int type, uint64_t offset)
{
	int pool = SWAP - (int)type;

	WARN(!READ_ONCE(registered), "called without being attached");
	WARN(!is(slot_of(pool, &no_oid, offset), pool, &no_oid, offset),
	     "a flush of what was not stored");
	drop(pool, &no_oid, offset);
}

static void area_gone(void *context, unsigned int type)
{
	might_sleep();
	WARN(!area_there[type], "area %u is not there", type);
	area_there[type] = false;
	drop_all(SWAP - (int)type, NULL);
	SAY("area_gone %u\n", type);
}

/* ---- coming and going ------------------------------------------------------------------- */

static const struct tmem_backend backend = {
	.name = "keeper",
	.owner = THIS_MODULE,
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

static int attach(void)
{
	int result;

	registered = true;
	result = tmem_backend_register(&backend);
	registered = result == 0;
	SAY("attach %d\n", result);
	return result;
}

static int detach(void)
{
	uint64_t pages;
	int result = tmem_backend_unregister(&backend, &pages);

	SAY("detach %d %llu\n", result, pages);
	if (result)
		return result;
	registered = false;
	memset(area_there, 0, sizeof(area_there));
	WARN(open_pools, "%d pools are left", open_pools);
	return 0;
}

static int set_attached(const char *value, const struct kernel_param *param)
{
	bool wanted;
	int result = kstrtobool(value, &wanted);

	if (result || wanted == registered)
		return result;
	return wanted ? attach() : detach();
}

static int get_attached(char *buffer, const struct kernel_param *param)
{
	return sprintf(buffer, "%c\n", registered ? 'Y' : 'N');
}

static const struct kernel_param_ops attached_ops = {.set = set_attached, .get = get_attached};
module_param_cb(attached, &attached_ops, NULL, 0644);

static const struct tmem_backend other = {.name = "other", .owner = THIS_MODULE};

static int set_second(const char *value, const struct kernel_param *param)
{
	SAY("second %d\n", tmem_backend_register(&other));
	SAY("second leaves %d\n", tmem_backend_unregister(&other, NULL));
	return 0;
}

static const struct kernel_param_ops second_ops = {.set = set_second};
module_param_cb(second, &second_ops, NULL, 0200);

static int __init keeper_init(void)
{
	int i;

	slots = vzalloc(SLOTS * sizeof(*slots));
	if (!slots)
		return -ENOMEM;
	for (i = 0; i < SLOTS; i++)
		slots[i].pool = -1;
	attach();
	return 0;
}

static void __exit keeper_exit(void)
{
	vfree(slots);
}

module_init(keeper_init);
module_exit(keeper_exit);
MODULE_LICENSE("GPL");
