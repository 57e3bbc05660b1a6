/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "check.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void check_failed(const char *file, int line, const char *format, ...)
{
	va_list arguments;

	fflush(stdout);
	fprintf(stderr, "%s:%d: ", file, line);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
	abort();
}

static bool wanted(const char *name, int argc, char **argv)
{
	if (argc < 2)
		return true;
	for (int i = 1; i < argc; i++)
		if (strcmp(argv[i], name) == 0)
			return true;
	return false;
}

int run_tests(const struct test *tests, size_t count, int argc, char **argv)
{
	size_t ran = 0;

	for (size_t i = 0; i < count; i++) {
		if (!wanted(tests[i].name, argc, argv))
			continue;
		printf("%s ... ", tests[i].name);
		fflush(stdout);
		tests[i].run();
		printf("ok\n");
		ran++;
	}
	if (ran == 0) {
		fprintf(stderr, "no test of that name\n");
		return EXIT_FAILURE;
	}
	return EXIT_SUCCESS;
}
