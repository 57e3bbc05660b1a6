/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Runs one of the models' counterexamples against the shim, with the rule in place or taken away.
 * Where the rule makes somebody wait, the replay plays the kernel: no lock goes before the wait for
 * it is over.
 */
#ifndef TMEM_TEST_REPLAY_H
#define TMEM_TEST_REPLAY_H

#include "sim.h"
#include "trail.h"

/* Cures outside the shim: in the guest's kernel, or in how it is set up. */
enum cure { CURE_NONE, CURE_S1, CURE_S3, CURE_S4, CURE_S5, CURE_S5_CACHE, CURE_F9 };

enum {
	PLAN_LEASE = 1 << 0,    /* lease.pml: time passes, the host does not serve by itself */
	PLAN_FILL = 1 << 1,     /* no room for what is flushed */
	PLAN_SUMMARY = 1 << 2,  /* with summaries; else every get asks */
	PLAN_SILENT = 1 << 3,   /* what breaks, breaks without a word */
	PLAN_GIVEUP_0 = 1 << 4, /* the mutant gives up at once */
	PLAN_EXPEL_3 = 1 << 5,  /* the mutant's T_expel is 3 ticks */
	PLAN_LIMIT = 1 << 6,    /* no rule covers this */
};

struct plan {
	const char *mutant;
	uint32_t shim;   /* enum tmem_shim_rule that is taken away */
	uint32_t host;   /* enum sim_rule that is taken away */
	uint32_t absent; /* enum sim_rule that the scenario does without in any case */
	enum cure cure;
	uint32_t flags;
};

/* Whether the property that the trail names was violated. */
bool replay(const struct plan *plan, bool without_the_rule);

#endif
