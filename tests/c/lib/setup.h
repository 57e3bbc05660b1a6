/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What almost every C test begins with: an arena in the scratch directory, a client, a pool. */
#ifndef TMEM_TEST_SETUP_H
#define TMEM_TEST_SETUP_H

#include "engine.h"

enum { SETUP_EXTENT_BYTES = 16 << 10 };

/* Opens the scratch file @name, made when absent, in extents of SETUP_EXTENT_BYTES. */
struct tmem_engine *setup_engine(const char *name, uint64_t max_bytes);

/* A new client that stores pages as @encoding. */
struct tmem_client *setup_client(struct tmem_engine *engine, const char *name,
				 enum tmem_encoding encoding);

/* A new pool; @kind: TMEM_POOL_PERSISTENT, TMEM_POOL_SHARED (of a uuid of ones) or 0. */
uint32_t setup_pool(struct tmem_client *client, uint32_t kind);

/* Puts and gets pages of page.h in object 1; get returns the value, 0 on a miss. */
int setup_put(struct tmem_client *client, uint32_t pool, uint64_t index, uint32_t value);
uint32_t setup_get(struct tmem_client *client, uint32_t pool, uint64_t index);

extern const struct tmem_oid setup_oid; /* of object 1 */

#endif
