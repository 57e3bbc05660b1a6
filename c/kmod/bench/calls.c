// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What cleancache and frontswap would call, called in a loop: with a private mount, a shared one
 * and a swap area that no kernel has. Puts come with interrupts off, as they do.
 */
#include "../hooks/module.h"

#include <linux/delay.h>
#include <linux/mm.h>
#include <linux/timekeeping.h>
#include <linux/uuid.h>

#include "bench.h"

enum {
	AREA = TMEM_HOOKS_AREAS - 1, /* beyond the kernel's own (MAX_SWAPFILES) */
	READY_MS = 20000,
	FAR_APART = 256, /* pages; nothing is read ahead, and no summary is shared */
	DRAIN_SLOT = TMEM_BENCH_OPERATIONS_MAX,
};

static char *shared = "";
module_param(shared, charp, 0444);
MODULE_PARM_DESC(shared, "uuid of a shared pool that this guest may join, for the run miss_asked");

static int private_mount;
static const struct tmem_oid swapped; /* what pages of the swap area say that they are of */
static u64 next_object = 1;           /* nothing is ever found under a new one */

static struct tmem_oid new_object(void)
{
	return (struct tmem_oid){{next_object++, 0, 0}};
}

/* ---- single calls --------------------------------------------------------------------- */

/* Between two calls: a kernel that calls in a loop must let others run. */
static u64 now_ns(void)
{
	cond_resched();
	return ktime_get_ns();
}

static void put(const struct tmem_oid *oid, u64 index)
{
	struct page *page = tmem_bench_page(oid, index);
	unsigned long flags;

	local_irq_save(flags);
	tmem_hooks_put_page(tmem_hooks_table(), private_mount, oid, index, page);
	local_irq_restore(flags);
}

static bool get(int id, const struct tmem_oid *oid, u64 index)
{
	return tmem_hooks_get_page(tmem_hooks_table(), id, oid, index, tmem_bench_target) == 0;
}

static int get_intact(const struct tmem_oid *oid, u64 index)
{
	if (!get(private_mount, oid, index))
		return -ENODATA;
	return tmem_bench_is_intact(oid, index) ? 0 : -EUCLEAN;
}

/* The host has done everything before (K): a store waits for its answer. */
static int drain(void)
{
	int code = tmem_hooks_store(tmem_hooks_table(), AREA, DRAIN_SLOT,
				    tmem_bench_page(&swapped, 0));

	tmem_hooks_invalidate_slot(tmem_hooks_table(), AREA, DRAIN_SLOT);
	return code ? -ENODATA : 0;
}

/* A reader whose old pages make room: it asks for a page that is not there, which may wait for
 * room, and another page of it is put. */
static void put_as_reader(const struct tmem_oid *oid, u64 index, const struct tmem_oid *reads)
{
	get(private_mount, reads, index);
	put(oid, index);
}

/* ---- runs ----------------------------------------------------------------------------- */

static struct tmem_oid put_object; /* what put has left for get_sequential */
static u32 put_pages;
static u32 stored_slots;

static int run_put(u32 count, u64 *wall_ns)
{
	const struct tmem_oid reads = new_object();
	u64 began_ns, call_ns;
	u32 i;
	int code;

	put_object = new_object();
	put_pages = count;
	began_ns = ktime_get_ns();
	for (i = 0; i < count; i++) {
		call_ns = now_ns();
		put_as_reader(&put_object, i, &reads);
		tmem_bench_sample(ktime_get_ns() - call_ns);
	}
	code = drain();
	*wall_ns = ktime_get_ns() - began_ns;
	return code;
}

static int run_get_sequential(u32 count, u64 *wall_ns)
{
	u64 began_ns = ktime_get_ns();
	u32 i;
	int code = count <= put_pages ? 0 : -ENODATA;

	for (i = 0; i < count && !code; i++) {
		code = get_intact(&put_object, i);
		cond_resched();
	}
	*wall_ns = ktime_get_ns() - began_ns;
	put_pages = 0;
	return code;
}

static int run_get_alone(u32 count, u64 *wall_ns)
{
	const struct tmem_oid oid = new_object(), reads = new_object();
	u64 call_ns;
	u32 i;
	int code;

	for (i = 0; i < count; i++)
		put_as_reader(&oid, (u64)i * FAR_APART, &reads);
	code = drain();
	for (i = 0; i < count && !code; i++) {
		bool hit;

		call_ns = tmem_bench_rest();
		hit = get(private_mount, &oid, (u64)i * FAR_APART);
		call_ns = ktime_get_ns() - call_ns;
		tmem_bench_sample(call_ns);
		*wall_ns += call_ns;
		if (!hit)
			code = -ENODATA;
		else if (!tmem_bench_is_intact(&oid, (u64)i * FAR_APART))
			code = -EUCLEAN;
	}
	return code;
}

