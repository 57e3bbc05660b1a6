// SPDX-License-Identifier: GPL-2.0-or-later
/* Which of the cures of vm-configs/kernel/patches this kernel has: each exports a symbol. */
#include "module.h"

static bool force_shared;
module_param(force_shared, bool, 0644);
MODULE_PARM_DESC(force_shared,
		 "share pools on a kernel without the cures: reads may be stale (default: N)");

#define HAS(cure)                                                                                  \
	({                                                                                         \
		extern const unsigned int tmem_cure_##cure;                                        \
		bool there = symbol_get(tmem_cure_##cure) != NULL;                                 \
		if (there)                                                                         \
			symbol_put(tmem_cure_##cure);                                              \
		there;                                                                             \
	})

#define NAME_IF_MISSING(cure, text)                                                                \
	do {                                                                                       \
		if (!HAS(cure))                                                                    \
			strlcat(missing, text, bytes);                                             \
	} while (0)

bool tmem_hooks_may_share(char *missing, size_t bytes)
{
	missing[0] = '\0';
	NAME_IF_MISSING(s1, " S1");
	NAME_IF_MISSING(s2, " S2");
	NAME_IF_MISSING(s3, " S3");
	NAME_IF_MISSING(s4, " S4");
	NAME_IF_MISSING(s5, " S5");
	return !missing[0] || force_shared;
}

void tmem_hooks_look_for_cures(void)
{
	if (!HAS(f8))
		pr_warn("this kernel lacks F8: remounting ext4 read-write leaks a pool\n");
	if (!HAS(f9))
		pr_warn("this kernel lacks F9: reads after direct writes may be stale\n");
	if (!HAS(f12))
		pr_warn("this kernel lacks F12: pages of a file go with its inode\n");
}
