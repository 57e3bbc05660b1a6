// SPDX-License-Identifier: GPL-2.0-or-later
/* /sys/kernel/debug/tmem/bench/run: takes a run's name and how many operations; then it says what
 * came of it, a name and a value a line. */
#include <linux/debugfs.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/seq_file.h>
#include <linux/uaccess.h>

#include "bench.h"
#include "tmem_backend.h"

enum { COMMAND_BYTES = 64 };

static DEFINE_MUTEX(running);
static struct tmem_bench_result result;
static struct dentry *folder;

static int run(const char *name, u32 count)
{
	struct tmem_bench_result measured = {0};
	int code = tmem_bench_raw_run(name, count, &measured);

	if (code == -ENOENT)
		code = tmem_bench_calls_run(name, count, &measured);
	if (!code)
		result = measured;
	return code;
}

static ssize_t run_write(struct file *file, const char __user *from, size_t bytes, loff_t *at)
{
	char command[COMMAND_BYTES] = {0}, name[COMMAND_BYTES];
	u32 count;
	int code;

	if (bytes >= sizeof(command) || copy_from_user(command, from, bytes))
		return -EINVAL;
	if (sscanf(command, "%63s %u", name, &count) != 2 || !count ||
	    count > TMEM_BENCH_OPERATIONS_MAX)
		return -EINVAL;
	mutex_lock(&running);
	code = run(name, count);
	mutex_unlock(&running);
	return code ?: (ssize_t)bytes;
}

static int run_show(struct seq_file *file, void *unused)
{
	mutex_lock(&running);
	seq_printf(file, "pages %llu\nwall_ns %llu\nmedian_ns %llu\n", result.pages, result.wall_ns,
		   result.median_ns);
	mutex_unlock(&running);
	return 0;
}

static int run_open(struct inode *inode, struct file *file)
{
	return single_open(file, run_show, NULL);
}

static const struct file_operations run_fops = {
	.owner = THIS_MODULE,
	.open = run_open,
	.read = seq_read,
	.write = run_write,
	.llseek = seq_lseek,
	.release = single_release,
};

static int __init load(void)
{
	int code = tmem_bench_samples_init();

	if (code)
		return code;
	code = tmem_bench_calls_init();
	if (code)
		goto no_calls;
	code = tmem_bench_raw_init();
	if (code)
		goto no_raw;
	folder = debugfs_create_dir("bench", tmem_backend_debugfs());
	debugfs_create_file("run", 0600, folder, NULL, &run_fops);
	return 0;
no_raw:
	tmem_bench_calls_exit();
no_calls:
	tmem_bench_samples_free();
	return code;
}

static void __exit unload(void)
{
	debugfs_remove_recursive(folder);
	tmem_bench_raw_exit();
	tmem_bench_calls_exit();
	tmem_bench_samples_free();
}

module_init(load);
module_exit(unload);
MODULE_DESCRIPTION("Transcendent memory: what the guest kernel's calls cost");
MODULE_LICENSE("GPL");
