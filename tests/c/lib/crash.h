/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Every instruction is a crash point: a child performs an operation one instruction at a time, and
 * whatever the arena holds after each of them must recover.
 *
 * The child prepares a world, stops itself, performs the operation, stops itself again. Between the
 * two stops its parent single-steps it (ptrace), copies the arena whenever it has changed, and
 * hands each copy to a third process, which recovers it and compares it with the world.
 *
 * What a kill leaves of a mapped file is what the stores before it made, whole: so the states of
 * the file after each instruction are all there are, except inside a system call that punches
 * a hole or reserves memory, which may be cut short between pages.
 */
#ifndef TMEM_TEST_CRASH_H
#define TMEM_TEST_CRASH_H

#include <stdbool.h>
#include <stdint.h>

#include "image.h"
#include "world.h"

struct crash_scenario {
	const char *name;
	void (*prepare)(struct world *world);
	void (*operate)(struct world *world); /* one call that changes the arena */
	void (*verify)(struct world *world);  /* that it did what the scenario is about; optional */
	uint64_t max_bytes;                   /* of the arena; 0: 512 KiB */
	bool evicts;  /* ephemeral pages the operation does not name may go, too */
	bool creates; /* the arena does not exist before the operation */
	/* Afterwards recovery itself is stepped through, of the copy that gives it most to do. */
	bool then_recover;
};

struct crash_result {
	uint64_t steps;
	uint64_t snapshots; /* distinct states of the arena, the first included */
	uint64_t failures;  /* snapshots that did not recover to what the world says */
	double seconds;
	/* For a recovery of the most demanding snapshot: its image and its world. */
	bool keeps;
	uint64_t demand; /* stale records that recovery found in it */
	struct image kept;
	struct world world;
};

/*
 * Whether this process may single-step a child; if not, the reason is in errno. Also sees to it
 * that large copies are made of vector instructions: "rep movsb" would be a step for each byte.
 * May start the program anew, so call it first.
 */
bool crash_begin(char **argv);

/* Runs one scenario; prints what failed, and keeps the image of the first failure as
 * @keep_directory/NAME.arena unless that is NULL. */
void crash_run(const struct crash_scenario *scenario, const char *keep_directory,
	       struct crash_result *result);

/* Steps through the recovery of what crash_run() kept in @result; overwrites it. */
void crash_run_recovery(const char *name, const char *keep_directory, struct crash_result *result);

#endif
