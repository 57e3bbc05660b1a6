/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The models' counterexamples (tests/model/trails/NAME.json), read for a replay. */
#ifndef TMEM_TEST_TRAIL_H
#define TMEM_TEST_TRAIL_H

#include <stdbool.h>
#include <stdint.h>

enum { TRAIL_STEPS_MAX = 64, TRAIL_WORD_BYTES = 24 };

struct trail_step {
	char who[TRAIL_WORD_BYTES]; /* without its number */
	int number;
	char op[TRAIL_WORD_BYTES];
	char from[TRAIL_WORD_BYTES];
	char mode[TRAIL_WORD_BYTES];
	char what[TRAIL_WORD_BYTES];
	char pool[TRAIL_WORD_BYTES];
	int version; /* -1: none */
	int index;   /* -1: none */
	int wait;
};

struct trail {
	char name[64];
	char property[40];
	uint32_t count;
	struct trail_step steps[TRAIL_STEPS_MAX];
	bool skips;  /* macro SKIP: needless flushes are skipped (F10) */
	bool shared; /* any step names the shared pool */
};

/* Reads the trail of @mutant. False: no such file. */
bool trail_read(struct trail *trail, const char *mutant);

/*
 * main of a program that replays @count trails: runs @fails for each of them, or for that of the
 * mutant that the command line names. What main returns.
 */
int trails_run(uint32_t count, const char *(*mutant)(uint32_t number),
	       bool (*fails)(uint32_t number), int argc, char **argv);

bool step_is(const struct trail_step *step, const char *who, const char *op);

#endif
