/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdlib.h>
#include <sys/mman.h>

#include "internal.h"

void *tmem_alloc(struct tmem_engine *engine, size_t bytes)
{
	void *memory = calloc(1, bytes);

	if (memory != NULL)
		atomic_fetch_add_explicit(&engine->heap_bytes, bytes, memory_order_relaxed);
	return memory;
}

void tmem_free(struct tmem_engine *engine, void *memory, size_t bytes)
{
	if (memory == NULL)
		return;
	atomic_fetch_sub_explicit(&engine->heap_bytes, bytes, memory_order_relaxed);
	free(memory);
}

void *tmem_realloc(struct tmem_engine *engine, void *memory, size_t old_bytes, size_t new_bytes)
{
	char *grown = realloc(memory, new_bytes);

	if (grown == NULL)
		return NULL;
	if (new_bytes > old_bytes)
		memset(grown + old_bytes, 0, new_bytes - old_bytes);
	atomic_fetch_add_explicit(&engine->heap_bytes, new_bytes - old_bytes, memory_order_relaxed);
	return grown;
}

void *tmem_sparse_alloc(size_t bytes)
{
	void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return memory == MAP_FAILED ? NULL : memory;
}

void tmem_sparse_free(void *memory, size_t bytes)
{
	if (memory != NULL)
		munmap(memory, bytes);
}
