/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A cache that evicts the page that has not been accessed for the longest time, and nothing else.
 */
#ifndef TMEM_BENCH_EXACT_LRU_H
#define TMEM_BENCH_EXACT_LRU_H

#include <stdbool.h>
#include <stdint.h>

struct exact_lru;

/* For pages numbered below @page_count, of which @capacity_pages (at least 1) fit. */
struct exact_lru *exact_lru_new(uint32_t page_count, uint32_t capacity_pages);
/* Whether @page was there; it now is, as the newest. */
bool exact_lru_access(struct exact_lru *lru, uint32_t page);
void exact_lru_free(struct exact_lru *lru);

#endif
