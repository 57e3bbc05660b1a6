/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The hash table of page references: it grows and shrinks by single buckets and loses nothing. */
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "internal.h"
#include "random.h"

enum { ENTRIES = 20000 };

struct entry {
	uint32_t link;
	uint64_t hash;
	bool present;
};

static struct tmem_engine *engine; /* only its heap_bytes are used */
static struct tmem_table table;
static struct entry entries[ENTRIES];

static uint32_t *link_of(struct tmem_engine *unused, uint32_t ref)
{
	(void)unused;
	return &entries[ref].link;
}

static uint64_t hash_of(struct tmem_engine *unused, uint32_t ref)
{
	(void)unused;
	return entries[ref].hash;
}

static const struct tmem_table_ops ops = {.link = link_of, .hash = hash_of};

static bool found(uint32_t entry)
{
	uint32_t ref = *tmem_table_bucket(&table, entries[entry].hash);

	while (ref != TMEM_REF_NONE && ref != entry)
		ref = entries[ref].link;
	return ref == entry;
}

static void check_all(void)
{
	uint32_t present = 0;
	uint32_t chained = 0;

	for (uint32_t i = 0; i < ENTRIES; i++) {
		CHECK_EQ(found(i), entries[i].present);
		present += entries[i].present;
	}
	for (uint32_t i = 0; i < table.bucket_count; i++)
		for (uint32_t ref = table.buckets[i]; ref != TMEM_REF_NONE; ref = entries[ref].link)
			chained++;
	CHECK_EQ(chained, present);
	CHECK_EQ(table.entry_count, present);
}

static void start(void)
{
	engine = calloc(1, sizeof(*engine));
	CHECK(engine != NULL);
	memset(entries, 0, sizeof(entries));
	CHECK_EQ(tmem_table_init(engine, &table), 0);
}

static void finish(void)
{
	tmem_table_deinit(engine, &table);
	CHECK_EQ(atomic_load(&engine->heap_bytes), 0);
	free(engine);
}

static void insert(uint32_t entry, uint64_t hash)
{
	entries[entry].hash = hash;
	entries[entry].present = true;
	tmem_table_insert(engine, &table, &ops, entry, hash);
}

static void take_out(uint32_t entry)
{
	entries[entry].present = false;
	tmem_table_remove(engine, &table, &ops, entry, entries[entry].hash);
}

static void grows_and_shrinks(void)
{
	struct random random = {.state = 1};

	start();
	for (uint32_t i = 0; i < ENTRIES; i++) {
		insert(i, random_next(&random));
		if (i % 1777 == 0)
			check_all();
	}
	check_all();
	CHECK(table.bucket_count >= ENTRIES / 2);
	/* One bucket for each entry, never half of them empty. */
	CHECK(table.bucket_room <= table.bucket_count + table.bucket_count / 8 + 16);
	for (uint32_t i = 0; i < ENTRIES; i++) {
		take_out((i * 7919) % ENTRIES);
		if (i % 1777 == 0)
			check_all();
	}
	check_all();
	CHECK_EQ(table.bucket_count, TMEM_TABLE_BUCKETS_MIN);
	finish();
}

static void keeps_equal_hashes_apart(void)
{
	start();
	for (uint32_t i = 0; i < 300; i++)
		insert(i, i % 3);
	check_all();
	for (uint32_t i = 0; i < 300; i += 2)
		take_out(i);
	check_all();
	finish();
}

static void replaces_in_place(void)
{
	struct random random = {.state = 2};

	start();
	for (uint32_t i = 0; i < 1000; i++)
		insert(i, random_next(&random) % 64);
	for (uint32_t i = 0; i < 1000; i += 3) {
		entries[i + 1000] = entries[i];
		entries[i].present = false;
		tmem_table_replace(engine, &table, &ops, i, i + 1000, entries[i].hash);
	}
	check_all();
	finish();
}

static void survives_any_order(void)
{
	struct random random = {.state = 3};

	start();
	for (uint32_t i = 0; i < 100000; i++) {
		/* The number of entries swings, so that it grows and shrinks again and again. */
		uint32_t entry = random_below(&random, i / 20000 % 2 != 0 ? 200 : ENTRIES);

		if (entries[entry].present)
			take_out(entry);
		else
			insert(entry, random_next(&random));
	}
	check_all();
	finish();
}

int main(int argc, char **argv)
{
	static const struct test tests[] = {
		{"grows_and_shrinks", grows_and_shrinks},
		{"keeps_equal_hashes_apart", keeps_equal_hashes_apart},
		{"replaces_in_place", replaces_in_place},
		{"survives_any_order", survives_any_order},
	};

	return RUN_TESTS(tests, argc, argv);
}
