/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench.h"
#include "store.h"

static const void *map_file(const struct bench_data *data, const char *name, uint64_t *bytes)
{
	const char *path = bench_path(data, name);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	const volatile char *memory;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) != 0)
		bench_fail("%s: %s", path, strerror(errno));
	*bytes = (uint64_t)st.st_size;
	if (*bytes == 0)
		bench_fail("%s: empty", path);
	memory = mmap(NULL, *bytes, PROT_READ, MAP_SHARED | MAP_POPULATE, fd, 0);
	if (memory == MAP_FAILED)
		bench_fail("%s: cannot map it: %s", path, strerror(errno));
	close(fd);
	for (uint64_t i = 0; i < *bytes; i += TMEM_PAGE_BYTES)
		(void)memory[i];
	return (const void *)memory;
}

static bool is_one_word(const char *page)
{
	return memcmp(page, page + 8, TMEM_PAGE_BYTES - 8) == 0;
}

void bench_data_load(struct bench_data *data, const char *folder)
{
	uint64_t page_bytes;
	uint64_t handle_bytes;

	data->folder = folder;
	data->pages = map_file(data, "pages", &page_bytes);
	data->handles = map_file(data, "handles", &handle_bytes);
	data->page_count = (uint32_t)(page_bytes / TMEM_PAGE_BYTES);
	if (handle_bytes / sizeof(*data->handles) != data->page_count)
		bench_fail("%s: %u pages, but another number of handles", folder, data->page_count);
	data->plain = bench_alloc(data->page_count * sizeof(*data->plain));
	data->plain_count = 0;
	for (uint32_t page = 0; page < data->page_count; page++)
		if (!is_one_word(bench_page(data, page)))
			data->plain[data->plain_count++] = page;
	if (data->plain_count < BENCH_SLICES)
		bench_fail("%s: %u pages are too few to measure anything", folder,
			   data->plain_count);
}

uint64_t bench_random(uint64_t *state)
{
	/* xorshift64*; Vigna, "An experimental exploration of Marsaglia's xorshift generators" */
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * 0x2545f4914f6cdd1dull;
}

uint32_t *bench_shuffled(const uint32_t *from, uint32_t count)
{
	uint32_t *to = bench_alloc(count * sizeof(*to));
	uint64_t state = 1;

	memcpy(to, from, count * sizeof(*to));
	for (uint32_t left = count; left > 1; left--) {
		uint32_t other = (uint32_t)(bench_random(&state) >> 16) % left;
		uint32_t number = to[left - 1];

		to[left - 1] = to[other];
		to[other] = number;
	}
	return to;
}
