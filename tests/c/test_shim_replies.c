/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Replies in pieces: QEMU makes two of each page, and others cut where they like. What may happen
 * between two pieces of a page, of which the first is copied before the second is there. */
#include <string.h>

#include "alone.h"
#include "check.h"
#include "core.h"
#include "frontends.h"
#include "page.h"
#include "random.h"

enum { VALUE = 7, REPLY_BYTES = TMEM_WIRE_MESSAGE_MAX, FIRST_BYTES = 4096 };

static uint8_t page[TMEM_PAGE_BYTES];
static struct tmem_shim_request request;

/* A swap area with a page in slot 0, which is loaded: the host has answered, and nothing of that
 * has come. */
static void begin_load(void)
{
	uint8_t stored[TMEM_PAGE_BYTES];

	page_make(stored, VALUE);
	alone_start();
	CHECK_EQ(tmem_frontswap_init(alone_shim, 0, ALONE_AREA_PAGES, alone_area), TMEM_DONE);
	sim_connect(&alone_sim, 0);
	sim_settle(&alone_sim, 0);
	CHECK_EQ(tmem_frontswap_store_start(alone_shim, 0, 0, stored, &request), TMEM_SHIM_PENDING);
	sim_settle(&alone_sim, 0);
	CHECK_EQ(tmem_shim_finished(alone_shim, &request), TMEM_DONE);
	CHECK_EQ(tmem_frontswap_load_start(alone_shim, 0, 0, page, &request), TMEM_SHIM_PENDING);
	while (sim_apply(&alone_sim, 0))
		;
	CHECK_EQ(alone_sim.clients[0].out_bytes, REPLY_BYTES);
}

/* Delivers bytes @from .. @to of the only reply. */
static void deliver(size_t from, size_t to)
{
	struct sim_client *client = &alone_sim.clients[0];

	tmem_shim_input(alone_shim, client->out + from, to - from);
	if (to == client->out_bytes)
		client->out_bytes = client->answer_count = 0;
}

static void load_again(void)
{
	memset(page, 0, sizeof(page));
	CHECK_EQ(tmem_frontswap_load_start(alone_shim, 0, 0, page, &request), TMEM_SHIM_PENDING);
	while (sim_apply(&alone_sim, 0))
		;
}

static void a_page_in_any_two_pieces(void)
{
	begin_load();
	for (size_t first = 1; first < REPLY_BYTES; first++) {
		deliver(0, first);
		CHECK_EQ(tmem_shim_finished(alone_shim, &request), TMEM_SHIM_PENDING);
		deliver(first, REPLY_BYTES);
		CHECK_EQ(tmem_shim_finished(alone_shim, &request), TMEM_DONE);
		CHECK(page_equals(page, VALUE));
		load_again();
	}
	deliver(0, REPLY_BYTES);
	alone_stop();
}

enum { LOADS = 9, STATS = 30 };

/* More than is taken under one hold of the lock, with replies of three lengths, in pieces that may
 * hold many of them: each is taken as soon as its last byte is there. */
static void many_replies_in_any_pieces(void)
{
	static uint8_t pages[LOADS][TMEM_PAGE_BYTES], maps[STATS][TMEM_PAGE_BYTES];
	struct tmem_shim_request loads[LOADS], stats[STATS], store;
	struct sim_client *client = &alone_sim.clients[0];
	struct random random = {1};

	begin_load();
	deliver(0, REPLY_BYTES);
	for (int round = 0; round < 300; round++) {
		size_t longest = round % 3 == 0 ? 300 : round % 3 == 1 ? 5000 : 70000;
		size_t at = 0, bytes;

		memset(pages, 0, sizeof(pages));
		for (int i = 0; i < LOADS; i++)
			tmem_frontswap_load_start(alone_shim, 0, 0, pages[i], &loads[i]);
		for (int i = 0; i < STATS; i++) {
			stats[i] = (struct tmem_shim_request){.op = TMEM_OP_STAT, .page = maps[i]};
			CHECK_EQ(tmem_shim_start(alone_shim, &stats[i]), TMEM_SHIM_PENDING);
		}
		tmem_frontswap_store_start(alone_shim, 0, 1, page, &store);
		while (sim_apply(&alone_sim, 0))
			;
		bytes = client->out_bytes;
		CHECK(bytes > TMEM_INPUT_BATCH_BYTES + REPLY_BYTES);
		while (at < bytes) {
			size_t piece = 1 + random_below(&random, longest);

			piece = piece < bytes - at ? piece : bytes - at;
			deliver(at, at + piece);
			at += piece;
			for (size_t i = 0; i < LOADS; i++)
				CHECK_EQ(tmem_shim_finished(alone_shim, &loads[i]) == TMEM_DONE,
					 at >= (i + 1) * REPLY_BYTES);
		}
		for (int i = 0; i < LOADS; i++)
			CHECK(page_equals(pages[i], VALUE));
		for (int i = 0; i < STATS; i++) {
			CHECK_EQ(tmem_shim_finished(alone_shim, &stats[i]), TMEM_DONE);
			/* sim_host.c: its length tells its bytes */
			CHECK_EQ(maps[i][stats[i].bytes - 1], (stats[i].bytes - 1) & 0xff);
		}
		CHECK_EQ(tmem_shim_finished(alone_shim, &store), TMEM_DONE);
	}
	CHECK_EQ(client->reopens, 0);
	alone_stop();
}

