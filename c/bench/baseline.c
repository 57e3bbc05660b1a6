/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "baseline.h"

#include <errno.h>
#include <fcntl.h>
#include <lz4.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "record.h"
#include "store.h"

/* A length that the compiler does not know: the library's memcpy() is called, as for any copy whose
 * length is known at run time only, instead of a string instruction in its place. */
static volatile size_t page_bytes = TMEM_PAGE_BYTES;

void bench_baseline_init(struct bench_baseline *baseline, const struct bench_data *data,
			 const uint32_t *order)
{
	memset(baseline, 0, sizeof(*baseline));
	baseline->data = data;
	baseline->order = order;
}

static void map_area(struct bench_baseline *baseline, uint64_t bytes)
{
	const char *path = bench_path(baseline->data, "area");
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	int code;

	if (fd < 0)
		bench_fail("%s: %s", path, strerror(errno));
	unlink(path);
	code = posix_fallocate(fd, 0, (off_t)bytes);
	if (code != 0)
		bench_fail("%s: no room for %llu bytes: %s", path, (unsigned long long)bytes,
			   strerror(code));
	baseline->area = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (baseline->area == MAP_FAILED)
		bench_fail("%s: cannot map it: %s", path, strerror(errno));
	close(fd);
	baseline->area_bytes = bytes;
	memset(baseline->area, 1, bytes);
}

void bench_baseline_area(struct bench_baseline *baseline, uint64_t pages)
{
	map_area(baseline, pages * TMEM_PAGE_BYTES);
}

/* Where the contents go that @at holds; their length. */
static uint32_t pack_page(const char *page, char *at)
{
	int length = LZ4_compress_default(page, at, TMEM_PAGE_BYTES, TMEM_ENCODED_MAX_BYTES);

	if (length > 0)
		return (uint32_t)length;
	memcpy(at, page, TMEM_PAGE_BYTES);
	return TMEM_PAGE_BYTES;
}

void bench_baseline_pack(struct bench_baseline *baseline, uint32_t count)
{
	bench_baseline_area(baseline, count);
	baseline->offsets = bench_alloc((count + 1ull) * sizeof(*baseline->offsets));
	for (uint32_t i = 0; i < count; i++)
		baseline->offsets[i + 1] = baseline->offsets[i] +
					   pack_page(bench_page(baseline->data, baseline->order[i]),
						     baseline->area + baseline->offsets[i]);
}

void bench_baseline_free(struct bench_baseline *baseline)
{
	if (baseline->area != NULL)
		munmap(baseline->area, baseline->area_bytes);
	free(baseline->offsets);
}

void bench_copy_to_area(void *context, uint32_t first, uint32_t end)
{
	struct bench_baseline *baseline = context;

	for (uint32_t i = first; i < end; i++)
		memcpy(baseline->area + (uint64_t)i * TMEM_PAGE_BYTES,
		       bench_page(baseline->data, baseline->order[i]), page_bytes);
	bench_used(baseline->area);
}

void bench_copy_to_page(void *context, uint32_t first, uint32_t end)
{
	struct bench_baseline *baseline = context;

	for (uint32_t i = first; i < end; i++) {
		memcpy(baseline->page, bench_page(baseline->data, baseline->order[i]), page_bytes);
		bench_used(baseline->page);
	}
}

void bench_compress(void *context, uint32_t first, uint32_t end)
{
	struct bench_baseline *baseline = context;

	for (uint32_t i = first; i < end; i++) {
		(void)LZ4_compress_default(bench_page(baseline->data, baseline->order[i]),
					   baseline->page, TMEM_PAGE_BYTES, TMEM_ENCODED_MAX_BYTES);
		bench_used(baseline->page);
	}
}

void bench_decompress(void *context, uint32_t first, uint32_t end)
{
	struct bench_baseline *baseline = context;

	for (uint32_t i = first; i < end; i++) {
		const char *contents = baseline->area + baseline->offsets[i];
		uint64_t length = baseline->offsets[i + 1] - baseline->offsets[i];

		if (length == TMEM_PAGE_BYTES)
			memcpy(baseline->page, contents, page_bytes);
		else if (LZ4_decompress_safe(contents, baseline->page, (int)length,
					     TMEM_PAGE_BYTES) != TMEM_PAGE_BYTES)
			bench_fail("LZ4 cannot read what it wrote");
		bench_used(baseline->page);
	}
}
