// SPDX-License-Identifier: GPL-2.0-or-later
/* Says which cures the kernel carries, found as the hooks module finds them. */
#include <linux/module.h>

#define SAY(cure)                                                                                  \
	do {                                                                                       \
		extern const unsigned int tmem_cure_##cure;                                        \
		const unsigned int *marker = symbol_get(tmem_cure_##cure);                         \
		pr_info("find_cures: " #cure " %u\n", marker ? *marker : 0);                       \
		if (marker)                                                                        \
			symbol_put(tmem_cure_##cure);                                              \
	} while (0)

static int __init find_cures_init(void)
{
	SAY(f8);
	SAY(f9);
	SAY(s1);
	SAY(s2);
	SAY(s3);
	SAY(s4);
	SAY(s5);
	SAY(f12);
	return 0;
}

static void __exit find_cures_exit(void)
{
}

module_init(find_cures_init);
module_exit(find_cures_exit);
MODULE_LICENSE("GPL");