/* F11: who has given up has another use for the page, and for the request. */
static void who_asked_gives_up(void)
{
	uint8_t before[TMEM_PAGE_BYTES];

	begin_load();
	deliver(0, FIRST_BYTES);
	CHECK_EQ(tmem_shim_cancel(alone_shim, &request), TMEM_EAGAIN);
	memset(page, 1, sizeof(page));
	memset(&request, 2, sizeof(request));
	memcpy(before, page, sizeof(page));
	deliver(FIRST_BYTES, REPLY_BYTES);
	CHECK(!memcmp(page, before, sizeof(page)));
	CHECK_EQ(alone_sim.clients[0].reopens, 0);
	alone_stop();
}

/* Where the whole reply comes at once, and nothing of the page is there. */
static void loads_from_the_next_stream(void)
{
	CHECK_EQ(tmem_shim_finished(alone_shim, &request), TMEM_SHIM_PENDING);
	memset(page, 0, sizeof(page));
	sim_connect(&alone_sim, 0);
	while (sim_apply(&alone_sim, 0))
		;
	deliver(0, REPLY_BYTES);
	CHECK_EQ(tmem_shim_finished(alone_shim, &request), TMEM_DONE);
	CHECK(page_equals(page, VALUE));
}

/* P: the load waits for the stream's next beginning, and takes nothing from the last one. */
static void the_stream_breaks(void)
{
	begin_load();
	deliver(0, FIRST_BYTES);
	sim_break(&alone_sim, 0, true);
	loads_from_the_next_stream();
	alone_stop();
}

static void its_end_is_damaged(void)
{
	struct tmem_shim_counters counters;

	begin_load();
	deliver(0, FIRST_BYTES);
	alone_sim.clients[0].out[REPLY_BYTES - 1] ^= 1;
	deliver(FIRST_BYTES, REPLY_BYTES);
	CHECK_EQ(alone_sim.clients[0].reopens, 1);
	tmem_shim_counters(alone_shim, &counters);
	CHECK_EQ(counters.bad_messages, 1);
	loads_from_the_next_stream();
	alone_stop();
}

/* Starts getting page @index into @to; the request is done if the page had landed. */
static int start_get(uint32_t pool, uint64_t index, void *to)
{
	request = (struct tmem_shim_request){.op = TMEM_OP_GET_PAGE,
					     .pool = pool,
					     .oid = alone_oid(1),
					     .index = index,
					     .page = to};
	return tmem_shim_start(alone_shim, &request);
}

/* The entry that fetches pages for nobody yet, which reading in order makes. */
static const struct tmem_entry *read_until_one_runs_ahead(uint32_t pool)
{
	for (uint64_t index = 0; index < 64; index++) {
		const struct tmem_entry *newest;

		if (start_get(pool, index, page) == TMEM_SHIM_PENDING)
			sim_settle(&alone_sim, 0);
		CHECK_EQ(tmem_shim_finished(alone_shim, &request), TMEM_DONE);
		newest = tmem_entry_at(alone_shim, alone_shim->head - 1);
		if (newest->flags & TMEM_ENTRY_LANDS && alone_shim->answered < alone_shim->head)
			return newest;
		sim_settle(&alone_sim, 0);
	}
	return NULL;
}

/* The same request, for the same reply, but for another page. */
static void who_gave_up_asks_again(void)
{
	uint8_t other[TMEM_PAGE_BYTES] = {0};
	const struct tmem_entry *entry;
	struct tmem_oid oid = alone_oid(1);
	uint64_t index;
	uint32_t pool;

	alone_start();
	pool = alone_new_pool(0);
	sim_connect(&alone_sim, 0);
	sim_settle(&alone_sim, 0);
	for (uint32_t i = 0; i < 64; i++) {
		page_make(page, 100 + i);
		CHECK_EQ(tmem_shim_put(alone_shim, pool, &oid, i, page), TMEM_DONE);
		sim_settle(&alone_sim, 0);
	}
	entry = read_until_one_runs_ahead(pool);
	CHECK(entry != NULL);
	index = entry->index;
	CHECK_EQ(start_get(pool, index, page), TMEM_SHIM_PENDING);
	while (sim_apply(&alone_sim, 0))
		;
	deliver(0, FIRST_BYTES);
	CHECK_EQ(tmem_shim_cancel(alone_shim, &request), TMEM_EAGAIN);
	CHECK_EQ(start_get(pool, index, other), TMEM_SHIM_PENDING);
	deliver(FIRST_BYTES, alone_sim.clients[0].out_bytes);
	CHECK_EQ(tmem_shim_finished(alone_shim, &request), TMEM_DONE);
	CHECK(page_equals(other, 100 + (uint32_t)index));
	alone_stop();
}

int main(int argc, char **argv)
{
	static const struct test tests[] = {
		{"a_page_in_any_two_pieces", a_page_in_any_two_pieces},
		{"many_replies_in_any_pieces", many_replies_in_any_pieces},
		{"who_asked_gives_up", who_asked_gives_up},
		{"who_gave_up_asks_again", who_gave_up_asks_again},
		{"the_stream_breaks", the_stream_breaks},
		{"its_end_is_damaged", its_end_is_damaged},
	};

	return RUN_TESTS(tests, argc, argv);
}
