/* SPDX-License-Identifier: GPL-2.0-or-later */
/* bench_engine: the program of `tmem bench engine`. */
#include "program.h"

static const struct bench_group groups[] = {
	{"put", bench_put},           {"put_fresh", bench_put_fresh},
	{"get_seq", bench_get_seq},   {"get_random", bench_get_random},
	{"put_lz4", bench_put_lz4},   {"get_lz4", bench_get_lz4},
	{"put_full", bench_put_full}, {"scaling", bench_scaling},
	{"metadata", bench_metadata}, {"waste", bench_waste},
	{"lru", bench_lru},           {"recover", bench_recover},
	{"destroy", bench_destroy},
};

int main(int argc, char **argv)
{
	return bench_main(argc, argv, groups, sizeof(groups) / sizeof(*groups));
}
