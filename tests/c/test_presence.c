/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Presence bitmaps and lists of pools: what the channel asks of the engine about many at once. */
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "page.h"
#include "random.h"
#include "setup.h"

enum { ARENA_BYTES = 32 << 20, INDEXES = 600 };

static bool bit_of(const uint64_t *bitmap, uint32_t bit)
{
	return bitmap[bit / 64] >> bit % 64 & 1;
}

/* Against a plain array, for objects with fewer and with more pages than are asked about. */
static void bitmaps_are_right(void)
{
	struct tmem_engine *engine = setup_engine("presence", ARENA_BYTES);
	struct tmem_client *client = setup_client(engine, "guest", TMEM_ENCODING_RAW);
	uint32_t pool = setup_pool(client, TMEM_POOL_PERSISTENT);
	struct random random = {.state = 1};
	bool there[INDEXES] = {false};
	uint64_t bitmap[TMEM_PRESENCE_WORDS];

	for (int step = 0; step < 4000; step++) {
		uint32_t index = random_below(&random, INDEXES);
		/* few pages at first, then many */
		bool put = random_below(&random, 10) < (step < 2000 ? 2u : 8u);
		uint32_t first = random_below(&random, INDEXES - 128);
		uint32_t count = random_below(&random, 129);

		if (put)
			CHECK_EQ(setup_put(client, pool, index, page_value(PAGE_SAME, 1 + index)),
				 TMEM_DONE);
		else
			CHECK_EQ(tmem_flush_page(client, pool, &setup_oid, index), TMEM_DONE);
		there[index] = put;
		CHECK_EQ(tmem_presence(client, pool, &setup_oid, first, count, bitmap), TMEM_DONE);
		for (uint32_t i = 0; i < 128; i++)
			CHECK_EQ(bit_of(bitmap, i), i < count && there[first + i]);
	}
	tmem_client_release(client);
	tmem_engine_close(engine);
}

static void bitmaps_at_the_edges(void)
{
	struct tmem_engine *engine = setup_engine("edges", ARENA_BYTES);
	struct tmem_client *client = setup_client(engine, "guest", TMEM_ENCODING_RAW);
	uint32_t pool = setup_pool(client, 0);
	const struct tmem_oid other = {.words = {2, 0, 0}};
	uint64_t bitmap[TMEM_PRESENCE_WORDS] = {~0ull, ~0ull};
	struct tmem_counters before, after;

	CHECK_EQ(tmem_presence(client, pool, &setup_oid, 0, 128, bitmap), TMEM_DONE);
	CHECK_EQ(bitmap[0] | bitmap[1], 0);
	CHECK_EQ(setup_put(client, pool, UINT64_MAX, page_value(PAGE_SAME, 1)), TMEM_DONE);
	CHECK_EQ(setup_put(client, pool, 0, page_value(PAGE_SAME, 2)), TMEM_DONE);
	tmem_client_counters(client, &before);
	CHECK_EQ(tmem_presence(client, pool, &setup_oid, UINT64_MAX - 5, 128, bitmap), TMEM_DONE);
	CHECK_EQ(bitmap[0], 1 << 5);
	CHECK_EQ(bitmap[1], 0);
	CHECK_EQ(tmem_presence(client, pool, &other, UINT64_MAX, 1, bitmap), TMEM_DONE);
	CHECK_EQ(bitmap[0], 0);
	/* it takes nothing out and counts nothing */
	tmem_client_counters(client, &after);
	CHECK_EQ(memcmp(&before, &after, sizeof(before)), 0);
	CHECK_EQ(setup_get(client, pool, 0), page_value(PAGE_SAME, 2));
	/* pages of an earlier epoch are not there */
	CHECK_EQ(tmem_pool_flush(client, pool), TMEM_DONE);
	CHECK_EQ(tmem_presence(client, pool, &setup_oid, UINT64_MAX, 1, bitmap), TMEM_DONE);
	CHECK_EQ(bitmap[0], 0);
	CHECK_EQ(tmem_presence(client, pool + 1, &setup_oid, 0, 128, bitmap), TMEM_ENODEV);
	tmem_client_release(client);
	tmem_engine_close(engine);
}

static int compare(const void *a, const void *b)
{
	uint32_t first = *(const uint32_t *)a;
	uint32_t second = *(const uint32_t *)b;

	return first < second ? -1 : first > second;
}

static void pools_are_listed(void)
{
	enum { POOLS = 500, PIECE = 64 };
	struct tmem_engine *engine = setup_engine("lists", ARENA_BYTES);
	struct tmem_client *client = setup_client(engine, "guest", TMEM_ENCODING_RAW);
	uint32_t ids[POOLS], found[POOLS + PIECE];
	uint32_t count = 0;
	int64_t after = -1;
	uint32_t got;

	CHECK_EQ(tmem_pool_list(client, -1, found, PIECE), 0);
	for (uint32_t i = 0; i < POOLS; i++)
		ids[i] = setup_pool(client, i % 2 != 0 ? TMEM_POOL_PERSISTENT : 0);
	qsort(ids, POOLS, sizeof(*ids), compare);
	while ((got = tmem_pool_list(client, after, found + count, PIECE)) > 0) {
		count += got;
		after = found[count - 1];
		CHECK(count <= POOLS);
	}
	CHECK_EQ(count, POOLS);
	CHECK_EQ(memcmp(ids, found, sizeof(ids)), 0);
	tmem_client_release(client);
	tmem_engine_close(engine);
}

static void an_arena_keeps_its_identity(void)
{
	uint8_t first[TMEM_IDENTITY_BYTES], again[TMEM_IDENTITY_BYTES], other[TMEM_IDENTITY_BYTES];
	struct tmem_engine *engine = setup_engine("one", ARENA_BYTES);

	tmem_engine_identity(engine, first);
	tmem_engine_close(engine);
	engine = setup_engine("one", ARENA_BYTES);
	tmem_engine_identity(engine, again);
	tmem_engine_close(engine);
	engine = setup_engine("another", ARENA_BYTES);
	tmem_engine_identity(engine, other);
	tmem_engine_close(engine);
	CHECK_EQ(memcmp(first, again, sizeof(first)), 0);
	CHECK(memcmp(first, other, sizeof(first)) != 0);
}

int main(int argc, char **argv)
{
	static const struct test tests[] = {
		{"bitmaps_are_right", bitmaps_are_right},
		{"bitmaps_at_the_edges", bitmaps_at_the_edges},
		{"pools_are_listed", pools_are_listed},
		{"an_arena_keeps_its_identity", an_arena_keeps_its_identity},
	};

	return RUN_TESTS(tests, argc, argv);
}
