/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A hash table of page references that grows and shrinks by one bucket at a time (linear hashing,
 * Litwin 1980): no insertion ever waits for a whole table to be rehashed, and a table that grew has
 * one bucket of four bytes for each entry, not half of them empty.
 *
 * The table knows only heads of chains. The caller, who has the entries, links them through a
 * field of its own, which the callbacks reach. Everything here needs the lock that guards the
 * table's owner.
 */
#ifndef TMEM_TABLE_H
#define TMEM_TABLE_H

#include <stdint.h>

struct tmem_engine;

enum { TMEM_TABLE_BUCKETS_MIN = 16 };

struct tmem_table {
	uint32_t *buckets;
	uint32_t bucket_count; /* in use; grows and shrinks with the entries */
	uint32_t bucket_room;  /* allocated */
	uint32_t entry_count;
};

/* How the table reaches an entry's chain link and hash. */
struct tmem_table_ops {
	uint32_t *(*link)(struct tmem_engine *engine, uint32_t ref);
	uint64_t (*hash)(struct tmem_engine *engine, uint32_t ref);
};

/* 0 or -ENOMEM. */
int tmem_table_init(struct tmem_engine *engine, struct tmem_table *table);
void tmem_table_deinit(struct tmem_engine *engine, struct tmem_table *table);

/* Gives an empty table the buckets that @entries will need; does nothing without memory. */
void tmem_table_presize(struct tmem_engine *engine, struct tmem_table *table, uint32_t entries);

static inline uint32_t *tmem_table_bucket(const struct tmem_table *table, uint64_t hash)
{
	uint32_t mask = UINT32_MAX >> __builtin_clz(table->bucket_count - 1);
	uint32_t bucket = (uint32_t)hash & mask;

	if (bucket >= table->bucket_count)
		bucket &= mask >> 1;
	return &table->buckets[bucket];
}

/* Puts @ref at the front of its chain; may grow the table by a bucket (or not, when there is no
 * memory: chains are then longer, nothing else). */
void tmem_table_insert(struct tmem_engine *engine, struct tmem_table *table,
		       const struct tmem_table_ops *ops, uint32_t ref, uint64_t hash);

/* Takes @ref, which must be in the table, out of its chain; may shrink the table by a bucket. */
void tmem_table_remove(struct tmem_engine *engine, struct tmem_table *table,
		       const struct tmem_table_ops *ops, uint32_t ref, uint64_t hash);

/* Puts @with in the place of @ref. */
void tmem_table_replace(struct tmem_engine *engine, struct tmem_table *table,
			const struct tmem_table_ops *ops, uint32_t ref, uint32_t with,
			uint64_t hash);

#endif
