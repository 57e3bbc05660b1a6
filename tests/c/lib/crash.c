/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "crash.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "check.h"
#include "crash_recover.h"
#include "world_check.h"

#ifndef __x86_64__
#error "the instruction pointer is read from the registers of x86-64"
#endif

/* An operation that takes longer than this hangs. */
enum { STEPS_MAX = 50 * 1000 * 1000 };

extern const char __executable_start;

bool crash_begin(char **argv)
{
	int status;
	pid_t child;

	if (getenv("TMEM_TEST_STEPPING") == NULL) {
		setenv("TMEM_TEST_STEPPING", "1", 1);
		setenv("LD_BIND_NOW", "1", 1);
		setenv("GLIBC_TUNABLES",
		       "glibc.cpu.x86_rep_movsb_threshold=1000000:"
		       "glibc.cpu.x86_rep_stosb_threshold=1000000",
		       1);
		execv("/proc/self/exe", argv);
		check_failed(__FILE__, __LINE__, "cannot start anew: %s", strerror(errno));
	}
	child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
			_exit(errno);
		raise(SIGSTOP);
		_exit(0);
	}
	CHECK_EQ(waitpid(child, &status, 0), child);
	if (WIFEXITED(status)) {
		errno = WEXITSTATUS(status);
		return false;
	}
	kill(child, SIGKILL);
	waitpid(child, &status, 0);
	return true;
}

/* ---- the child -------------------------------------------------------------------------- */

__attribute__((noreturn)) static void perform(const struct crash_scenario *scenario,
					      struct world *world)
{
	CHECK_EQ(ptrace(PTRACE_TRACEME, 0, NULL, NULL), 0);
	world->evicts = scenario->evicts;
	world->phase = WORLD_PREPARE;
	if (scenario->prepare != NULL)
		scenario->prepare(world);
	world->phase = WORLD_PREDICT;
	scenario->operate(world);
	world->phase = WORLD_OPERATE;
	raise(SIGSTOP);
	scenario->operate(world);
	raise(SIGSTOP);
	if (scenario->verify != NULL)
		scenario->verify(world);
	if (world->engine != NULL)
		world_close(world);
	_exit(0);
}

__attribute__((noreturn)) static void recover(struct crash_result *result, struct world *world)
{
	CHECK_EQ(ptrace(PTRACE_TRACEME, 0, NULL, NULL), 0);
	image_write(&result->kept, world->path);
	memset(world->operand, 0, sizeof(world->operand));
	world->phase = WORLD_OPERATE;
	raise(SIGSTOP);
	world_open(world);
	raise(SIGSTOP);
	tmem_engine_close(world->engine);
	_exit(0);
}

/* ---- the tracer ------------------------------------------------------------------------- */

struct trace {
	pid_t child;
	struct image_watch watch;
	struct image image;
	struct crash_recoverer recoverer;
	bool gone;    /* the child has been waited for */
	bool between; /* at every moment both answers are right: recovery of a crash */
};

