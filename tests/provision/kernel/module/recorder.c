// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A cleancache backend for tests: keeps some pages, as it should, and says on the console when a
 * pool comes or goes, or an inode is flushed.
 */
#include <linux/cleancache.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/spinlock.h>

#define SLOTS 1024

struct slot {
	int pool_id; /* 0: empty */
	struct cleancache_filekey key;
	pgoff_t index;
	u8 data[PAGE_SIZE];
};

static struct slot *slots[SLOTS];
static DEFINE_SPINLOCK(lock);
static struct super_block *mount_of_pool[64];
static int last_id;

static bool same_file(const struct slot *slot, int id, const struct cleancache_filekey *key)
{
	return slot->pool_id == id && !memcmp(&slot->key, key, sizeof(*key));
}

static struct slot *find(int id, const struct cleancache_filekey *key, pgoff_t index)
{
	int i;

	for (i = 0; i < SLOTS; i++)
		if (same_file(slots[i], id, key) && slots[i]->index == index)
			return slots[i];
	return NULL;
}

static void drop(struct slot *slot)
{
	slot->pool_id = 0;
	memset(&slot->key, 0, sizeof(slot->key));
	slot->index = 0;
}

static void copy(void *to, const void *from)
{
	memcpy(to, from, PAGE_SIZE);
}

static int new_pool(const char *how)
{
	last_id++;
	pr_info("recorder: %s gives %d\n", how, last_id);
	return last_id;
}

static int init_fs(size_t page_size)
{
	return new_pool("init_fs");
}

static int init_shared_fs(uuid_t *uuid, size_t page_size)
{
	return new_pool("init_shared_fs");
}

static int get_page_of(int id, struct cleancache_filekey key, pgoff_t index, struct page *page)
{
	struct slot *slot;
	unsigned long flags;

	spin_lock_irqsave(&lock, flags);
	slot = find(id, &key, index);
	if (slot) {
		copy(page_address(page), slot->data);
		drop(slot);
	}
	spin_unlock_irqrestore(&lock, flags);
	return slot ? 0 : -1;
}

static void put_page_of(int id, struct cleancache_filekey key, pgoff_t index, struct page *page)
{
	struct cleancache_filekey none = {};
	struct slot *slot;
	unsigned long flags;

	spin_lock_irqsave(&lock, flags);
	mount_of_pool[id] = page->mapping->host->i_sb;
	slot = find(id, &key, index);
	if (!slot)
		slot = find(0, &none, 0);
	if (slot) {
		slot->pool_id = id;
		slot->key = key;
		slot->index = index;
		copy(slot->data, page_address(page));
	}
	spin_unlock_irqrestore(&lock, flags);
}

static void invalidate_page(int id, struct cleancache_filekey key, pgoff_t index)
{
	struct slot *slot;
	unsigned long flags;

	spin_lock_irqsave(&lock, flags);
	slot = find(id, &key, index);
	if (slot)
		drop(slot);
	spin_unlock_irqrestore(&lock, flags);
}

static void invalidate_inode(int id, struct cleancache_filekey key)
{
	unsigned long flags;
	int dropped = 0;
	int i;

	might_sleep();
	spin_lock_irqsave(&lock, flags);
	for (i = 0; i < SLOTS; i++)
		if (same_file(slots[i], id, &key)) {
			drop(slots[i]);
			dropped++;
		}
	spin_unlock_irqrestore(&lock, flags);
	if (dropped)
		pr_info("recorder: invalidate_inode drops %d of pool %d\n", dropped, id);
}

static void invalidate_fs(int id)
{
	unsigned long flags;
	int i;

	might_sleep();
	if (mount_of_pool[id])
		pr_info("recorder: invalidate_fs %d, the mount has %d\n", id,
			mount_of_pool[id]->cleancache_poolid);
	else
		pr_info("recorder: invalidate_fs %d\n", id);
	spin_lock_irqsave(&lock, flags);
	for (i = 0; i < SLOTS; i++)
		if (slots[i]->pool_id == id)
			drop(slots[i]);
	mount_of_pool[id] = NULL;
	spin_unlock_irqrestore(&lock, flags);
}

static const struct cleancache_ops ops = {
	.init_fs = init_fs,
	.init_shared_fs = init_shared_fs,
	.get_page = get_page_of,
	.put_page = put_page_of,
	.invalidate_page = invalidate_page,
	.invalidate_inode = invalidate_inode,
	.invalidate_fs = invalidate_fs,
};

static int __init recorder_init(void)
{
	int i;

	for (i = 0; i < SLOTS; i++) {
		slots[i] = kzalloc(sizeof(*slots[i]), GFP_KERNEL);
		if (!slots[i])
			return -ENOMEM;
	}
	return cleancache_register_ops(&ops);
}

/* no exit: a cleancache backend stays */
module_init(recorder_init);
MODULE_LICENSE("GPL");
