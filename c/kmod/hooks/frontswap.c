// SPDX-License-Identifier: GPL-2.0-or-later
/* What frontswap calls. */
#include "module.h"

#include <linux/frontswap.h>

static unsigned long swap_area_mib;
module_param(swap_area_mib, ulong, 0644);
MODULE_PARM_DESC(swap_area_mib,
		 "MiB of each swap area that are kept track of; what is swapped beyond goes to the "
		 "disk (default: 0 = four times the memory, at least 1024)");

/* The size of an area is nobody's business but mm's, so it has a bound instead. */
static uint64_t area_pages(void)
{
	uint64_t mib = READ_ONCE(swap_area_mib);

	if (mib)
		return mib << (20 - PAGE_SHIFT);
	return max_t(uint64_t, 4 * totalram_pages(), 1 << (30 - PAGE_SHIFT));
}

static void init(unsigned int type)
{
	int result = tmem_hooks_area_init(tmem_hooks_table(), type, area_pages());

	if (result)
		pr_warn("swap area %u stays on its disk: error %d\n", type, result);
}

static int store(unsigned int type, pgoff_t offset, struct page *page)
{
	if (PageCompound(page)) {
		tmem_hooks_refuse_store(tmem_hooks_table(), type, offset, compound_nr(page));
		return -1;
	}
	return tmem_hooks_store(tmem_hooks_table(), type, offset, page) ? -1 : 0;
}

static int load(unsigned int type, pgoff_t offset, struct page *page)
{
	int result = tmem_hooks_load(tmem_hooks_table(), type, offset, page);

	/* mm would read the slot from the disk, where it was never written (F2) */
	if (result && result != -ENOENT)
		panic("tmem_hooks: slot %lu of swap area %u is lost: error %d", offset, type,
		      result);
	return result ? -1 : 0;
}

static void invalidate_page(unsigned int type, pgoff_t offset)
{
	tmem_hooks_invalidate_slot(tmem_hooks_table(), type, offset);
}

static void invalidate_area(unsigned int type)
{
	tmem_hooks_area_gone(tmem_hooks_table(), type);
}

static struct frontswap_ops ops = {
	.init = init,
	.store = store,
	.load = load,
	.invalidate_page = invalidate_page,
	.invalidate_area = invalidate_area,
};

void tmem_hooks_register_frontswap(void)
{
	frontswap_register_ops(&ops);
}
