/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Repeatable random numbers (splitmix64): a test prints its seed, and the seed brings the run back.
 */
#ifndef TMEM_TEST_RANDOM_H
#define TMEM_TEST_RANDOM_H

#include <stdint.h>

struct random {
	uint64_t state;
};

static inline uint64_t random_next(struct random *random)
{
	uint64_t z = (random->state += 0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return z ^ (z >> 31);
}

/* 0 .. @bound - 1; the bias is far below what a test could notice. */
static inline uint32_t random_below(struct random *random, uint32_t bound)
{
	return (uint32_t)(((random_next(random) >> 32) * bound) >> 32);
}

#endif
