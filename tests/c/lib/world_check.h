/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whether an arena, as some crash left it, recovers to what a world says (guarantees A, B, E, F
 * and G, the tables, and rule R(1) for those who leave a shared pool).
 */
#ifndef TMEM_TEST_WORLD_CHECK_H
#define TMEM_TEST_WORLD_CHECK_H

#include "world.h"

enum { WORLD_WHY_BYTES = 512 };

/* Which of a world's moments a check accepts. */
enum {
	WORLD_AT_BEFORE = 1 << WORLD_BEFORE,
	WORLD_AT_AFTER = 1 << WORLD_AFTER,
	WORLD_AT_EITHER = WORLD_AT_BEFORE | WORLD_AT_AFTER,
};

/*
 * Checks the arena at @path, which nobody has open: looks at it from outside, recovers it, recovers
 * it once more (the same must come of it) and puts, gets and flushes a little. @moments: any one
 * of these is right for each page and each row that the operation changes; what it does not change
 * must be there, whatever happened. The arena is of no use afterwards.
 * Returns 0, or -1 with the reason in @why. *@recovery is what the first recovery reported.
 */
int world_check(const struct world *world, const char *path, unsigned int moments,
		struct tmem_recovery *recovery, char why[WORLD_WHY_BYTES]);

#endif
