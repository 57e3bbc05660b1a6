// SPDX-License-Identifier: GPL-2.0-or-later
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/sort.h>
#include <linux/timekeeping.h>
#include <linux/vmalloc.h>

#include "bench.h"

#define REST_NS (100 * NSEC_PER_USEC)

static u32 *samples;
static u32 count;

int tmem_bench_samples_init(void)
{
	samples = vmalloc(array_size(TMEM_BENCH_OPERATIONS_MAX, sizeof(*samples)));
	return samples ? 0 : -ENOMEM;
}

void tmem_bench_samples_free(void)
{
	vfree(samples);
}

void tmem_bench_samples_begin(void)
{
	count = 0;
}

u64 tmem_bench_rest(void)
{
	u64 end_ns = ktime_get_ns() + REST_NS, now_ns;

	do {
		cond_resched();
		now_ns = ktime_get_ns();
	} while (now_ns < end_ns);
	return now_ns;
}

void tmem_bench_sample(u64 ns)
{
	if (count < TMEM_BENCH_OPERATIONS_MAX)
		samples[count++] = min_t(u64, ns, U32_MAX);
}

static int compare(const void *a, const void *b)
{
	u32 left = *(const u32 *)a, right = *(const u32 *)b;

	return left < right ? -1 : left > right;
}

u64 tmem_bench_samples_median(void)
{
	if (!count)
		return 0;
	sort(samples, count, sizeof(*samples), compare, NULL);
	return samples[count / 2];
}
