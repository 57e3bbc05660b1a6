// SPDX-License-Identifier: GPL-2.0-or-later
/* What the device reads, in pieces: how many, of which sizes, and that nothing handed out crosses
 * one. */
#include <stdlib.h>
#include <string.h>
#include "check.h"
#include "core.h"
#include "frontends.h"
#include "page.h"
#include "sim.h"

static struct sim sim;
static struct tmem_shim *shim;

static void sizes_that_are_possible(void)
{
	struct tmem_shim_config config = {.queue_entries = 512, .staged_pages = 15};

	CHECK_EQ(tmem_shim_pieces(&config), 0);
	/* 7 pages and 512 headers fit into one */
	config.piece_bytes = 32 << 10;
	CHECK_EQ(tmem_shim_pieces(&config), 3 + 1);
	CHECK(tmem_shim_bytes(&config) != 0);
	config.queue_entries = 1024;
	CHECK_EQ(tmem_shim_pieces(&config), 3 + 2);
	/* no room for HELLO behind the page; no place for one; headers that would cross */
	config.piece_bytes = TMEM_SLOT_BYTES + 440;
	CHECK_EQ(tmem_shim_bytes(&config), 0);
	config.piece_bytes = 4096;
	CHECK_EQ(tmem_shim_bytes(&config), 0);
	config.piece_bytes = (32 << 10) + 8;
	CHECK_EQ(tmem_shim_bytes(&config), 0);
}

static bool inside_one(const struct tmem_shim_segment *segment)
{
	const struct sim_client *client = &sim.clients[0];

	for (uint32_t i = 0; i < client->piece_count; i++) {
		const uint8_t *piece = client->pieces[i], *data = segment->data;

		if (data >= piece && data + segment->bytes <= piece + shim->config.piece_bytes)
			return true;
	}
	return false;
}

static void nothing_crosses_a_piece(void)
{
	const struct tmem_shim_config config = {.queue_entries = 64, .staged_pages = 16};
	const struct tmem_oid oid = {{7, 0, 0}};
	struct tmem_shim_segment segments[64];
	uint8_t page[TMEM_PAGE_BYTES] = {1};
	uint32_t pool, count, together = 0;

	sim_start(&sim, &config);
	shim = sim.clients[0].shim;
	pool = (uint32_t)tmem_shim_new_pool(shim, 0, NULL);
	sim_connect(&sim, 0);
	sim_settle(&sim, 0);
	for (int round = 0; round < 5; round++) {
		for (uint64_t index = 0; index < 11; index++)
			CHECK_EQ(tmem_shim_put(shim, pool, &oid, index, page), TMEM_DONE);
		for (uint64_t index = 0; index < 22; index += 2)
			CHECK_EQ(tmem_shim_flush_page(shim, pool, &oid, index + 100), TMEM_DONE);
		count = tmem_shim_output(shim, segments, 64);
		CHECK(count > 0);
		for (uint32_t i = 0; i < count; i++) {
			CHECK(inside_one(&segments[i]));
			together += segments[i].bytes > TMEM_SLOT_BYTES;
		}
		sim_break(&sim, 0, false);
		sim_connect(&sim, 0);
		sim_settle(&sim, 0);
	}
	/* those of one piece are one segment */
	CHECK(together > 0);
	sim_stop(&sim);
}

int main(int argc, char **argv)
{
	static const struct test tests[] = {
		{"sizes_that_are_possible", sizes_that_are_possible},
		{"nothing_crosses_a_piece", nothing_crosses_a_piece},
	};

	return RUN_TESTS(tests, argc, argv);
}
