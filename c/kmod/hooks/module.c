// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The module tmem_hooks: registers with cleancache and frontswap, which know no way back, and so
 * stays until the machine is rebooted (docs/guest-modules.md).
 */
#include "module.h"

#include <linux/random.h>
#include <linux/slab.h>

#include "hooks_table.h"

static bool cleancache = true;
module_param(cleancache, bool, 0444);
MODULE_PARM_DESC(cleancache, "register with cleancache (default: Y)");

static bool frontswap = true;
module_param(frontswap, bool, 0444);
MODULE_PARM_DESC(frontswap, "register with frontswap (default: Y)");

static struct tmem_hooks table;

struct tmem_hooks *tmem_hooks_table(void)
{
	return &table;
}

int tmem_backend_register(const struct tmem_backend *backend)
{
	struct tmem_hooks_info info;
	int result;

	if (!try_module_get(backend->owner))
		return -ENODEV;
	result = tmem_hooks_attach(&table, backend);
	if (result) {
		pr_warn("%s is refused: another backend is attached\n", backend->name);
		module_put(backend->owner);
		return result;
	}
	tmem_hooks_info(&table, &info);
	pr_info("%s is attached: %u of %u mounts have a pool, %u swap areas\n", backend->name,
		info.pools, info.mounts, info.areas);
	return 0;
}
EXPORT_SYMBOL_GPL(tmem_backend_register);

int tmem_backend_unregister(const struct tmem_backend *backend, uint64_t *pages)
{
	uint64_t held;
	int result = tmem_hooks_detach(&table, backend, &held);

	if (result == -EBUSY)
		pr_info("%s stays attached: frontswap holds %llu pages\n", backend->name, held);
	if (pages)
		*pages = held;
	if (result)
		return result;
	pr_info("%s is detached\n", backend->name);
	module_put(backend->owner);
	return 0;
}
EXPORT_SYMBOL_GPL(tmem_backend_unregister);

static uint8_t boot_id[TMEM_BOOT_ID_BYTES];

void tmem_backend_boot_id(uint8_t *id)
{
	memcpy(id, boot_id, sizeof(boot_id));
}
EXPORT_SYMBOL_GPL(tmem_backend_boot_id);

/* Written and read while a backend is loaded or unloaded: by one at a time. */
static uint64_t token;

void tmem_backend_keep_token(uint64_t newest)
{
	token = newest;
}
EXPORT_SYMBOL_GPL(tmem_backend_keep_token);

uint64_t tmem_backend_kept_token(void)
{
	return token;
}
EXPORT_SYMBOL_GPL(tmem_backend_kept_token);

static int __init tmem_hooks_init(void)
{
	int result;

	if (!cleancache && !frontswap) {
		pr_err("cleancache=N and frontswap=N leave nothing to do\n");
		return -EINVAL;
	}
	result = tmem_hooks_setup(&table);
	if (result)
		return result;
	get_random_bytes(boot_id, sizeof(boot_id));
	/* first, as it alone may be refused, and frontswap can not be taken back */
	if (cleancache)
		result = tmem_hooks_register_cleancache();
	if (result) {
		pr_err("cleancache has a backend already; cleancache=N goes on without\n");
		tmem_hooks_teardown(&table);
		return result;
	}
	if (frontswap)
		tmem_hooks_register_frontswap();
	tmem_hooks_look_for_cures();
	tmem_hooks_show();
	return 0;
}

/* no exit: neither cleancache nor frontswap lets go of who has registered */
module_init(tmem_hooks_init);
MODULE_DESCRIPTION("Transcendent memory: front ends of the guest");
MODULE_LICENSE("GPL");
