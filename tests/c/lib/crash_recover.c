/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "crash_recover.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "check.h"
#include "world_check.h"

enum { SHOWN_FAILURES = 3 };

static void report(struct crash_recoverer *recoverer, const struct crash_snapshot *snapshot,
		   const char *why)
{
	struct crash_shared *shared = recoverer->shared;
	char path[512];

	if (shared->failures++ >= SHOWN_FAILURES)
		return;
	printf("  %s, after step %llu (%#llx in the program): %s\n", recoverer->name,
	       (unsigned long long)snapshot->step, (unsigned long long)snapshot->where, why);
	if (recoverer->keep_directory != NULL && shared->failures == 1) {
		snprintf(path, sizeof(path), "%s/%s.arena", recoverer->keep_directory,
			 recoverer->name);
		image_write(&snapshot->image, path);
		printf("  the arena at that moment: %s\n", path);
	}
	fflush(stdout);
}

static void check(struct crash_recoverer *recoverer, const struct crash_snapshot *snapshot,
		  const char *path)
{
	struct crash_shared *shared = recoverer->shared;
	struct tmem_recovery recovery = {0};
	char why[WORLD_WHY_BYTES] = "";

	shared->checking_step = snapshot->step;
	shared->checking_where = snapshot->where;
	image_write(&snapshot->image, path);
	if (world_check(&shared->expected, path, snapshot->moments, &recovery, why) != 0)
		report(recoverer, snapshot, why);
	if (recoverer->keep_demanding && snapshot->moments == WORLD_AT_EITHER &&
	    (!shared->keeps || recovery.stale_records > shared->demand)) {
		shared->keeps = true;
		shared->demand = recovery.stale_records;
		image_copy(&shared->kept, &snapshot->image);
	}
	shared->checked++;
}

__attribute__((noreturn)) static void recover_all(struct crash_recoverer *recoverer)
{
	struct crash_shared *shared = recoverer->shared;
	char path[SCRATCH_PATH_BYTES];

	scratch_path(path, "snapshot");
	for (uint64_t i = 0;; i++) {
		const struct crash_snapshot *snapshot = &shared->queue[i % CRASH_QUEUE];

		while (sem_wait(&shared->filled) != 0)
			CHECK_EQ(errno, EINTR);
		if (snapshot->moments == 0)
			_exit(0);
		check(recoverer, snapshot, path);
		sem_post(&shared->empty);
	}
}

void crash_recoverer_start(struct crash_recoverer *recoverer)
{
	struct crash_shared *shared = recoverer->shared;

	CHECK_EQ(sem_init(&shared->empty, 1, CRASH_QUEUE), 0);
	CHECK_EQ(sem_init(&shared->filled, 1, 0), 0);
	fflush(stdout);
	recoverer->pid = fork();
	CHECK(recoverer->pid >= 0);
	if (recoverer->pid == 0) {
		sched_setaffinity(0, sizeof(*recoverer->cpus), recoverer->cpus);
		recover_all(recoverer);
	}
}

static void mourn(struct crash_recoverer *recoverer, int status)
{
	const struct crash_shared *shared = recoverer->shared;

	recoverer->dead = true;
	printf("  %s, after step %llu (%#llx in the program): recovery %s %d\n", recoverer->name,
	       (unsigned long long)shared->checking_step,
	       (unsigned long long)shared->checking_where,
	       WIFSIGNALED(status) ? "died of signal" : "ended with status",
	       WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
}

/* Waits for room in the queue, unless the recoverer dies meanwhile. */
static bool wait_for_room(struct crash_recoverer *recoverer)
{
	while (!recoverer->dead) {
		struct timespec deadline;
		int status;

		clock_gettime(CLOCK_REALTIME, &deadline);
		deadline.tv_sec += 1;
		if (sem_timedwait(&recoverer->shared->empty, &deadline) == 0)
			return true;
		if (waitpid(recoverer->pid, &status, WNOHANG) == recoverer->pid)
			mourn(recoverer, status);
	}
	return false;
}

bool crash_recoverer_submit(struct crash_recoverer *recoverer, const struct image *image,
			    uint64_t step, uint64_t where, unsigned int moments)
{
	struct crash_shared *shared = recoverer->shared;
	struct crash_snapshot *snapshot = &shared->queue[shared->next % CRASH_QUEUE];

	if (!wait_for_room(recoverer))
		return false;
	snapshot->step = step;
	snapshot->where = where;
	snapshot->moments = moments;
	if (image != NULL)
		image_copy(&snapshot->image, image);
	shared->next++;
	sem_post(&shared->filled);
	return true;
}

uint64_t crash_recoverer_finish(struct crash_recoverer *recoverer)
{
	int status;

	if (crash_recoverer_submit(recoverer, NULL, 0, 0, 0)) {
		while (waitpid(recoverer->pid, &status, 0) < 0)
			CHECK_EQ(errno, EINTR);
		if (status != 0)
			mourn(recoverer, status);
	}
	return recoverer->shared->failures + (recoverer->dead ? 1 : 0);
}
