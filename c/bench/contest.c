/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"

/* What the scheduler says of this thread: the second number is how long it was ready and waited. */
static uint64_t waited_ns(void)
{
	static _Thread_local int fd = -1;
	unsigned long long waited;
	char text[96];
	ssize_t length;

	if (fd < 0)
		fd = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);
	length = fd < 0 ? -1 : pread(fd, text, sizeof(text) - 1, 0);
	if (length <= 0)
		return 0;
	text[length] = 0;
	return sscanf(text, "%*u %llu", &waited) == 1 ? waited : 0;
}

struct bench_time bench_now(void)
{
	struct bench_time now;
	struct timespec wall;

	now.waited_ns = waited_ns();
	clock_gettime(CLOCK_MONOTONIC, &wall);
	now.wall_ns = (uint64_t)wall.tv_sec * 1000000000u + (uint64_t)wall.tv_nsec;
	return now;
}

void bench_add_since(struct bench_time *total, const struct bench_time *start)
{
	struct bench_time now = bench_now();

	total->wall_ns += now.wall_ns - start->wall_ns;
	total->waited_ns += now.waited_ns - start->waited_ns;
}

bool bench_pin(unsigned int which)
{
	/* the processors that the program was started on: a thread that is pinned has fewer */
	static cpu_set_t all;
	static bool known;
	cpu_set_t one;

	if (!known)
		known = sched_getaffinity(0, sizeof(all), &all) == 0;
	for (unsigned int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, &all) || which-- > 0)
			continue;
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		return sched_setaffinity(0, sizeof(one), &one) == 0;
	}
	return false;
}

void bench_slice(uint32_t total, uint32_t slice, uint32_t slices, uint32_t *first, uint32_t *end)
{
	*first = (uint32_t)((uint64_t)total * slice / slices);
	*end = (uint32_t)((uint64_t)total * (slice + 1) / slices);
}

void bench_contest(const struct bench_contender *contenders, uint32_t count, uint32_t total,
		   uint32_t round)
{
	struct bench_time times[8] = {0};

	if (count > sizeof(times) / sizeof(*times))
		bench_fail("%u contenders are too many", count);
	for (uint32_t turn = 0; turn < BENCH_SLICES; turn++) {
		for (uint32_t i = 0; i < count; i++) {
			uint32_t slice = (turn + i * BENCH_SLICES / count) % BENCH_SLICES;
			struct bench_time start;
			uint32_t first;
			uint32_t end;

			bench_slice(total, slice, BENCH_SLICES, &first, &end);
			start = bench_now();
			contenders[i].work(contenders[i].context, first, end);
			bench_add_since(&times[i], &start);
		}
	}
	for (uint32_t i = 0; round > 0 && i < count; i++)
		bench_sample(contenders[i].series, round, &times[i], total);
}
