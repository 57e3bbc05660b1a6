/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Checks for the C tests. A failed check says where and what, and aborts: a fuzzer then keeps the
 * input, a debugger stops at the place, and a test program counts as failed.
 */
#ifndef TMEM_TEST_CHECK_H
#define TMEM_TEST_CHECK_H

#include <stddef.h>

enum { TEST_SKIPPED = 77 }; /* exit status of a test program that could not run */

__attribute__((noreturn, format(printf, 3, 4))) void check_failed(const char *file, int line,
								  const char *format, ...);

#define CHECK(condition)                                                                           \
	do {                                                                                       \
		if (!(condition))                                                                  \
			check_failed(__FILE__, __LINE__, "%s", #condition);                        \
	} while (0)

/* Integers of any width; printed as signed because most of them are results. */
#define CHECK_EQ(actual, expected)                                                                 \
	do {                                                                                       \
		long long actual_ = (long long)(actual);                                           \
		long long expected_ = (long long)(expected);                                       \
		if (actual_ != expected_)                                                          \
			check_failed(__FILE__, __LINE__, "%s is %lld, expected %s = %lld",         \
				     #actual, actual_, #expected, expected_);                      \
	} while (0)

struct test {
	const char *name;
	void (*run)(void);
};

/*
 * Runs the tests one after the other and prints each name; with names as arguments, only those.
 * Returns the exit status of the program.
 */
int run_tests(const struct test *tests, size_t count, int argc, char **argv);

#define RUN_TESTS(tests, argc, argv)                                                               \
	run_tests(tests, sizeof(tests) / sizeof((tests)[0]), argc, argv)

#endif
