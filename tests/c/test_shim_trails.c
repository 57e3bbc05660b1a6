/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The models' counterexamples against the shim: with the rule taken away the old page comes back
 * (or the wait does not end), with the rule in place it does not. Builds without TMEM_DEBUG have no
 * switches, so there only the second half is run.
 */
#include <stdio.h>
#include <string.h>

#include "replay.h"

static const struct plan plans[] = {
	/* coherency.pml */
	{.mutant = "order", .shim = TMEM_RULE_K},
	{.mutant = "put-becomes-flush", .shim = TMEM_RULE_L},
	{.mutant = "waiting", .shim = TMEM_RULE_M},
	{.mutant = "owed-flushes", .shim = TMEM_RULE_N, .flags = PLAN_FILL},
	{.mutant = "exclusive-private", .host = SIM_RULE_D_PRIVATE},
	{.mutant = "exclusive-shared", .host = SIM_RULE_D_SHARED},
	{.mutant = "landing-kept", .shim = TMEM_RULE_S},
	{.mutant = "landing-on-its-way", .shim = TMEM_RULE_S_WAY},
	{.mutant = "positive-trusted", .shim = TMEM_RULE_T, .flags = PLAN_SUMMARY},
	{.mutant = "sent-is-forgotten", .shim = TMEM_RULE_STAGED},
	{.mutant = "get-waits-for-ever", .shim = TMEM_RULE_WAIT},
	{.mutant = "f10-put-during-flush", .shim = TMEM_RULE_F10},
	{.mutant = "s1-downconvert", .cure = CURE_S1},
	{.mutant = "s2-umount", .host = SIM_RULE_R1},
	{.mutant = "s2-lock-before-leave", .shim = TMEM_RULE_LEAVE},
	{.mutant = "s3-recovery", .cure = CURE_S3},
	{.mutant = "s4-local-mount", .cure = CURE_S4},
	{.mutant = "s5-direct-write", .cure = CURE_S5},
	{.mutant = "s5-cache-kept", .cure = CURE_S5_CACHE},
	{.mutant = "f9-nrpages", .cure = CURE_F9},
	/* swap.pml */
	{.mutant = "store-before-answer", .shim = TMEM_RULE_O},
	{.mutant = "load-fails", .shim = TMEM_RULE_P},
	{.mutant = "store-waits-for-ever", .shim = TMEM_RULE_WAIT},
	{.mutant = "revert-resumes", .host = SIM_RULE_TAGS},
	{.mutant = "tags-only-counted", .host = SIM_RULE_CHAIN},
	/* lease.pml */
	{.mutant = "r1-empty-on-leave", .host = SIM_RULE_R1, .flags = PLAN_LEASE},
	{.mutant = "lease", .host = SIM_RULE_LEASE, .flags = PLAN_LEASE},
	{.mutant = "lease-short-giveup", .flags = PLAN_LEASE | PLAN_GIVEUP_0},
	{.mutant = "sticky-lapse", .host = SIM_RULE_STICKY, .flags = PLAN_LEASE},
	{.mutant = "sticky-too-late", .flags = PLAN_LEASE | PLAN_EXPEL_3},
	{.mutant = "fence-by-stopped-clock", .flags = PLAN_LEASE | PLAN_LIMIT},
	{.mutant = "resume-without-age", .host = SIM_RULE_AGE, .flags = PLAN_LEASE},
	{.mutant = "echo-overtakes", .shim = TMEM_RULE_ECHO_ORDER, .flags = PLAN_LEASE | PLAN_FILL},
	{.mutant = "giveup-goes-on",
	 .shim = TMEM_RULE_GIVEUP_ENDS,
	 .flags = PLAN_LEASE | PLAN_FILL},
	{.mutant = "resume-replays-puts",
	 .shim = TMEM_RULE_REPLAY,
	 .absent = SIM_RULE_AGE,
	 .flags = PLAN_LEASE},
	{.mutant = "panicked-echoes", .shim = TMEM_RULE_TASK_ECHO, .flags = PLAN_LEASE},
	{.mutant = "page-before-lease", .host = SIM_RULE_CHECK_FIRST, .flags = PLAN_LEASE},
	{.mutant = "old-token", .host = SIM_RULE_INSTANCE, .flags = PLAN_LEASE | PLAN_SILENT},
	{.mutant = "membership-forgotten", .host = SIM_RULE_DURABLE, .flags = PLAN_LEASE},
	{.mutant = "flush-waits-for-ever", .shim = TMEM_RULE_WAIT, .flags = PLAN_LEASE},
};

static bool fails(uint32_t number)
{
	const struct plan *plan = &plans[number];
	bool with = replay(plan, false), without = true;

#ifdef TMEM_DEBUG
	without = replay(plan, true);
#endif
	printf("%-24s %s the rule: %s; with it: %s\n", plan->mutant, "without",
	       without ? "violated" : "HOLDS", with ? "VIOLATED" : "holds");
	if (plan->flags & PLAN_LIMIT)
		return !with; /* what no rule covers (docs/coherency.md) */
	return with || !without;
}

static const char *mutant(uint32_t number)
{
	return plans[number].mutant;
}

int main(int argc, char **argv)
{
	return trails_run(sizeof(plans) / sizeof(plans[0]), mutant, fails, argc, argv);
}
