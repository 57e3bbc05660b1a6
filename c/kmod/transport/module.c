// SPDX-License-Identifier: GPL-2.0-or-later
#include <linux/module.h>
#include <generated/utsrelease.h>

#include "transport.h"

struct tmem_transport tmem_transport;

/* ---- parameters ----------------------------------------------------------------------- */

static char *device = "";
module_param(device, charp, 0444);
MODULE_PARM_DESC(device, "virtio device of the port " TMEM_PORT_NAME ", such as virtio3");

static char *lost = "panic";
module_param(lost, charp, 0444);
MODULE_PARM_DESC(lost, "what becomes of a process whose swap page the host has lost: panic, wait");

static unsigned int staged_pages = 512;
module_param(staged_pages, uint, 0444);
MODULE_PARM_DESC(staged_pages, "pages on their way to the host at a time");

static unsigned int queue_entries = 2048;
module_param(queue_entries, uint, 0444);
MODULE_PARM_DESC(queue_entries, "operations on their way at a time, a power of two");

static unsigned int landing_pages = 128;
module_param(landing_pages, uint, 0444);
MODULE_PARM_DESC(landing_pages, "pages fetched ahead and not read yet");

static unsigned int pools = 64;
module_param(pools, uint, 0444);
MODULE_PARM_DESC(pools, "mounts with a pool at a time, and one for swap");

enum { POLL_MAX_US = 10000 };

static unsigned int poll_us = 1000;
module_param(poll_us, uint, 0644);
MODULE_PARM_DESC(poll_us,
		 "how long a task that waits moves bytes itself while nobody else is to run, in "
		 "microseconds, at most 10000");

u64 tmem_transport_poll_ns(void)
{
	/* it is spun, with the pump held */
	return (u64)min_t(unsigned int, READ_ONCE(poll_us), POLL_MAX_US) * NSEC_PER_USEC;
}

bool tmem_transport_panics(void)
{
	return strcmp(lost, "wait");
}

const char *tmem_transport_device(void)
{
	return device;
}

/* ---- attached: reads Y or N; N detaches, Y attaches again ------------------------------ */

static bool attached;
static bool loaded;

bool tmem_transport_attached(void)
{
	return READ_ONCE(attached);
}

static int attach(void)
{
	int code = tmem_backend_register(&tmem_transport_backend);

	if (!code)
		attached = true;
	else
		pr_err("tmem: the transport cannot be attached: another backend is (%d)\n", code);
	return code;
}

static bool mounts_stay_out;

static int detach(void)
{
	uint64_t pages = 0;
	int code;

	/* of pools that are gone nobody can tell */
	mounts_stay_out = tmem_shim_stays_out(tmem_transport.shim);
	code = tmem_backend_unregister(&tmem_transport_backend, &pages);

	if (!code)
		attached = false;
	else if (code == -EBUSY)
		pr_err("tmem: the transport stays attached: the host holds %llu swap pages; "
		       "swapoff brings them home\n",
		       pages);
	return code;
}

static int set_attached(const char *value, const struct kernel_param *parameter)
{
	bool wanted;
	int code = kstrtobool(value, &wanted);

	if (code)
		return code;
	/* whoever loads the module attaches it */
	if (!READ_ONCE(loaded))
		return -EINVAL;
	if (wanted == attached)
		return 0;
	return wanted ? attach() : detach();
}

static const struct kernel_param_ops attached_ops = {
	.set = set_attached,
	.get = param_get_bool,
};
module_param_cb(attached, &attached_ops, &attached, 0644);
MODULE_PARM_DESC(attached,
		 "N detaches (refused while the host holds swap pages), Y attaches again");

/* ---- loading, unloading --------------------------------------------------------------- */

static int make_shim(void)
{
	static const struct tmem_shim_callbacks callbacks = {
		.wake = tmem_pump_shim_wakes,
		.reopen = tmem_pump_reopen,
		.lost = tmem_notify_lost,
		.event = tmem_notify_event,
	};
	/* of the session before this module was unloaded there is left what proves its age (R-a) */
	const struct tmem_shim_saved before = {.confirmed = tmem_backend_kept_token()};
	struct tmem_shim_config config = {
		.queue_entries = queue_entries,
		.staged_pages = staged_pages,
		.pools = pools,
		.landing_pages = landing_pages,
		.implementation = "Linux " UTS_RELEASE ", tmem_transport",
	};
	int code;

	tmem_backend_boot_id(config.boot_id);
	code = tmem_memory_make_shim(&config, &callbacks);
	if (!code)
		tmem_shim_restore(tmem_transport.shim, &before);
	return code;
}

static int __init load(void)
{
	struct tmem_transport *transport = &tmem_transport;
	int code;

	if (!*device) {
		pr_err("tmem: device=virtioN has to name the device of the port %s\n",
		       TMEM_PORT_NAME);
		return -EINVAL;
	}
	if (strcmp(lost, "panic") && strcmp(lost, "wait")) {
		pr_err("tmem: lost=%s is neither panic nor wait\n", lost);
		return -EINVAL;
	}
	mutex_init(&transport->pump);
	init_waitqueue_head(&transport->wake);
	transport->fill_ns = U64_MAX;
	transport->crowded_pages = staged_pages / 2;
	code = make_shim();
	if (code)
		return code;
	code = tmem_pump_start();
	if (code)
		goto no_thread;
	code = tmem_notify_register();
	if (code)
		goto no_notifiers;
	code = tmem_reclaim_register();
	if (code)
		goto no_shrinker;
	code = tmem_port_register();
	if (code)
		goto no_driver;
	if (!transport->port)
		pr_warn("tmem: there is no %s, or virtio_console has it; the backend waits for "
			"it\n",
			device);
	code = attach();
	if (code)
		goto not_attached;
	tmem_debug_register();
	WRITE_ONCE(loaded, true);
	return 0;
not_attached:
	tmem_port_unregister();
no_driver:
	tmem_reclaim_unregister();
no_shrinker:
	tmem_notify_unregister();
no_notifiers:
	tmem_pump_stop();
no_thread:
	tmem_memory_free_shim();
	return code;
}

/* Only once detached: hooks holds this module until then. */
static void __exit unload(void)
{
	struct tmem_shim_info info;

	tmem_debug_unregister();
	tmem_reclaim_unregister();
	tmem_pump_stop();
	tmem_port_unregister();
	tmem_shim_info(tmem_transport.shim, &info);
	tmem_backend_keep_token(mounts_stay_out ? 0 : info.confirmed);
	tmem_notify_unregister();
	tmem_memory_free_shim();
}

module_init(load);
module_exit(unload);
MODULE_DESCRIPTION("Transcendent memory on a KVM host, over a virtio-serial port");
MODULE_LICENSE("GPL");
