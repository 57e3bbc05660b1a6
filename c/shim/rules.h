/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Rules that a debug build can switch off one at a time, so that a test can show that the old page
 * comes back without them. In other builds every TMEM_RULE is true and costs nothing. The names are
 * those of the models (tests/model/rules.h).
 */
#ifndef TMEM_SHIM_RULES_H
#define TMEM_SHIM_RULES_H

enum tmem_shim_rule {
	TMEM_RULE_K = 1 << 0,
	TMEM_RULE_L = 1 << 1,
	TMEM_RULE_M = 1 << 2,
	TMEM_RULE_N = 1 << 3,
	TMEM_RULE_S = 1 << 4,
	TMEM_RULE_S_WAY = 1 << 5,
	TMEM_RULE_T = 1 << 6,
	TMEM_RULE_STAGED = 1 << 7,
	TMEM_RULE_WAIT = 1 << 8,
	TMEM_RULE_O = 1 << 9,
	TMEM_RULE_P = 1 << 10,
	TMEM_RULE_F10 = 1 << 11,
	TMEM_RULE_LEAVE = 1 << 12,
	TMEM_RULE_ECHO_ORDER = 1 << 13,
	TMEM_RULE_GIVEUP_ENDS = 1 << 14,
	TMEM_RULE_REPLAY = 1 << 15,
	TMEM_RULE_TASK_ECHO = 1 << 16, /* by tmem_shim_silence */
	TMEM_RULE_RECHECK = 1 << 17,
};

#ifdef TMEM_DEBUG
/* Rules that are not kept: for tests alone. */
extern unsigned int tmem_shim_without;
#define TMEM_RULE(name) (!(tmem_shim_without & TMEM_RULE_##name))
#else
#define TMEM_RULE(name) 1
#endif

#endif
