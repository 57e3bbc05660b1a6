/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The process beside a stepped child that recovers the snapshots. It is a process of its own so
 * that a recovery that crashes is a failed snapshot, and so that it uses another CPU.
 */
#ifndef TMEM_TEST_CRASH_RECOVER_H
#define TMEM_TEST_CRASH_RECOVER_H

#include <sched.h>
#include <semaphore.h>
#include <sys/types.h>

#include "crash.h"

enum { CRASH_QUEUE = 16 };

struct crash_snapshot {
	uint64_t step;
	uint64_t where;       /* of the instruction, as an offset in the program */
	unsigned int moments; /* as for world_check(); 0: that was the last */
	struct image image;
};

/* Shared by the three processes. */
struct crash_shared {
	struct world world;    /* the child's, while it works */
	struct world expected; /* as it was when the operation began */
	sem_t empty;
	sem_t filled;
	uint64_t next; /* snapshots submitted */
	struct crash_snapshot queue[CRASH_QUEUE];
	/* written by the recovering process */
	uint64_t checked;
	uint64_t failures;
	uint64_t checking_step;
	uint64_t checking_where;
	uint64_t demand;
	bool keeps;
	struct image kept;
};

struct crash_recoverer {
	struct crash_shared *shared;
	const char *name;
	const char *keep_directory; /* or NULL */
	const cpu_set_t *cpus;
	bool keep_demanding;
	pid_t pid;
	bool dead;
};

void crash_recoverer_start(struct crash_recoverer *recoverer);
/* Hands @image over; waits while the queue is full. False: the recoverer has died. */
bool crash_recoverer_submit(struct crash_recoverer *recoverer, const struct image *image,
			    uint64_t step, uint64_t where, unsigned int moments);
/* Waits until everything has been checked. Returns the failures, its own death included. */
uint64_t crash_recoverer_finish(struct crash_recoverer *recoverer);

#endif
