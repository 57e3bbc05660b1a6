// SPDX-License-Identifier: GPL-2.0-or-later
/* What cleancache calls. */
#include "module.h"

#include <linux/cleancache.h>
#include <linux/uuid.h>

#include "hooks_table.h"

static struct tmem_oid oid_of(const struct cleancache_filekey *key)
{
	struct tmem_oid oid;

	BUILD_BUG_ON(sizeof(oid) != sizeof(*key));
	memcpy(&oid, key, sizeof(oid));
	return oid;
}

static int init_fs(size_t page_bytes)
{
	return tmem_hooks_init_fs(tmem_hooks_table(), page_bytes, NULL, false);
}

/*
 * Recovery leaves the pool and joins it anew (S3). That is no new mount, so what the host knows of
 * the old one still counts (R-a). Recovery allocates without file systems, which no mount does.
 */
static bool renews(void)
{
	return current->flags & PF_MEMALLOC_NOFS;
}

/* Only ocfs2 asks for a shared pool, and what that needs of the kernel are the cures. */
static int init_shared_fs(uuid_t *uuid, size_t page_bytes)
{
	struct tmem_hooks *hooks = tmem_hooks_table();
	char missing[32];
	bool share = tmem_hooks_may_share(missing, sizeof(missing));
	int id = tmem_hooks_init_fs(hooks, page_bytes, share ? uuid->b : NULL, renews());

	if (id < 0 || !missing[0])
		return id;
	if (share) {
		pr_warn("mount %d (%pU): force_shared; without%s its reads may be stale\n", id,
			uuid, missing);
	} else {
		TMEM_SEAM_COUNT(&hooks->counters, mounts_uncured);
		pr_warn("mount %d (%pU): a private pool, as this kernel lacks%s\n", id, uuid,
			missing);
	}
	return id;
}

static int get_page_of(int id, struct cleancache_filekey key, pgoff_t index, struct page *page)
{
	struct tmem_oid oid = oid_of(&key);

	return tmem_hooks_get_page(tmem_hooks_table(), id, &oid, index, page) ? -1 : 0;
}

static void put_page_of(int id, struct cleancache_filekey key, pgoff_t index, struct page *page)
{
	struct tmem_oid oid = oid_of(&key);

	if (PageCompound(page))
		tmem_hooks_refuse_put(tmem_hooks_table(), id, &oid, index, compound_nr(page));
	else
		tmem_hooks_put_page(tmem_hooks_table(), id, &oid, index, page);
}

static void invalidate_page(int id, struct cleancache_filekey key, pgoff_t index)
{
	struct tmem_oid oid = oid_of(&key);

	tmem_hooks_invalidate_page(tmem_hooks_table(), id, &oid, index);
}

static void invalidate_inode(int id, struct cleancache_filekey key)
{
	struct tmem_oid oid = oid_of(&key);

	might_sleep();
	tmem_hooks_invalidate_inode(tmem_hooks_table(), id, &oid);
}

static void invalidate_fs(int id)
{
	might_sleep();
	tmem_hooks_invalidate_fs(tmem_hooks_table(), id);
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

int tmem_hooks_register_cleancache(void)
{
	return cleancache_register_ops(&ops);
}
