/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sessions of the shim that end: by a new epoch, lost pages, an expulsion; and one that is handed
 * from one process to the next. */
#include "alone.h"
#include "check.h"
#include "core.h"
#include "frontends.h"
#include "page.h"

/* A slot of swap is stored and found again. */
static void store(uint64_t slot, uint32_t value)
{
	struct tmem_shim_request request;
	uint8_t page[TMEM_PAGE_BYTES];

	page_make(page, value);
	CHECK_EQ(tmem_frontswap_store_start(alone_shim, 0, slot, page, &request),
		 TMEM_SHIM_PENDING);
	sim_settle(&alone_sim, 0);
	CHECK_EQ(tmem_shim_finished(alone_shim, &request), TMEM_DONE);
}

static void check_slot(uint64_t slot, uint32_t value)
{
	struct tmem_shim_request request;
	uint8_t page[TMEM_PAGE_BYTES];

	CHECK_EQ(tmem_frontswap_load_start(alone_shim, 0, slot, page, &request), TMEM_SHIM_PENDING);
	sim_settle(&alone_sim, 0);
	CHECK_EQ(tmem_shim_finished(alone_shim, &request), TMEM_DONE);
	CHECK(page_equals(page, value));
}

static void a_new_epoch_makes_new_pools(void)
{
	uint32_t pool;

	alone_start();
	pool = alone_new_pool(0);
	CHECK_EQ(tmem_frontswap_init(alone_shim, 0, ALONE_AREA_PAGES, alone_area), TMEM_DONE);
	CHECK_EQ(alone_state_of(pool), TMEM_SHIM_POOL_WANTED);
	sim_connect(&alone_sim, 0);
	sim_settle(&alone_sim, 0);
	CHECK_EQ(alone_put(pool, 1, 5), TMEM_DONE);
	store(17, 6);
	sim_expel(&alone_sim, 0, TMEM_ENODEV);
	sim_settle(&alone_sim, 0);
	CHECK_EQ(alone_get(pool, 1), 0);
	sim_connect(&alone_sim, 0);
	sim_settle(&alone_sim, 0);
	CHECK_EQ(alone_state_of(pool), TMEM_SHIM_POOL_READY);
	CHECK_EQ(alone_get(pool, 1), 0);
	CHECK_EQ(alone_put(pool, 1, 7), TMEM_DONE);
	sim_settle(&alone_sim, 0);
	CHECK_EQ(alone_get(pool, 1), 7);
	/* the same boot id: what was stored is still there (F) */
	check_slot(17, 6);
	alone_stop();
}

static void lost_pages_are_told(void)
{
	struct tmem_shim_request request;
	uint8_t page[TMEM_PAGE_BYTES];

	alone_start();
	CHECK_EQ(tmem_frontswap_init(alone_shim, 0, ALONE_AREA_PAGES, alone_area), TMEM_DONE);
	sim_connect(&alone_sim, 0);
	sim_settle(&alone_sim, 0);
	store(3, 9);
	sim_break(&alone_sim, 0, true);
	CHECK_EQ(tmem_frontswap_load_start(alone_shim, 0, 3, page, &request), TMEM_SHIM_PENDING);
	alone_pass_ms(100000);
	CHECK_EQ(tmem_shim_finished(alone_shim, &request), TMEM_SHIM_PENDING);
	CHECK(alone_sim.clients[0].events[TMEM_SHIM_LOAD_WAITS] == 1);
	alone_sim.clients[0].lost = true;
	alone_sim.clients[0].session = 0;
	sim_connect(&alone_sim, 0);
	sim_settle(&alone_sim, 0);
	CHECK_EQ(tmem_shim_finished(alone_shim, &request), TMEM_EUCLEAN);
	CHECK(alone_sim.clients[0].events[TMEM_SHIM_LOST] == 1);
	CHECK_EQ(tmem_frontswap_load_start(alone_shim, 0, 3, page, &request), TMEM_SHIM_PENDING);
	sim_settle(&alone_sim, 0);
	CHECK_EQ(tmem_shim_finished(alone_shim, &request), TMEM_MISS);
	store(3, 10);
	check_slot(3, 10);
	alone_stop();
}

static void an_expelled_mount_stays_out(void)
{
	uint32_t pool = alone_start_shared();

	CHECK_EQ(alone_put(pool, 1, 5), TMEM_DONE);
	sim_expel(&alone_sim, 0, TMEM_ETIMEDOUT);
	while (sim_answer(&alone_sim, 0))
		;
	CHECK(alone_sim.clients[0].events[TMEM_SHIM_EXPELLED] == 1);
	sim_connect(&alone_sim, 0);
	sim_settle(&alone_sim, 0);
	CHECK_EQ(alone_state_of(pool), TMEM_SHIM_POOL_STAYS_OUT);
	CHECK_EQ(alone_put(pool, 1, 6), TMEM_EAGAIN);
	/* still, over one more session */
	sim_break(&alone_sim, 0, true);
	sim_connect(&alone_sim, 0);
	sim_settle(&alone_sim, 0);
	CHECK_EQ(alone_state_of(pool), TMEM_SHIM_POOL_STAYS_OUT);
	CHECK_EQ(tmem_shim_destroy_pool(alone_shim, pool), TMEM_DONE);
	pool = alone_new_pool(TMEM_POOL_SHARED);
	sim_settle(&alone_sim, 0);
	CHECK_EQ(alone_state_of(pool), TMEM_SHIM_POOL_READY);
	alone_stop();
}