/* Waits for the child's next stop; returns the signal it stopped with, or 0 when it is gone. */
static int wait_for_stop(struct trace *trace, const char *name)
{
	int status;

	while (waitpid(trace->child, &status, 0) != trace->child)
		CHECK_EQ(errno, EINTR);
	if (WIFSTOPPED(status))
		return WSTOPSIG(status);
	trace->gone = true;
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		printf("  %s: the operation itself %s %d\n", name,
		       WIFSIGNALED(status) ? "died of signal" : "ended with status",
		       WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -1;
}

/* The last instruction of our own that has begun, not one of a library. */
static uint64_t where(const struct trace *trace, uint64_t before)
{
	uint64_t address = (uint64_t)ptrace(PTRACE_PEEKUSER, trace->child,
					    offsetof(struct user_regs_struct, rip), NULL);
	uint64_t offset = address - (uint64_t)(uintptr_t)&__executable_start;

	return offset < 1 << 30 ? offset : before;
}

static int submit(struct trace *trace, struct crash_result *result, uint64_t at,
		  unsigned int moments)
{
	if (trace->between)
		moments = WORLD_AT_EITHER;
	return crash_recoverer_submit(&trace->recoverer, &trace->image, result->steps, at, moments)
		       ? 0
		       : -1;
}

/* Between the child's two stops. Returns 0, or -1 if the run can not go on. */
static int step_through(struct trace *trace, const char *name, struct crash_result *result)
{
	uint64_t at = 0;
	int signal_number;

	image_update(&trace->image, &trace->watch);
	result->snapshots = 1; /* an arena that does not exist is a state, too */
	if (trace->watch.fd >= 0 && submit(trace, result, 0, WORLD_AT_BEFORE) != 0)
		return -1;
	for (;;) {
		CHECK_EQ(ptrace(PTRACE_SINGLESTEP, trace->child, NULL, NULL), 0);
		signal_number = wait_for_stop(trace, name);
		if (signal_number == SIGSTOP)
			break;
		if (signal_number != SIGTRAP) {
			printf("  %s: the operation stops with signal %d at %#llx in the program\n",
			       name, signal_number, (unsigned long long)at);
			return -1;
		}
		result->steps++;
		CHECK(result->steps < STEPS_MAX);
		if (image_update(&trace->image, &trace->watch)) {
			result->snapshots++;
			if (submit(trace, result, at, WORLD_AT_EITHER) != 0)
				return -1;
		}
		at = where(trace, at);
	}
	return submit(trace, result, at, WORLD_AT_AFTER);
}

static int run_to_the_end(struct trace *trace, const char *name)
{
	CHECK_EQ(ptrace(PTRACE_CONT, trace->child, NULL, NULL), 0);
	return wait_for_stop(trace, name);
}

/* The child and its tracer take turns, which is three times as fast on one CPU; the recoverer
 * works beside them on the others. */
static void share_cpus(cpu_set_t *all, cpu_set_t *others)
{
	int cpu = sched_getcpu();
	cpu_set_t one;

	CHECK_EQ(sched_getaffinity(0, sizeof(*all), all), 0);
	*others = *all;
	CPU_CLR(cpu, others);
	if (CPU_COUNT(others) == 0)
		*others = *all;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	CHECK_EQ(sched_setaffinity(0, sizeof(one), &one), 0);
}

static double now_seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* Runs @scenario, or the recovery of what @result keeps if that is NULL. */
static void run(const struct crash_scenario *scenario, const char *name, const char *keep_directory,
		struct crash_result *result)
{
	static struct trace trace;
	struct crash_shared *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
					   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	double started = now_seconds();
	cpu_set_t all;
	cpu_set_t others;
	int stop;

	CHECK(shared != MAP_FAILED);
	if (scenario != NULL)
		world_init(&shared->world, "arena",
			   scenario->max_bytes != 0 ? scenario->max_bytes : 512 << 10);
	else
		shared->world = result->world;
	unlink(shared->world.path);
	result->steps = 0;
	result->snapshots = 0;
	share_cpus(&all, &others);
	memset(&trace, 0, sizeof(trace));
	trace.between = scenario == NULL;
	trace.recoverer = (struct crash_recoverer){
		.shared = shared,
		.name = name,
		.keep_directory = keep_directory,
		.cpus = &others,
		.keep_demanding = scenario != NULL && scenario->then_recover,
	};
	fflush(stdout);
	trace.child = fork();
	CHECK(trace.child >= 0);
	if (trace.child == 0) {
		if (scenario != NULL)
			perform(scenario, &shared->world);
		else
			recover(result, &shared->world);
	}
	result->failures = 1;
	stop = wait_for_stop(&trace, name);
	if (stop != SIGSTOP) {
		printf("  %s: can not be prepared (signal %d)\n", name, stop);
	} else {
		shared->expected = shared->world;
		image_watch_start(&trace.watch, shared->world.path);
		crash_recoverer_start(&trace.recoverer);
		result->failures = step_through(&trace, name, result) != 0 ||
				   run_to_the_end(&trace, name) != 0;
		result->failures += crash_recoverer_finish(&trace.recoverer);
		image_watch_stop(&trace.watch);
	}
	if (!trace.gone) {
		kill(trace.child, SIGKILL);
		waitpid(trace.child, NULL, 0);
	}
	unlink(shared->world.path);
	result->keeps = shared->keeps;
	result->demand = shared->demand;
	image_copy(&result->kept, &shared->kept);
	result->world = shared->expected;
	munmap(shared, sizeof(*shared));
	CHECK_EQ(sched_setaffinity(0, sizeof(all), &all), 0);
	result->seconds = now_seconds() - started;
}

void crash_run(const struct crash_scenario *scenario, const char *keep_directory,
	       struct crash_result *result)
{
	run(scenario, scenario->name, keep_directory, result);
}

void crash_run_recovery(const char *name, const char *keep_directory, struct crash_result *result)
{
	run(NULL, name, keep_directory, result);
}
