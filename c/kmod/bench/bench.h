/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The module tmem_bench measures in the kernel what a page costs: over a port that nobody else
 * uses, with nothing but bytes (raw.c), and through the calls of hooks, transport and host
 * (calls.c). Both in one kernel, so that they can take turns.
 *
 *   module.c    parameters, loading and unloading, the file `run` in debugfs
 *   raw.c       the bare port: the port of the transport, moved by a loop
 *   calls.c     a mount and a swap area of its own, called as cleancache and frontswap call
 *   pages.c     pages that can be told from each other
 *   samples.c   times of single operations, and what is read from `run`
 *
 * Everything runs in the task that writes to `run`, one run at a time.
 */
#ifndef TMEM_BENCH_H
#define TMEM_BENCH_H

#include <linux/types.h>

#include "tmem_abi.h"

struct page;

enum {
	TMEM_BENCH_OPERATIONS_MAX = 1 << 16, /* of one run */
};

/* What a run has measured. */
struct tmem_bench_result {
	u64 pages;     /* or operations without one */
	u64 wall_ns;   /* for all of them */
	u64 median_ns; /* of one; 0: they were not looked at one by one */
};

/* ---- samples.c ------------------------------------------------------------------------ */

/* Memory for TMEM_BENCH_OPERATIONS_MAX times. 0 or -ENOMEM. */
int tmem_bench_samples_init(void);
void tmem_bench_samples_free(void);

void tmem_bench_samples_begin(void);
void tmem_bench_sample(u64 ns);
/* Task. Before an operation that is timed alone: 100 us, for what may still go on of the one before
 * in QEMU, on its host's processors and in other tasks of the guest. The time. */
u64 tmem_bench_rest(void);
/* Their median; 0: there is none. */
u64 tmem_bench_samples_median(void);

/* ---- pages.c -------------------------------------------------------------------------- */

/* 0 or -ENOMEM. */
int tmem_bench_pages_init(void);
void tmem_bench_pages_free(void);

/* What pages are got into; locked, as whoever calls hooks has it. */
extern struct page *tmem_bench_target;

/* A locked page that says that it is page @index of @oid, until one is asked for whose index is the
 * same modulo 64. Pages do not compress. */
struct page *tmem_bench_page(const struct tmem_oid *oid, u64 index);
/* Whether tmem_bench_target is what that call made. */
bool tmem_bench_is_intact(const struct tmem_oid *oid, u64 index);

/* ---- raw.c ---------------------------------------------------------------------------- */

/* Takes @device, which no driver has; "": there is no bare port. */
int tmem_bench_raw_init(void);
void tmem_bench_raw_exit(void);

/* 0 or a negative errno: -ENOENT: @name is no run of this file. -ENODEV: no port, or nobody has it
 * open on the host. -ETIMEDOUT: the host does not answer. */
int tmem_bench_raw_run(const char *name, u32 count, struct tmem_bench_result *ret);

/* ---- calls.c -------------------------------------------------------------------------- */

int tmem_bench_calls_init(void);
void tmem_bench_calls_exit(void);

/* 0 or a negative errno: -ENOENT: @name is no run of this file. -ENODATA: what must be there is
 * not, or the other way round. -EUCLEAN: a page is not what was put. */
int tmem_bench_calls_run(const char *name, u32 count, struct tmem_bench_result *ret);

#endif
