/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What almost every C test begins with: an arena in the scratch directory, a client, a pool. */
#ifndef TMEM_TEST_SETUP_H
#define TMEM_TEST_SETUP_H

#include "engine.h"

enum { SETUP_EXTENT_BYTES = 16 << 10 };

/* Opens the scratch file @name, made when absent, in extents of SETUP_EXTENT_BYTES. */
struct tmem_engine *setup_engine(const char *name, uint64_t max_bytes);

/* The arena at @path, made when absent, in the same extents. */
struct tmem_engine *setup_open(const char *path, uint64_t budget_bytes, uint64_t max_bytes);

/* A new client that stores pages as @encoding. */
struct tmem_client *setup_client(struct tmem_engine *engine, const char *name,
				 enum tmem_encoding encoding);

/* A new pool; @kind: TMEM_POOL_PERSISTENT, TMEM_POOL_SHARED (then of @uuid) or 0. */
uint32_t setup_pool_of(struct tmem_client *client, uint32_t kind, const uint8_t *uuid);
/* The same, with one uuid for all. */
uint32_t setup_pool(struct tmem_client *client, uint32_t kind);

/* Puts and gets pages of page.h in object 1; get returns the value, 0 on a miss. */
int setup_put(struct tmem_client *client, uint32_t pool, uint64_t index, uint32_t value);
uint32_t setup_get(struct tmem_client *client, uint32_t pool, uint64_t index);

extern const struct tmem_oid setup_oid; /* of object 1 */

#endif
