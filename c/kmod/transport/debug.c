// SPDX-License-Identifier: GPL-2.0-or-later
/* /sys/kernel/debug/tmem/transport: counters and info, a name and a value a line; pools, one a
 * line. */
#include <linux/debugfs.h>
#include <linux/module.h>
#include <linux/seq_file.h>

#include "transport.h"

static struct dentry *folder;

static int counters_show(struct seq_file *file, void *unused)
{
	struct tmem_transport_counters own = tmem_transport.counters;
	struct tmem_shim_counters counters;
	const u64 *values = (const u64 *)&counters;
	u32 i;

	tmem_shim_counters(tmem_transport.shim, &counters);
	for (i = 0; i < tmem_shim_counter_count; i++)
		seq_printf(file, "%s %llu\n", tmem_shim_counter_texts[i].name, values[i]);
#define SHOW(name, meaning) seq_printf(file, #name " %llu\n", own.name);
	TMEM_TRANSPORT_COUNTERS(SHOW)
#undef SHOW
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(counters);

static int info_show(struct seq_file *file, void *unused)
{
	static const char *const states[] = {"closed", "hello", "start", "running", "ended"};
	struct tmem_transport *transport = &tmem_transport;
	struct tmem_shim_info info;

	tmem_shim_info(transport->shim, &info);
	mutex_lock(&transport->pump);
	seq_printf(file, "device %s\n",
		   transport->port ? tmem_port_device_name(transport->port) : "none");
	seq_printf(file, "host_open %d\n", transport->up);
	mutex_unlock(&transport->pump);
	seq_printf(file, "attached %d\n", tmem_transport_attached());
	seq_printf(file, "state %s\n", info.state < ARRAY_SIZE(states) ? states[info.state] : "?");
#define SHOW(name) seq_printf(file, #name " %lld\n", (s64)info.name)
	SHOW(session);
	SHOW(epoch);
	SHOW(tag);
	SHOW(last_code);
	SHOW(lease_ms);
	SHOW(giveup_ms);
	SHOW(queued);
	SHOW(staged);
	SHOW(waiting);
	SHOW(waiting_loads);
	SHOW(landed);
	SHOW(shared_pools);
	SHOW(owed);
	SHOW(memory_bytes);
#undef SHOW
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(info);

static int pools_show(struct seq_file *file, void *unused)
{
	static const char *const states[] = {"",          "wanted",  "asked",  "ready",
					     "stays-out", "refused", "leaving"};
	struct tmem_shim_pool_info info;
	s64 pool = -1;

	while ((pool = tmem_shim_pool_next(tmem_transport.shim, pool)) >= 0) {
		if (tmem_shim_pool_info(tmem_transport.shim, pool, &info))
			continue;
		seq_printf(file, "%u %s %s%s", info.id,
			   info.state < ARRAY_SIZE(states) ? states[info.state] : "?",
			   info.flags & TMEM_POOL_PERSISTENT ? "persistent" : "ephemeral",
			   info.flags & TMEM_POOL_SHARED ? " shared" : " private");
		seq_printf(file,
			   " uuid=%pUb host_id=%d refused=%d owed_objects=%u owed_pages=%llu\n",
			   info.uuid, (int)info.host_id, info.refused, info.owed_objects,
			   info.owed_pages);
	}
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(pools);

void tmem_debug_register(void)
{
	folder = debugfs_create_dir("transport", tmem_backend_debugfs());
	debugfs_create_file("counters", 0444, folder, NULL, &counters_fops);
	debugfs_create_file("info", 0444, folder, NULL, &info_fops);
	debugfs_create_file("pools", 0444, folder, NULL, &pools_fops);
}

void tmem_debug_unregister(void)
{
	debugfs_remove_recursive(folder);
}
