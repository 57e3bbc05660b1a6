// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * /sys/kernel/debug/tmem/hooks/:
 *   counters         "name value" in lines
 *   mounts           a line for each: id=, kind=, uuid=, pool=, state=, was_member=
 *   areas            a line for each: type=, pages=, held=, taken=
 *   frontswap_pages  pages that the backend holds: a detach is refused while it is not 0
 *   backend          attached=, detaching=
 */
#include "module.h"

#include <linux/debugfs.h>
#include <linux/seq_file.h>

static int counters_show(struct seq_file *file, void *unused)
{
	struct tmem_hooks_counters counters;
	const u64 *values = (const u64 *)&counters;
	u32 i;

	tmem_hooks_counters(tmem_hooks_table(), &counters);
	for (i = 0; i < tmem_hooks_counter_count; i++)
		seq_printf(file, "%s %llu\n", tmem_hooks_counter_texts[i].name, values[i]);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(counters);

static const char yes_no[] = {'N', 'Y'};

static int mounts_show(struct seq_file *file, void *unused)
{
	static const char *const states[] = {
		[TMEM_HOOKS_POOL_NONE] = "none",
		[TMEM_HOOKS_POOL_OPEN] = "open",
		[TMEM_HOOKS_POOL_LEAVING] = "leaving",
	};
	struct tmem_hooks_mount_info info = {0};

	while (!tmem_hooks_mount_info(tmem_hooks_table(), info.id, &info))
		seq_printf(file, "id=%d kind=%s uuid=%pU pool=%d state=%s was_member=%c\n", info.id,
			   info.shared ? "shared" : "private", info.uuid, info.pool,
			   states[info.state], yes_no[info.was_member]);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(mounts);

static int areas_show(struct seq_file *file, void *unused)
{
	struct tmem_hooks_area_info info;
	unsigned int type;

	for (type = 0; type < TMEM_HOOKS_AREAS; type++)
		if (!tmem_hooks_area_info(tmem_hooks_table(), type, &info))
			seq_printf(file, "type=%u pages=%llu held=%llu taken=%c\n", type,
				   info.pages, info.held, yes_no[info.taken]);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(areas);

static int frontswap_pages_show(struct seq_file *file, void *unused)
{
	struct tmem_hooks_info info;

	tmem_hooks_info(tmem_hooks_table(), &info);
	seq_printf(file, "%llu\n", info.frontswap_pages);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(frontswap_pages);

static int backend_show(struct seq_file *file, void *unused)
{
	struct tmem_hooks_info info;

	tmem_hooks_info(tmem_hooks_table(), &info);
	seq_printf(file, "attached=%c detaching=%c\n", yes_no[info.attached],
		   yes_no[info.detaching]);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(backend);

static struct dentry *root;

struct dentry *tmem_backend_debugfs(void)
{
	return root;
}
EXPORT_SYMBOL_GPL(tmem_backend_debugfs);

void tmem_hooks_show(void)
{
	struct dentry *folder;

	root = debugfs_create_dir("tmem", NULL);
	folder = debugfs_create_dir("hooks", root);
	debugfs_create_file("counters", 0444, folder, NULL, &counters_fops);
	debugfs_create_file("mounts", 0444, folder, NULL, &mounts_fops);
	debugfs_create_file("areas", 0444, folder, NULL, &areas_fops);
	debugfs_create_file("frontswap_pages", 0444, folder, NULL, &frontswap_pages_fops);
	debugfs_create_file("backend", 0444, folder, NULL, &backend_fops);
}
