/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Hashing of names and records: XXH3, inlined. (Of pages: codec.h.) */
#ifndef TMEM_HASH_H
#define TMEM_HASH_H

#include <stddef.h>
#include <stdint.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

static inline uint64_t tmem_hash_words(const uint64_t *words, size_t count, uint64_t seed)
{
	return XXH3_64bits_withSeed(words, count * sizeof(*words), seed);
}

/* The bijective finalizer of splitmix64: spreads every bit of @x over all bits. */
static inline uint64_t tmem_mix(uint64_t x)
{
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ x >> 27) * 0x94d049bb133111ebull;
	return x ^ x >> 31;
}

#endif
