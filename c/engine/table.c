/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "table.h"

#include "internal.h"

int tmem_table_init(struct tmem_engine *engine, struct tmem_table *table)
{
	table->buckets = tmem_alloc(engine, TMEM_TABLE_BUCKETS_MIN * sizeof(uint32_t));
	if (table->buckets == NULL)
		return -ENOMEM;
	memset(table->buckets, 0xff, TMEM_TABLE_BUCKETS_MIN * sizeof(uint32_t));
	table->bucket_count = TMEM_TABLE_BUCKETS_MIN;
	table->bucket_room = TMEM_TABLE_BUCKETS_MIN;
	table->entry_count = 0;
	return 0;
}

void tmem_table_deinit(struct tmem_engine *engine, struct tmem_table *table)
{
	tmem_free(engine, table->buckets, table->bucket_room * sizeof(uint32_t));
	table->buckets = NULL;
}

static bool make_room(struct tmem_engine *engine, struct tmem_table *table, uint32_t room)
{
	uint32_t *buckets =
		tmem_realloc(engine, table->buckets, table->bucket_room * sizeof(uint32_t),
			     room * sizeof(uint32_t));

	if (buckets == NULL)
		return false;
	table->buckets = buckets;
	table->bucket_room = room;
	return true;
}

void tmem_table_presize(struct tmem_engine *engine, struct tmem_table *table, uint32_t entries)
{
	assert(table->entry_count == 0);
	if (entries <= table->bucket_count)
		return;
	if (entries > table->bucket_room && !make_room(engine, table, entries))
		return;
	memset(table->buckets, 0xff, entries * sizeof(uint32_t));
	table->bucket_count = entries;
}

/* Adds the bucket after the last and moves to it what hashes there from the one it splits. */
static void grow(struct tmem_engine *engine, struct tmem_table *table,
		 const struct tmem_table_ops *ops)
{
	uint32_t last = table->bucket_count;
	uint32_t mask = UINT32_MAX >> __builtin_clz(last);
	uint32_t *from = NULL;
	uint32_t *to = NULL;
	uint32_t ref;

	/* An eighth more at a time: realloc of large blocks moves mappings, not bytes. */
	if (last == table->bucket_room && !make_room(engine, table, last + last / 8 + 16))
		return;
	from = &table->buckets[last & mask >> 1];
	to = &table->buckets[last];
	table->bucket_count++;
	ref = *from;
	while (ref != TMEM_REF_NONE) {
		uint32_t *link = ops->link(engine, ref);
		uint32_t next = *link;

		if (((uint32_t)ops->hash(engine, ref) & mask) == last) {
			*to = ref;
			to = link;
		} else {
			*from = ref;
			from = link;
		}
		ref = next;
	}
	*from = TMEM_REF_NONE;
	*to = TMEM_REF_NONE;
}

/* The reverse of grow. */
static void shrink(struct tmem_engine *engine, struct tmem_table *table,
		   const struct tmem_table_ops *ops)
{
	uint32_t last = table->bucket_count - 1;
	uint32_t mask = UINT32_MAX >> __builtin_clz(last);
	uint32_t *tail = &table->buckets[last & mask >> 1];

	while (*tail != TMEM_REF_NONE)
		tail = ops->link(engine, *tail);
	*tail = table->buckets[last];
	table->bucket_count--;
	if (table->bucket_count < table->bucket_room / 2)
		(void)make_room(engine, table, table->bucket_room * 5 / 8);
}

void tmem_table_insert(struct tmem_engine *engine, struct tmem_table *table,
		       const struct tmem_table_ops *ops, uint32_t ref, uint64_t hash)
{
	uint32_t *bucket = tmem_table_bucket(table, hash);

	*ops->link(engine, ref) = *bucket;
	*bucket = ref;
	if (++table->entry_count > table->bucket_count)
		grow(engine, table, ops);
}

static uint32_t *find_link(struct tmem_engine *engine, struct tmem_table *table,
			   const struct tmem_table_ops *ops, uint32_t ref, uint64_t hash)
{
	uint32_t *link = tmem_table_bucket(table, hash);

	while (*link != ref)
		link = ops->link(engine, *link);
	return link;
}

void tmem_table_remove(struct tmem_engine *engine, struct tmem_table *table,
		       const struct tmem_table_ops *ops, uint32_t ref, uint64_t hash)
{
	*find_link(engine, table, ops, ref, hash) = *ops->link(engine, ref);
	table->entry_count--;
	/* Not before three of four are empty, so that a table that breathes is left alone; then as
	 * many for one that an emptied table has given back all. */
	for (int i = 0; i < 4 && table->entry_count < table->bucket_count / 4 &&
			table->bucket_count > TMEM_TABLE_BUCKETS_MIN;
	     i++)
		shrink(engine, table, ops);
}

void tmem_table_replace(struct tmem_engine *engine, struct tmem_table *table,
			const struct tmem_table_ops *ops, uint32_t ref, uint32_t with,
			uint64_t hash)
{
	*ops->link(engine, with) = *ops->link(engine, ref);
	*find_link(engine, table, ops, ref, hash) = with;
}
