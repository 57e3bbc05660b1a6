/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The engine as the drivers use it: an arena of its own, one client, one pool. */
#ifndef TMEM_BENCH_STORE_H
#define TMEM_BENCH_STORE_H

#include "bench.h"

struct bench_store {
	const struct bench_data *data;
	struct tmem_engine *engine;
	struct tmem_client *client;
	uint32_t pool;
	uint32_t generation;   /* part of the oids: pages of another one are other pages */
	const uint32_t *order; /* of the pages that put and get work on */
};

/* Memory of an arena that has room for @pages pages, however they are encoded. */
uint64_t bench_room_bytes(uint64_t pages);

/* Opens a new arena, which is gone once it is closed, with a client that stores pages as @encoding
 * in a private ephemeral pool. @order: see the struct. */
void bench_store_open(struct bench_store *store, const struct bench_data *data,
		      uint64_t budget_bytes, enum tmem_encoding encoding, const uint32_t *order);
void bench_store_close(struct bench_store *store);

/* The same with an arena that stays in the folder under @name, which must not be there. */
void bench_store_create(struct bench_store *store, const struct bench_data *data, const char *name,
			uint64_t budget_bytes, enum tmem_encoding encoding, const uint32_t *order);

/* The path of the file @name in the folder; static memory. */
const char *bench_path(const struct bench_data *data, const char *name);

void bench_client_new(struct tmem_engine *engine, const char *name, enum tmem_encoding encoding,
		      struct tmem_client **client, uint32_t *pool);

/* Puts the page number @page of the data set under the handle of the page number @as. */
int bench_store_put(const struct bench_store *store, uint32_t as, uint32_t page);
int bench_store_get(const struct bench_store *store, uint32_t page, void *to);

/* Contenders: put and get of the elements of the order. A get that misses ends the program. */
void bench_store_put_slice(void *store, uint32_t first, uint32_t end);
void bench_store_get_slice(void *store, uint32_t first, uint32_t end);

/* Puts the first @count elements of the order; every one must be accepted. */
void bench_store_fill(struct bench_store *store, uint32_t count);
/* Removes what is in the pool; the arena keeps the memory. */
void bench_store_empty(struct bench_store *store);

/* All puts there were, whatever became of them. */
uint64_t bench_puts(const struct tmem_counters *counters);

/* Ends the program unless the engine holds @pages pages and has refused none. */
void bench_store_expect(const struct bench_store *store, uint64_t pages);

#endif
