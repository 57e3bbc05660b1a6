/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The parts of the module tmem_hooks: the table of c/hooks between the kernel and a backend. */
#ifndef TMEM_HOOKS_MODULE_H
#define TMEM_HOOKS_MODULE_H

#define pr_fmt(fmt) "tmem_hooks: " fmt

#include <linux/module.h>

#include "hooks.h"

/* The one table of this kernel. */
struct tmem_hooks *tmem_hooks_table(void);

/* Registers with cleancache: 0, or -EBUSY. Task; once, there is no way back. */
int tmem_hooks_register_cleancache(void);

/* Registers with frontswap. Task; once, there is no way back. */
void tmem_hooks_register_frontswap(void);

/* Whether ocfs2 may share a pool on this kernel: it has the cures S1 to S5, or force_shared says
 * that it may. The answer for a mount; @missing names the cures that are not there. Task. */
bool tmem_hooks_may_share(char *missing, size_t bytes);

/* Says in the log what of F8, F9 and F12 is missing. Task. */
void tmem_hooks_look_for_cures(void);

/* The folder tmem/hooks in debugfs; what fails there is not missed. Task. */
void tmem_hooks_show(void);

#endif
