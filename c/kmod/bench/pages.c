// SPDX-License-Identifier: GPL-2.0-or-later
/* Pages to be put, and the one that what is got comes to. */
#include <linux/highmem.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/random.h>

#include "bench.h"

enum { SOURCES = 64 };

struct page *tmem_bench_target;
static struct page *sources[SOURCES];

static u64 stamp_of(const struct tmem_oid *oid, u64 index)
{
	return oid->words[0] << 32 | index;
}

struct page *tmem_bench_page(const struct tmem_oid *oid, u64 index)
{
	struct page *page = sources[index % SOURCES];
	u64 *words = kmap_atomic(page);

	words[0] = stamp_of(oid, index);
	kunmap_atomic(words);
	return page;
}

bool tmem_bench_is_intact(const struct tmem_oid *oid, u64 index)
{
	const u64 *words = kmap_atomic(tmem_bench_target),
		  *source = kmap_atomic(sources[index % SOURCES]);
	const size_t last = PAGE_SIZE / sizeof(*words) - 1;
	bool intact = words[0] == stamp_of(oid, index) && words[last] == source[last];

	kunmap_atomic((void *)source);
	kunmap_atomic((void *)words);
	return intact;
}

static struct page *new_page(void)
{
	struct page *page = alloc_page(GFP_KERNEL);
	void *bytes;

	if (!page)
		return NULL;
	bytes = kmap(page);
	get_random_bytes(bytes, PAGE_SIZE);
	kunmap(page);
	lock_page(page); /* as whoever calls hooks has it */
	return page;
}

static void free_page_of(struct page *page)
{
	if (!page)
		return;
	unlock_page(page);
	put_page(page);
}

void tmem_bench_pages_free(void)
{
	u32 i;

	for (i = 0; i < SOURCES; i++)
		free_page_of(sources[i]);
	free_page_of(tmem_bench_target);
}

int tmem_bench_pages_init(void)
{
	u32 i;

	tmem_bench_target = new_page();
	for (i = 0; i < SOURCES; i++)
		sources[i] = new_page();
	for (i = 0; i < SOURCES; i++)
		if (!sources[i] || !tmem_bench_target) {
			tmem_bench_pages_free();
			return -ENOMEM;
		}
	return 0;
}
