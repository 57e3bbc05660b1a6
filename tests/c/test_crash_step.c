/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Every instruction is a crash point (see lib/crash.h): for each operation that changes an arena,
 * and for recovery itself, the arena is recovered from its state after every single instruction.
 *
 *   test_crash_step [--list] [--keep DIRECTORY] [--expect-failure] [SCENARIO...]
 *
 * --keep leaves the arena of the first failure of each scenario in DIRECTORY. --expect-failure
 * is for the build in which a record counts before its data is in place (VARIANT=swap): it passes
 * only if the test fails, and names what noticed.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "scenarios.h"

enum { DISTINCT_MIN = 2 }; /* fewer, and the operation has not changed the arena */

struct totals {
	unsigned int scenarios;
	unsigned int failed; /* to recover */
	unsigned int idle;
	uint64_t steps;
	uint64_t snapshots;
	double seconds;
};

static const char *keep_directory;

static void account(struct totals *totals, const char *name, const struct crash_result *result)
{
	bool idle = result->snapshots < DISTINCT_MIN;

	printf("%-36s %8llu steps %6llu snapshots %6.2f s  %s\n", name,
	       (unsigned long long)result->steps, (unsigned long long)result->snapshots,
	       result->seconds,
	       result->failures != 0 ? "FAILED"
	       : idle                ? "CHANGED NOTHING"
				     : "ok");
	if (result->failures > 1)
		printf("  %llu failures\n", (unsigned long long)result->failures);
	fflush(stdout);
	totals->scenarios++;
	totals->failed += result->failures != 0;
	totals->idle += idle;
	totals->steps += result->steps;
	totals->snapshots += result->snapshots;
	totals->seconds += result->seconds;
}

/*
 * The stepped code is the same in every variant, and with a sanitizer it has many times the
 * instructions. What sanitizers can add is a look at the recoveries of crashed arenas, for which a
 * few scenarios are enough. Recovery itself is stepped through in the build that is shipped.
 */
#if defined(TMEM_DEBUG)
static const bool steps_recovery = false;
#else
static const bool steps_recovery = true;
#endif
#if defined(__SANITIZE_THREAD__)
static const bool only_recovered = true;
static const char *const only = "replace-persistent";
#elif defined(__SANITIZE_ADDRESS__)
static const bool only_recovered = true;
static const char *const only;
#else
static const bool only_recovered = false;
static const char *const only;
#endif

static void run_scenario(struct totals *totals, const struct crash_scenario *scenario)
{
	static struct crash_result result;
	char name[64];

	crash_run(scenario, keep_directory, &result);
	account(totals, scenario->name, &result);
	if (!scenario->then_recover || !steps_recovery || result.failures != 0)
		return;
	snprintf(name, sizeof(name), "recover:%s", scenario->name);
	CHECK(result.keeps);
	crash_run_recovery(name, keep_directory, &result);
	account(totals, name, &result);
}

static bool chosen_by_default(const struct crash_scenario *scenario)
{
	if (only != NULL)
		return strcmp(scenario->name, only) == 0;
	return !only_recovered || scenario->then_recover;
}

static bool chosen(const struct crash_scenario *scenario, int count, char **names)
{
	if (count == 0)
		return chosen_by_default(scenario);
	for (int i = 0; i < count; i++)
		if (strcmp(names[i], scenario->name) == 0)
			return true;
	return false;
}

static int run(bool list, bool expect_failure, int count, char **names)
{
	static const struct crash_scenario *const lists[] = {
		page_scenarios, encoding_scenarios, table_scenarios,
		full_scenarios, space_scenarios,
	};
	struct totals totals = {0};

	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
		for (const struct crash_scenario *s = lists[i]; s->name != NULL; s++) {
			if (list)
				printf("%s\n", s->name);
			else if (chosen(s, count, names))
				run_scenario(&totals, s);
		}
	if (list)
		return EXIT_SUCCESS;
	if (totals.scenarios == 0) {
		fprintf(stderr, "no such scenario\n");
		return EXIT_FAILURE;
	}
	printf("%u operations, %llu steps, %llu arenas recovered, %.0f s: %u failed%s, "
	       "%u changed nothing\n",
	       totals.scenarios, (unsigned long long)totals.steps,
	       (unsigned long long)totals.snapshots, totals.seconds, totals.failed,
	       expect_failure ? " (some must)" : "", totals.idle);
	return totals.idle == 0 && (totals.failed != 0) == expect_failure ? EXIT_SUCCESS
									  : EXIT_FAILURE;
}

int main(int argc, char **argv)
{
	bool list = false;
	bool expect_failure = false;
	int first = 1;

	for (; first < argc && argv[first][0] == '-'; first++) {
		if (strcmp(argv[first], "--list") == 0) {
			list = true;
		} else if (strcmp(argv[first], "--expect-failure") == 0) {
			expect_failure = true;
		} else if (strcmp(argv[first], "--keep") == 0 && first + 1 < argc) {
			keep_directory = argv[++first];
		} else {
			fprintf(stderr,
				"usage: %s [--list] [--keep DIRECTORY] [--expect-failure] "
				"[SCENARIO...]\n",
				argv[0]);
			return EXIT_FAILURE;
		}
	}
	if (!list && !crash_begin(argv)) {
		printf("skipped: this process may not trace a child: %s\n", strerror(errno));
		return TEST_SKIPPED;
	}
	return run(list, expect_failure, argc - first, argv + first);
}
