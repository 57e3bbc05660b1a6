// SPDX-License-Identifier: GPL-2.0-or-later
/* The table and its calls, for modules that call as cleancache and frontswap do (c/kmod/bench). */
#include "module.h"

EXPORT_SYMBOL_GPL(tmem_hooks_table);
EXPORT_SYMBOL_GPL(tmem_hooks_init_fs);
EXPORT_SYMBOL_GPL(tmem_hooks_invalidate_fs);
EXPORT_SYMBOL_GPL(tmem_hooks_get_page);
EXPORT_SYMBOL_GPL(tmem_hooks_put_page);
EXPORT_SYMBOL_GPL(tmem_hooks_area_init);
EXPORT_SYMBOL_GPL(tmem_hooks_area_gone);
EXPORT_SYMBOL_GPL(tmem_hooks_store);
EXPORT_SYMBOL_GPL(tmem_hooks_load);
EXPORT_SYMBOL_GPL(tmem_hooks_invalidate_slot);
