/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Hashing: XXH3 inlined for names and records, the library's run-time dispatch for pages. */
#ifndef TMEM_HASH_H
#define TMEM_HASH_H

#include <stdint.h>

#include "tmem_abi.h"

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

/* XXH3 of a page keyed by a secret of TMEM_SECRET_BYTES (codec.c). */
uint64_t tmem_hash_page(const void *page, const uint8_t *secret);

#endif
