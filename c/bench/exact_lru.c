/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "exact_lru.h"

#include <stdlib.h>

#include "bench.h"

struct entry {
	uint32_t newer;
	uint32_t older;
	bool held;
};

/* A ring: the entry after the last page is its head, older than the oldest and newer than the
 * newest. */
struct exact_lru {
	struct entry *entries;
	uint32_t head;
	uint32_t capacity_pages;
	uint32_t pages;
};

struct exact_lru *exact_lru_new(uint32_t page_count, uint32_t capacity_pages)
{
	struct exact_lru *lru = bench_alloc(sizeof(*lru));

	lru->entries = bench_alloc((page_count + 1ull) * sizeof(*lru->entries));
	lru->head = page_count;
	lru->entries[lru->head].newer = lru->head;
	lru->entries[lru->head].older = lru->head;
	lru->capacity_pages = capacity_pages;
	return lru;
}

static void take_out(struct exact_lru *lru, uint32_t page)
{
	struct entry *entry = &lru->entries[page];

	lru->entries[entry->newer].older = entry->older;
	lru->entries[entry->older].newer = entry->newer;
	entry->held = false;
	lru->pages--;
}

static void put_newest(struct exact_lru *lru, uint32_t page)
{
	struct entry *entry = &lru->entries[page];
	struct entry *head = &lru->entries[lru->head];

	entry->newer = lru->head;
	entry->older = head->older;
	lru->entries[head->older].newer = page;
	head->older = page;
	entry->held = true;
	lru->pages++;
}

bool exact_lru_access(struct exact_lru *lru, uint32_t page)
{
	bool hit = lru->entries[page].held;

	if (hit)
		take_out(lru, page);
	else if (lru->pages == lru->capacity_pages)
		take_out(lru, lru->entries[lru->head].newer);
	put_newest(lru, page);
	return hit;
}

void exact_lru_free(struct exact_lru *lru)
{
	free(lru->entries);
	free(lru);
}