static int misses(int id, u32 count, u64 *wall_ns)
{
	const struct tmem_oid oid = new_object();
	u64 call_ns;
	u32 i;

	for (i = 0; i < count; i++) {
		call_ns = tmem_bench_rest();
		if (get(id, &oid, (u64)i * FAR_APART))
			return -ENODATA;
		call_ns = ktime_get_ns() - call_ns;
		tmem_bench_sample(call_ns);
		*wall_ns += call_ns;
	}
	return 0;
}

/* Of a shared pool nobody but the host knows what is in a window that it has not told of. Mounted
 * for this run alone: a member has a lease to keep, which other runs shall not have to. */
static int run_miss_asked(u32 count, u64 *wall_ns)
{
	struct tmem_hooks *hooks = tmem_hooks_table();
	uuid_t uuid;
	int id, code;

	if (uuid_parse(shared, &uuid))
		return -EINVAL;
	id = tmem_hooks_init_fs(hooks, PAGE_SIZE, uuid.b, 0);
	if (id < 0)
		return id;
	code = drain();
	if (!code)
		code = misses(id, count, wall_ns);
	tmem_hooks_invalidate_fs(hooks, id);
	return code;
}

static int run_miss_summary(u32 count, u64 *wall_ns)
{
	return misses(private_mount, count, wall_ns);
}

static int run_store(u32 count, u64 *wall_ns)
{
	u64 call_ns;
	u32 i;
	int code = 0;

	for (i = 0; i < count && !code; i++) {
		struct page *page = tmem_bench_page(&swapped, i);

		call_ns = tmem_bench_rest();
		code = tmem_hooks_store(tmem_hooks_table(), AREA, i, page);
		call_ns = ktime_get_ns() - call_ns;
		tmem_bench_sample(call_ns);
		*wall_ns += call_ns;
	}
	stored_slots = i;
	return code ? -ENODATA : 0;
}

static int run_load(u32 count, u64 *wall_ns)
{
	u64 call_ns;
	u32 i;
	int code = count <= stored_slots ? 0 : -ENODATA;

	for (i = 0; i < count && !code; i++) {
		call_ns = tmem_bench_rest();
		code = tmem_hooks_load(tmem_hooks_table(), AREA, i, tmem_bench_target);
		call_ns = ktime_get_ns() - call_ns;
		tmem_bench_sample(call_ns);
		*wall_ns += call_ns;
		if (!code && !tmem_bench_is_intact(&swapped, i))
			code = -EUCLEAN;
	}
	for (i = 0; i < stored_slots; i++)
		tmem_hooks_invalidate_slot(tmem_hooks_table(), AREA, i);
	stored_slots = 0;
	return code;
}

/* Waits until the host has made the pools, which it was asked for when the module was loaded. */
static int run_ready(u32 count, u64 *wall_ns)
{
	const struct tmem_oid oid = new_object();
	unsigned int waited_ms;

	for (waited_ms = 0; waited_ms < READY_MS; waited_ms += 20) {
		put(&oid, 0);
		if (!drain() && !get_intact(&oid, 0))
			return 0;
		msleep(20);
	}
	return -ENODATA;
}

static const struct {
	const char *name;
	int (*run)(u32 count, u64 *wall_ns);
} runs[] = {
	{"ready", run_ready},
	{"put", run_put},
	{"get_sequential", run_get_sequential},
	{"get_alone", run_get_alone},
	{"miss_asked", run_miss_asked},
	{"miss_summary", run_miss_summary},
	{"store", run_store},
	{"load", run_load},
};

int tmem_bench_calls_run(const char *name, u32 count, struct tmem_bench_result *ret)
{
	u32 i;
	int code;

	for (i = 0; i < ARRAY_SIZE(runs); i++) {
		if (strcmp(runs[i].name, name))
			continue;
		tmem_bench_samples_begin();
		code = runs[i].run(count, &ret->wall_ns);
		ret->pages = count;
		ret->median_ns = tmem_bench_samples_median();
		return code;
	}
	return -ENOENT;
}

/* ---- loading, unloading --------------------------------------------------------------- */

int tmem_bench_calls_init(void)
{
	int code = tmem_bench_pages_init();

	if (code)
		return code;
	code = tmem_hooks_area_init(tmem_hooks_table(), AREA, TMEM_BENCH_OPERATIONS_MAX + 1);
	if (code)
		goto no_area;
	private_mount = tmem_hooks_init_fs(tmem_hooks_table(), PAGE_SIZE, NULL, 0);
	if (private_mount >= 0)
		return 0;
	code = private_mount;
	tmem_hooks_area_gone(tmem_hooks_table(), AREA);
no_area:
	tmem_bench_pages_free();
	return code;
}

void tmem_bench_calls_exit(void)
{
	struct tmem_hooks *hooks = tmem_hooks_table();

	tmem_hooks_invalidate_fs(hooks, private_mount);
	tmem_hooks_area_gone(hooks, AREA);
	tmem_bench_pages_free();
}
