/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "program.h"

#include <lz4.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>
#include <zstd.h>

void bench_sample(const char *series, uint32_t round, const struct bench_time *time, uint64_t pages)
{
	printf("{\"series\": \"%s\", \"round\": %u, \"wall_ns\": %llu, \"waited_ns\": %llu, "
	       "\"pages\": %llu}\n",
	       series, round, (unsigned long long)time->wall_ns,
	       (unsigned long long)time->waited_ns, (unsigned long long)pages);
}

void bench_value(const char *name, double value)
{
	printf("{\"name\": \"%s\", \"value\": %.9g}\n", name, value);
}

void bench_fail(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
	exit(1);
}

void *bench_alloc(uint64_t bytes)
{
	void *memory = calloc(1, bytes);

	if (memory == NULL)
		bench_fail("out of memory");
	return memory;
}

#ifdef __clang__
#define COMPILER __VERSION__
#else
#define COMPILER "gcc " __VERSION__
#endif

static void print_versions(void)
{
	unsigned int xxhash = XXH_versionNumber();

	printf("{\"lz4\": \"%s\", \"zstd\": \"%s\", \"xxhash\": \"%u.%u.%u\", "
	       "\"compiler\": \"%s\"}\n",
	       LZ4_versionString(), ZSTD_versionString(), xxhash / 10000, xxhash / 100 % 100,
	       xxhash % 100, COMPILER);
}

int bench_main(int argc, char **argv, const struct bench_group *groups, size_t count)
{
	struct bench_data data = {0};

	if (argc == 2 && strcmp(argv[1], "versions") == 0) {
		print_versions();
		return 0;
	}
	if (argc != 4)
		bench_fail("usage: %s GROUP FOLDER ROUNDS, or %s versions", argv[0], argv[0]);
	data.rounds = (uint32_t)strtoul(argv[3], NULL, 10);
	for (size_t i = 0; i < count; i++) {
		if (strcmp(groups[i].name, argv[1]) != 0)
			continue;
		if (!bench_pin(0))
			bench_fail("cannot stay on one processor");
		bench_data_load(&data, argv[2]);
		groups[i].run(&data);
		return 0;
	}
	bench_fail("%s: no such group", argv[1]);
}