/* Recovery leaves a pool and joins it anew; a backend is detached and attached. Neither is a mount.
 */
static void who_stays_out_is_not_let_in_under_another_id(void)
{
	uint32_t pool = alone_start_shared();

	sim_expel(&alone_sim, 0, TMEM_ETIMEDOUT);
	while (sim_answer(&alone_sim, 0))
		;
	CHECK(!tmem_shim_stays_out(alone_shim));
	sim_connect(&alone_sim, 0);
	sim_settle(&alone_sim, 0);
	CHECK(tmem_shim_stays_out(alone_shim));
	/* the host has no reason to keep anybody out of this session */
	sim_break(&alone_sim, 0, true);
	sim_connect(&alone_sim, 0);
	CHECK_EQ(tmem_shim_destroy_pool(alone_shim, pool), TMEM_DONE);
	CHECK(tmem_shim_stays_out(alone_shim));
	pool = (uint32_t)tmem_shim_rejoin_pool(alone_shim, alone_uuid);
	sim_settle(&alone_sim, 0);
	CHECK_EQ(alone_state_of(pool), TMEM_SHIM_POOL_STAYS_OUT);
	CHECK_EQ(tmem_shim_destroy_pool(alone_shim, pool), TMEM_DONE);
	pool = alone_new_pool(TMEM_POOL_SHARED);
	sim_settle(&alone_sim, 0);
	CHECK_EQ(alone_state_of(pool), TMEM_SHIM_POOL_READY);
	CHECK(!tmem_shim_stays_out(alone_shim));
	alone_stop();
}

static void a_session_is_handed_on(void)
{
	struct tmem_shim_pool_info info;
	struct tmem_shim_config config;
	struct tmem_shim_callbacks callbacks;
	struct tmem_shim_saved saved;
	uint32_t pool;

	alone_start();
	pool = alone_new_pool(0);
	sim_connect(&alone_sim, 0);
	CHECK_EQ(tmem_shim_save(alone_shim, &saved), TMEM_EBUSY);
	sim_settle(&alone_sim, 0);
	CHECK_EQ(alone_put(pool, 1, 5), TMEM_DONE);
	CHECK_EQ(tmem_shim_save(alone_shim, &saved), TMEM_EBUSY);
	sim_settle(&alone_sim, 0);
	CHECK_EQ(tmem_shim_save(alone_shim, &saved), 0);
	CHECK_EQ(tmem_shim_pool_info(alone_shim, pool, &info), 0);
	config = alone_shim->config;
	callbacks = alone_shim->callbacks;
	tmem_shim_destroy(alone_shim);
	alone_shim = tmem_shim_init(alone_sim.clients[0].memory, alone_sim.clients[0].pieces,
				    &config, &callbacks);
	tmem_shim_restore(alone_shim, &saved);
	pool = (uint32_t)tmem_shim_adopt_pool(alone_shim, &info);
	sim_connect(&alone_sim, 0);
	CHECK(alone_sim.clients[0].events[TMEM_SHIM_RESUMED] == 1);
	CHECK_EQ(alone_get(pool, 1), 5);
	CHECK_EQ(alone_pools_at_host(), 1);
	alone_stop();
}

/* The session may begin before the device has given START back, whose place BYE takes. */
static void bye_waits_for_its_place_and_takes_the_next_tag(void)
{
	struct tmem_shim_segment segments[8];
	struct tmem_message bye;
	struct sim_client *client;

	alone_start();
	client = &alone_sim.clients[0];
	client->up = true;
	tmem_decoder_init(&client->decoder, 0);
	tmem_shim_opened(alone_shim);
	CHECK_EQ(sim_apply(&alone_sim, 0), TMEM_OP_HELLO);
	CHECK_EQ(sim_answer(&alone_sim, 0), TMEM_OP_HELLO);
	CHECK_EQ(tmem_shim_output(alone_shim, segments, 8), 1);
	memcpy(client->in, segments[0].data, segments[0].bytes);
	client->in_bytes = segments[0].bytes;
	CHECK_EQ(sim_apply(&alone_sim, 0), TMEM_OP_START);
	CHECK_EQ(sim_answer(&alone_sim, 0), TMEM_OP_START);
	tmem_shim_end(alone_shim);
	for (int i = 0; i < 3; i++)
		CHECK_EQ(tmem_shim_output(alone_shim, &segments[1], 7), 0);
	tmem_shim_sent(alone_shim, segments[0].bytes);
	CHECK_EQ(tmem_shim_output(alone_shim, segments, 8), 1);
	CHECK_EQ(tmem_wire_peek(segments[0].data, segments[0].bytes, &bye), segments[0].bytes);
	CHECK_EQ(bye.op, TMEM_OP_BYE);
	CHECK_EQ(bye.tag, client->tag + 1);
	alone_stop();
}

int main(int argc, char **argv)
{
	static const struct test tests[] = {
		{"a_new_epoch_makes_new_pools", a_new_epoch_makes_new_pools},
		{"lost_pages_are_told", lost_pages_are_told},
		{"an_expelled_mount_stays_out", an_expelled_mount_stays_out},
		{"who_stays_out_is_not_let_in_under_another_id",
		 who_stays_out_is_not_let_in_under_another_id},
		{"a_session_is_handed_on", a_session_is_handed_on},
		{"bye_waits_for_its_place_and_takes_the_next_tag",
		 bye_waits_for_its_place_and_takes_the_next_tag},
	};

	return RUN_TESTS(tests, argc, argv);
}
