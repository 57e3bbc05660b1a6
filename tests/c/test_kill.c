/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * kill -9 at random moments: a child with many threads works on an arena, is killed, and whatever
 * it had acknowledged is compared with what the next opener finds. The next child goes on with the
 * same arena, so damage would add up; some are killed while they are still recovering it.
 *
 *   test_kill [--kills N] [--seed N]
 *
 * 50 kills by default. The long run, two to five minutes for 5,000 kills:
 *   make -C c VARIANT=release && build/release/test_kill --kills 5000
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "check.h"
#include "scratch.h"
#include "setup.h"
#include "workload.h"

enum {
	ROOMY_BYTES = 16 << 20, /* every persistent page fits, whatever the encoding */
	TIGHT_BYTES = 1 << 20,  /* about half of all pages do */
	ROUNDS_PER_ARENA = 25,
	CREATORS = 5,       /* killed before each arena is made */
	RECOVERY_KILLS = 5, /* one kill in so many comes while the arena is being recovered */
	LONGEST_RUN_MICROSECONDS = 20000,
};

struct shared {
	struct work_log logs[WORK_ACTORS + 1];
	_Atomic bool ready;
};

static struct shared *shared;
static struct work work;
static uint64_t budget_bytes;
static uint64_t child_seed;

/* ---- the child -------------------------------------------------------------------------- */

static void *act(void *argument)
{
	unsigned int actor = (unsigned int)(uintptr_t)argument;
	struct random random = {.state = child_seed + actor};

	while (actor == WORK_ACTORS ? work_operate(&work, &random, budget_bytes)
				    : work_act(&work, actor, &random))
		;
	return NULL;
}

__attribute__((noreturn)) static void live(const char *path)
{
	pthread_t threads[WORK_ACTORS + 1];

	work_find(&work, setup_open(path, budget_bytes, ROOMY_BYTES));
	shared->ready = true;
	for (uintptr_t i = 0; i <= WORK_ACTORS; i++)
		CHECK_EQ(pthread_create(&threads[i], NULL, act, (void *)i), 0);
	for (int i = 0; i <= WORK_ACTORS; i++)
		pthread_join(threads[i], NULL);
	_exit(1);
}

/* ---- the parent ------------------------------------------------------------------------- */

static void wait_microseconds(uint32_t microseconds)
{
	struct timespec time = {.tv_nsec = (long)microseconds * 1000};

	nanosleep(&time, NULL);
}

static void kill_one(const char *path, struct random *random)
{
	bool during_recovery = random_below(random, RECOVERY_KILLS) == 0;
	bool gone = false;
	int status;
	pid_t child;

	child_seed = random_next(random);
	shared->ready = false;
	fflush(stdout);
	child = fork();
	CHECK(child >= 0);
	if (child == 0)
		live(path);
	while (!during_recovery && !shared->ready && !gone) {
		wait_microseconds(50);
		gone = waitpid(child, &status, WNOHANG) == child;
	}
	wait_microseconds(during_recovery ? random_below(random, 2000)
					  : random_below(random, LONGEST_RUN_MICROSECONDS));
	if (!gone) {
		kill(child, SIGKILL);
		CHECK_EQ(waitpid(child, &status, 0), child);
	}
	for (int i = 0; i <= WORK_ACTORS; i++)
		if (shared->logs[i].failure[0] != '\0')
			check_failed(__FILE__, __LINE__, "actor %d: %s", i,
				     shared->logs[i].failure);
	if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
		check_failed(__FILE__, __LINE__, "the child ended by itself, with status %#x",
			     (unsigned int)status);
}

static void check_from_outside(const char *path)
{
	struct tmem_arena_report report;
	struct tmem_error error;

	if (tmem_arena_check(path, 1, &report, &error) != 0)
		check_failed(__FILE__, __LINE__, "%s", error.message);
	CHECK_EQ(report.damaged_records, 0);
	CHECK_EQ(report.damaged_rows, 0);
	CHECK_EQ(report.damaged_extents, 0);
	CHECK_EQ(report.damaged_contents, 0);
	CHECK_EQ(report.in_use, 0);
}

