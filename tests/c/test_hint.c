/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Hints: they follow the chain of a page as far as they say, wait for nobody, believe nothing and
 * change nothing.
 */
#include <string.h>

#include "check.h"
#include "hint.h"
#include "locks.h"
#include "ops.h"
#include "random.h"
#include "setup.h"

enum { PAGES = 3000 };

static struct tmem_engine *engine;
static struct tmem_client *client;

static void start(const char *name)
{
	engine = setup_engine(name, 64 << 20);
	client = setup_client(engine, "guest", TMEM_ENCODING_LZ4);
}

static void stop(void)
{
	tmem_client_release(client);
	tmem_engine_close(engine);
}

static struct tmem_hint hint_of(uint32_t pool, const struct tmem_oid *oid, uint64_t index, bool get)
{
	return (struct tmem_hint){
		.client = client, .pool = pool, .oid = *oid, .index = index, .get = get};
}

/* Every step; whether it was over before all were made. */
static bool follow(struct tmem_hint *hint)
{
	for (unsigned int step = 0; step < TMEM_HINT_STEPS; step++)
		tmem_hint_step(hint, step);
	return hint->over;
}

/* Where the page stands in its chain, from 1; 0: it is not there, and *@length is all of it. */
static unsigned int position_of(uint32_t pool, uint64_t index, unsigned int *length)
{
	struct tmem_handle handle;
	struct tmem_call call;
	unsigned int found = 0;
	tmem_ref ref;

	*length = 0;
	CHECK_EQ(tmem_call_begin(client, pool, &call), 0);
	tmem_handle_init(engine, &handle, call.pool, &setup_oid, index);
	ref = *tmem_table_bucket(&handle.shard->pages, tmem_page_hash(handle.object_hash, index));
	for (; ref != TMEM_REF_NONE; ref = tmem_ref_links(engine, ref)->hash_next) {
		const struct tmem_record *record = tmem_ref_record(engine, ref);

		++*length;
		if (found == 0 && record->index == index &&
		    tmem_oid_equal(&record->oid, &setup_oid))
			found = *length;
	}
	return found;
}

static void a_page_is_found_within_the_steps(void)
{
	uint32_t pool, found[TMEM_HINT_STEPS + 1] = {0}, absent = 0;

	start("found");
	pool = setup_pool(client, TMEM_POOL_PERSISTENT);
	for (uint64_t index = 0; index < PAGES; index++)
		CHECK_EQ(setup_put(client, pool, index * 37, (uint32_t)index + 1), TMEM_DONE);
	for (uint64_t index = 0; index < (uint64_t)PAGES * 37; index += 1 + index % 3 * 18) {
		struct tmem_hint hint = hint_of(pool, &setup_oid, index, true);
		unsigned int length, position = position_of(pool, index, &length);
		bool over = follow(&hint);

		/* the last step fetches a record that none looks into any more */
		if (position != 0)
			CHECK_EQ(over, position < TMEM_HINT_STEPS - 1);
		else
			CHECK_EQ(over, length < TMEM_HINT_STEPS - 1);
		if (position < TMEM_HINT_STEPS)
			found[position]++;
		absent += position == 0;
	}
	CHECK(found[1] != 0 && found[2] != 0 && absent != 0);
	stop();
}

static void they_change_nothing(void)
{
	struct random random = {.state = 5};
	struct tmem_counters before, after;
	struct tmem_usage used, uses;
	uint32_t pool;

	start("nothing");
	pool = setup_pool(client, 0);
	for (uint64_t index = 0; index < PAGES; index++)
		CHECK_EQ(setup_put(client, pool, index, (uint32_t)index + 1), TMEM_DONE);
	tmem_client_counters(client, &before);
	tmem_engine_usage(engine, &used);
	for (int i = 0; i < 20 * PAGES; i++) {
		/* pools that are not there, objects that are not, indexes of every size */
		uint32_t number = i % 3 ? pool : (uint32_t)random_next(&random);
		struct tmem_oid oid = i % 5 ? setup_oid : (struct tmem_oid){{(uint64_t)i, 0, 9}};
		uint64_t index = i % 7 ? random_next(&random) % (2 * PAGES) : random_next(&random);
		struct tmem_hint hint = hint_of(number, &oid, index, i % 2);

		(void)follow(&hint);
		tmem_hint_step(&hint, TMEM_HINT_STEPS - 1); /* once more, and out of turn */
	}
	tmem_client_counters(client, &after);
	tmem_engine_usage(engine, &uses);
	CHECK(memcmp(&before, &after, sizeof(before)) == 0);
	CHECK(memcmp(&used, &uses, sizeof(used)) == 0);
	for (uint64_t index = 0; index < PAGES; index++)
		CHECK_EQ(setup_get(client, pool, index), index + 1);
	stop();
}

static void what_is_not_there_is_over_at_once(void)
{
	struct tmem_hint hint;
	uint32_t pool;

	start("over");
	pool = setup_pool(client, 0);
	hint = hint_of(pool + 1, &setup_oid, 0, true);
	tmem_hint_step(&hint, 0);
	CHECK(hint.over);
	hint = hint_of(pool, &setup_oid, 0, true);
	tmem_hint_step(&hint, 0);
	CHECK(!hint.over); /* the bucket only was fetched */
	tmem_hint_step(&hint, 1);
	CHECK(hint.over);
	CHECK_EQ(tmem_pool_destroy(client, pool), TMEM_DONE);
	hint = hint_of(pool, &setup_oid, 0, true);
	tmem_hint_step(&hint, 0);
	CHECK(hint.over);
	stop();
}

static void a_lock_that_is_held_is_not_waited_for(void)
{
	struct tmem_handle handle;
	struct tmem_call call;
	struct tmem_hint hint;
	uint32_t pool;

	start("locked");
	pool = setup_pool(client, 0);
	CHECK_EQ(setup_put(client, pool, 1, 5), TMEM_DONE);
	CHECK_EQ(tmem_call_begin(client, pool, &call), 0);
	tmem_handle_init(engine, &handle, call.pool, &setup_oid, 1);
	hint = hint_of(pool, &setup_oid, 1, true);
	tmem_lock(&handle.shard->lock);
	CHECK(!follow(&hint));
	tmem_unlock(&handle.shard->lock);
	CHECK(follow(&hint));
	CHECK_EQ(setup_get(client, pool, 1), 5);
	stop();
}

int main(int argc, char **argv)
{
	static const struct test tests[] = {
		{"a_page_is_found_within_the_steps", a_page_is_found_within_the_steps},
		{"they_change_nothing", they_change_nothing},
		{"what_is_not_there_is_over_at_once", what_is_not_there_is_over_at_once},
		{"a_lock_that_is_held_is_not_waited_for", a_lock_that_is_held_is_not_waited_for},
	};

	return RUN_TESTS(tests, argc, argv);
}
