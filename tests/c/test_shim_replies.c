/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A page that comes in two pieces, and what may happen between them. QEMU makes two of each. */
#include <string.h>

#include "alone.h"
#include "check.h"
#include "core.h"
#include "frontends.h"
#include "page.h"

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

static void it_comes_in_any_two_pieces(void)
{
	begin_load();
	for (size_t first = 1; first < REPLY_BYTES; first++) {
		deliver(0, first);
		CHECK_EQ(tmem_shim_finished(alone_shim, &request), TMEM_SHIM_PENDING);
		deliver(first, REPLY_BYTES);
		CHECK_EQ(tmem_shim_finished(alone_shim, &request), TMEM_DONE);
		CHECK(page_equals(page, VALUE));
		memset(page, 0, sizeof(page));
		CHECK_EQ(tmem_frontswap_load_start(alone_shim, 0, 0, page, &request),
			 TMEM_SHIM_PENDING);
		while (sim_apply(&alone_sim, 0))
			;
	}
	deliver(0, REPLY_BYTES);
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

/* P: the load waits for the next session of the stream, and takes nothing from the last one. */
static void the_stream_breaks(void)
{
	begin_load();
	deliver(0, FIRST_BYTES);
	sim_break(&alone_sim, 0, true);
	CHECK_EQ(tmem_shim_finished(alone_shim, &request), TMEM_SHIM_PENDING);
	memset(page, 0, sizeof(page));
	sim_connect(&alone_sim, 0);
	while (sim_apply(&alone_sim, 0))
		;
	CHECK_EQ(alone_sim.clients[0].out_bytes, REPLY_BYTES);
	deliver(0, TMEM_WIRE_HEADER_BYTES + 1);
	deliver(TMEM_WIRE_HEADER_BYTES + 1, REPLY_BYTES);
	CHECK_EQ(tmem_shim_finished(alone_shim, &request), TMEM_DONE);
	CHECK(page_equals(page, VALUE));
	alone_stop();
}

static void its_end_is_damaged(void)
{
	struct tmem_shim_counters counters;

	begin_load();
	deliver(0, FIRST_BYTES);
	alone_sim.clients[0].out[REPLY_BYTES - 1] ^= 1;
	deliver(FIRST_BYTES, REPLY_BYTES);
	CHECK_EQ(tmem_shim_finished(alone_shim, &request), TMEM_SHIM_PENDING);
	CHECK_EQ(alone_sim.clients[0].reopens, 1);
	tmem_shim_counters(alone_shim, &counters);
	CHECK_EQ(counters.bad_messages, 1);
	memset(page, 0, sizeof(page));
	sim_connect(&alone_sim, 0);
	sim_settle(&alone_sim, 0);
	CHECK_EQ(tmem_shim_finished(alone_shim, &request), TMEM_DONE);
	CHECK(page_equals(page, VALUE));
	alone_stop();
}

int main(int argc, char **argv)
{
	static const struct test tests[] = {
		{"it_comes_in_any_two_pieces", it_comes_in_any_two_pieces},
		{"who_asked_gives_up", who_asked_gives_up},
		{"the_stream_breaks", the_stream_breaks},
		{"its_end_is_damaged", its_end_is_damaged},
	};

	return RUN_TESTS(tests, argc, argv);
}