static uint64_t verify(const char *path)
{
	struct tmem_recovery recovery;

	check_from_outside(path);
	work_find(&work, setup_open(path, budget_bytes, ROOMY_BYTES));
	tmem_engine_recovery(work.engine, &recovery);
	CHECK_EQ(recovery.damaged_records, 0);
	CHECK_EQ(recovery.damaged_rows, 0);
	CHECK_EQ(recovery.damaged_extents, 0);
	work_verify(&work);
	while (tmem_engine_scrub(work.engine, 100) != 0)
		;
	tmem_engine_recovery(work.engine, &recovery);
	CHECK_EQ(recovery.scrub_damaged_pages, 0);
	CHECK(recovery.scrub_done != 0);
	work_release(&work);
	tmem_engine_close(work.engine);
	return recovery.stale_records;
}

/* Whoever is killed while making an arena is in nobody's way. */
static void kill_creators(const char *path, struct random *random)
{
	struct tmem_engine *engine;

	for (int i = 0; i < CREATORS; i++) {
		pid_t child = fork();

		CHECK(child >= 0);
		if (child == 0) {
			engine = setup_open(path, budget_bytes, ROOMY_BYTES);
			pause();
		}
		wait_microseconds(random_below(random, 1000));
		kill(child, SIGKILL);
		CHECK_EQ(waitpid(child, NULL, 0), child);
		engine = setup_open(path, budget_bytes, ROOMY_BYTES);
		tmem_engine_close(engine);
		CHECK_EQ(unlink(path), 0);
	}
}

static void start_arena(const char *path, bool tight, struct random *random)
{
	unlink(path);
	budget_bytes = ROOMY_BYTES;
	kill_creators(path, random);
	budget_bytes = tight ? TIGHT_BYTES : ROOMY_BYTES;
	work.may_refuse = tight;
	work_create(&work, setup_open(path, budget_bytes, ROOMY_BYTES));
	work_release(&work);
	tmem_engine_close(work.engine);
}

static void run(uint64_t kills, uint64_t seed)
{
	struct random random = {.state = seed};
	char path[SCRATCH_PATH_BYTES];
	struct work_log totals;
	uint64_t puts = 0;
	uint64_t stale = 0;

	scratch_path(path, "arena");
	for (uint64_t i = 0; i < kills; i++) {
		if (i % ROUNDS_PER_ARENA == 0) {
			totals = work_totals(&work);
			puts += totals.puts;
			start_arena(path, i / ROUNDS_PER_ARENA % 2 != 0, &random);
		}
		kill_one(path, &random);
		stale += verify(path);
	}
	totals = work_totals(&work);
	CHECK(puts + totals.puts > 0);
	printf("%llu kills, %llu puts acknowledged or refused, %llu stale records recovered, "
	       "seed %llu\n",
	       (unsigned long long)kills, (unsigned long long)(puts + totals.puts),
	       (unsigned long long)stale, (unsigned long long)seed);
}

int main(int argc, char **argv)
{
	uint64_t kills = 50;
	uint64_t seed;

	CHECK(getrandom(&seed, sizeof(seed), 0) == sizeof(seed));
	for (int i = 1; i < argc; i += 2) {
		if (i + 1 < argc && strcmp(argv[i], "--kills") == 0) {
			kills = strtoull(argv[i + 1], NULL, 0);
		} else if (i + 1 < argc && strcmp(argv[i], "--seed") == 0) {
			seed = strtoull(argv[i + 1], NULL, 0);
		} else {
			fprintf(stderr, "usage: %s [--kills N] [--seed N]\n", argv[0]);
			return EXIT_FAILURE;
		}
	}
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	CHECK(shared != MAP_FAILED);
	work.logs = shared->logs;
	printf("seed %llu\n", (unsigned long long)seed);
	run(kills, seed);
	return EXIT_SUCCESS;
}
