/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Rules that a debug build can switch off one at a time, so that a test can show what happens
 * without them. In other builds every TMEM_HOOKS_RULE is true and costs nothing. The names are
 * those of the model (tests/model/rules.h).
 */
#ifndef TMEM_HOOKS_RULES_H
#define TMEM_HOOKS_RULES_H

enum tmem_hooks_rule {
	TMEM_HOOKS_RULE_IDS = 1 << 0,
	TMEM_HOOKS_RULE_ONE_MAKER = 1 << 1,
	TMEM_HOOKS_RULE_RECHECK = 1 << 2,
	TMEM_HOOKS_RULE_NEW_POOLS = 1 << 3,
	TMEM_HOOKS_RULE_F1 = 1 << 4,
	TMEM_HOOKS_RULE_BUSY = 1 << 5,
	TMEM_HOOKS_RULE_GRACE = 1 << 6,
};

#ifdef TMEM_DEBUG
/* Rules that are not kept: for tests alone. */
extern unsigned int tmem_hooks_without;
#define TMEM_HOOKS_RULE(name) (!(tmem_hooks_without & TMEM_HOOKS_RULE_##name))
#else
#define TMEM_HOOKS_RULE(name) 1
#endif

#endif
