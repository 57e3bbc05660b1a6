/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The raw primitives that the engine is compared with. */
#ifndef TMEM_BENCH_BASELINE_H
#define TMEM_BENCH_BASELINE_H

#include "bench.h"

struct bench_baseline {
	const struct bench_data *data;
	const uint32_t *order;
	char *area; /* shared memory on tmpfs, faulted in, as large as the order is long */
	uint64_t area_bytes;
	uint64_t *offsets; /* packed contents: where those of each element of the order start */
	char page[TMEM_PAGE_BYTES] __attribute__((aligned(64)));
};

void bench_baseline_init(struct bench_baseline *baseline, const struct bench_data *data,
			 const uint32_t *order);
/* Gives it an area of @pages pages. */
void bench_baseline_area(struct bench_baseline *baseline, uint64_t pages);
/* Gives it an area that holds the first @count pages of the order as LZ4, one after the other; what
 * does not shrink to what the engine keeps compressed as it is. */
void bench_baseline_pack(struct bench_baseline *baseline, uint32_t count);
void bench_baseline_free(struct bench_baseline *baseline);

/* Contenders. */
void bench_copy_to_area(void *baseline, uint32_t first, uint32_t end);
void bench_copy_to_page(void *baseline, uint32_t first, uint32_t end);
void bench_compress(void *baseline, uint32_t first, uint32_t end);
void bench_decompress(void *baseline, uint32_t first, uint32_t end);

#endif
