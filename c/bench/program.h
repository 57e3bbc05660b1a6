/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the programs of the benchmarks have in common: their command line. */
#ifndef TMEM_BENCH_PROGRAM_H
#define TMEM_BENCH_PROGRAM_H

#include "bench.h"

struct bench_group {
	const char *name;
	void (*run)(const struct bench_data *data);
};

/*
 * PROGRAM GROUP FOLDER ROUNDS: measures one group of figures over the data set in FOLDER.
 * PROGRAM versions: of the libraries and the compiler it was built with.
 */
int bench_main(int argc, char **argv, const struct bench_group *groups, size_t count);

#endif
