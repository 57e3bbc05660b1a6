/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Pools and sessions of the shim over the simulated transport: made late, left early, made again in
 * a new epoch, lost; waits that end; a session handed from one process to the next.
 */
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "core.h"
#include "frontends.h"
#include "page.h"
#include "sim.h"

enum { AREA_PAGES = 100, GIVEUP_MS = 4000 };

static const uint8_t uuid[16] = {4, 2};
static struct sim sim;
static struct tmem_shim *shim;
static void *area;

static struct tmem_oid oid_of(uint64_t object)
{
	return (struct tmem_oid){{object, 1, 1}};
}

static void start(void)
{
	const struct tmem_shim_config config = {
		.queue_entries = 64, .pools = 4, .silent_ms = 1000000, .get_ms = 1000000};

	sim_start(&sim, &config);
	shim = sim.clients[0].shim;
	area = malloc(tmem_frontswap_area_bytes(AREA_PAGES));
}

static void stop(void)
{
	sim_stop(&sim);
	free(area);
}

static void pass_ms(uint64_t ms)
{
	sim.now_ns += ms * 1000000;
	tmem_shim_tick(shim);
}

static uint32_t new_pool(uint32_t flags)
{
	int id = tmem_shim_new_pool(shim, flags, uuid);

	CHECK(id >= 0);
	return (uint32_t)id;
}

static uint32_t state_of(uint32_t pool)
{
	struct tmem_shim_pool_info info;

	CHECK_EQ(tmem_shim_pool_info(shim, pool, &info), 0);
	return info.state;
}

static uint32_t pools_at_host(void)
{
	struct tmem_client_info info;

	tmem_client_info(sim.clients[0].client, &info);
	return info.pools;
}

static int put(uint32_t pool, uint64_t object, uint32_t value)
{
	struct tmem_oid oid = oid_of(object);
	uint8_t page[TMEM_PAGE_BYTES];

	page_make(page, value);
	return tmem_shim_put(shim, pool, &oid, 1, page);
}

/* The value of the page, 0: a miss. */
static uint32_t get(uint32_t pool, uint64_t object)
{
	uint8_t page[TMEM_PAGE_BYTES];
	struct tmem_shim_request request = {.op = TMEM_OP_GET_PAGE,
					    .pool = pool,
					    .oid = oid_of(object),
					    .index = 1,
					    .page = page};

	tmem_shim_start(shim, &request);
	sim_settle(&sim, 0);
	CHECK(tmem_shim_finished(shim, &request) != TMEM_SHIM_PENDING);
	return request.result == TMEM_DONE ? page_read(page) : 0;
}

static void begin_flush(struct tmem_shim_request *request, uint32_t pool, uint64_t object)
{
	memset(request, 0, sizeof(*request));
	request->op = TMEM_OP_FLUSH_OBJECT;
	request->pool = pool;
	request->oid = oid_of(object);
	CHECK_EQ(tmem_shim_start(shim, request), TMEM_SHIM_PENDING);
}

/* A slot of swap is stored and found again. */
static void store(uint64_t slot, uint32_t value)
{
	struct tmem_shim_request request;
	uint8_t page[TMEM_PAGE_BYTES];

	page_make(page, value);
	CHECK_EQ(tmem_frontswap_store_start(shim, 0, slot, page, &request), TMEM_SHIM_PENDING);
	sim_settle(&sim, 0);
	CHECK_EQ(tmem_shim_finished(shim, &request), TMEM_DONE);
}

static void check_slot(uint64_t slot, uint32_t value)
{
	struct tmem_shim_request request;
	uint8_t page[TMEM_PAGE_BYTES];

	CHECK_EQ(tmem_frontswap_load_start(shim, 0, slot, page, &request), TMEM_SHIM_PENDING);
	sim_settle(&sim, 0);
	CHECK_EQ(tmem_shim_finished(shim, &request), TMEM_DONE);
	CHECK(page_equals(page, value));
}

/* ---- pools ------------------------------------------------------------------------------- */

static void ids_are_not_used_again(void)
{
	uint32_t last = 0, pool;

	start();
	sim_connect(&sim, 0);
	for (int i = 0; i < 500; i++) {
		pool = new_pool(0);
		CHECK(i == 0 || pool > last);
		last = pool;
		if (i % 3)
			sim_settle(&sim, 0);
		CHECK_EQ(tmem_shim_destroy_pool(shim, pool), TMEM_DONE);
		CHECK_EQ(put(pool, 1, 1), TMEM_EAGAIN);
		sim_settle(&sim, 0);
		CHECK_EQ(put(pool, 1, 1), TMEM_ENODEV);
	}
	CHECK_EQ(pools_at_host(), 0);
	for (int i = 0; i < 4; i++)
		new_pool(0);
	CHECK_EQ(tmem_shim_new_pool(shim, 0, NULL), TMEM_EMFILE);
	stop();
}

static void left_while_it_is_made(void)
{
	for (int without = 0; without < 2; without++) {
		uint32_t pool;

		start();
		sim_connect(&sim, 0);
		pool = new_pool(0);
		CHECK_EQ(sim_apply(&sim, 0), TMEM_OP_NEW_POOL);
		CHECK_EQ(tmem_shim_destroy_pool(shim, pool), TMEM_DONE);
#ifdef TMEM_DEBUG
		tmem_shim_without = without ? TMEM_RULE_RECHECK : 0;
#endif
		sim_settle(&sim, 0);
#ifdef TMEM_DEBUG
		tmem_shim_without = 0;
		CHECK_EQ(pools_at_host(), without);
#else
		CHECK_EQ(pools_at_host(), 0);
#endif
		stop();
	}
}

static void a_pool_whose_answer_is_lost_does_not_leak(void)
{
	uint32_t pool;

	start();
	sim_connect(&sim, 0);
	pool = new_pool(0);
	CHECK_EQ(sim_apply(&sim, 0), TMEM_OP_NEW_POOL);
	sim_break(&sim, 0, true);
	CHECK_EQ(pools_at_host(), 1);
	sim_connect(&sim, 0);
	sim_settle(&sim, 0);
	CHECK_EQ(state_of(pool), TMEM_SHIM_POOL_READY);
	CHECK_EQ(pools_at_host(), 1);
	CHECK_EQ(put(pool, 1, 5), TMEM_DONE);
	sim_settle(&sim, 0);
	CHECK_EQ(get(pool, 1), 5);
	stop();
}

/* ---- sessions that end ------------------------------------------------------------------- */

static void a_new_epoch_makes_new_pools(void)
{
	uint32_t pool;

	start();
	pool = new_pool(0);
	CHECK_EQ(tmem_frontswap_init(shim, 0, AREA_PAGES, area), TMEM_DONE);
	CHECK_EQ(state_of(pool), TMEM_SHIM_POOL_WANTED);
	sim_connect(&sim, 0);
	sim_settle(&sim, 0);
	CHECK_EQ(put(pool, 1, 5), TMEM_DONE);
	store(17, 6);
	sim_expel(&sim, 0, TMEM_ENODEV);
	sim_settle(&sim, 0);
	CHECK_EQ(get(pool, 1), 0);
	sim_connect(&sim, 0);
	sim_settle(&sim, 0);
	CHECK_EQ(state_of(pool), TMEM_SHIM_POOL_READY);
	CHECK_EQ(get(pool, 1), 0);
	CHECK_EQ(put(pool, 1, 7), TMEM_DONE);
	sim_settle(&sim, 0);
	CHECK_EQ(get(pool, 1), 7);
	/* the same boot id: what was stored is still there (F) */
	check_slot(17, 6);
	stop();
}

static void lost_pages_are_told(void)
{
	struct tmem_shim_request request;
	uint8_t page[TMEM_PAGE_BYTES];

	start();
	CHECK_EQ(tmem_frontswap_init(shim, 0, AREA_PAGES, area), TMEM_DONE);
	sim_connect(&sim, 0);
	sim_settle(&sim, 0);
	store(3, 9);
	sim_break(&sim, 0, true);
	CHECK_EQ(tmem_frontswap_load_start(shim, 0, 3, page, &request), TMEM_SHIM_PENDING);
	pass_ms(100000);
	CHECK_EQ(tmem_shim_finished(shim, &request), TMEM_SHIM_PENDING);
	CHECK(sim.clients[0].events[TMEM_SHIM_LOAD_WAITS] == 1);
	sim.clients[0].lost = true;
	sim.clients[0].session = 0;
	sim_connect(&sim, 0);
	sim_settle(&sim, 0);
	CHECK_EQ(tmem_shim_finished(shim, &request), TMEM_EUCLEAN);
	CHECK(sim.clients[0].events[TMEM_SHIM_LOST] == 1);
	CHECK_EQ(tmem_frontswap_load_start(shim, 0, 3, page, &request), TMEM_SHIM_PENDING);
	sim_settle(&sim, 0);
	CHECK_EQ(tmem_shim_finished(shim, &request), TMEM_MISS);
	store(3, 10);
	check_slot(3, 10);
	stop();
}

static void an_expelled_mount_stays_out(void)
{
	uint32_t pool;

	start();
	pool = new_pool(TMEM_POOL_SHARED);
	sim_connect(&sim, 0);
	sim_settle(&sim, 0);
	CHECK_EQ(put(pool, 1, 5), TMEM_DONE);
	sim_expel(&sim, 0, TMEM_ETIMEDOUT);
	while (sim_answer(&sim, 0))
		;
	CHECK(sim.clients[0].events[TMEM_SHIM_EXPELLED] == 1);
	sim_connect(&sim, 0);
	sim_settle(&sim, 0);
	CHECK_EQ(state_of(pool), TMEM_SHIM_POOL_STAYS_OUT);
	CHECK_EQ(put(pool, 1, 6), TMEM_EAGAIN);
	/* still, over one more session */
	sim_break(&sim, 0, true);
	sim_connect(&sim, 0);
	sim_settle(&sim, 0);
	CHECK_EQ(state_of(pool), TMEM_SHIM_POOL_STAYS_OUT);
	CHECK_EQ(tmem_shim_destroy_pool(shim, pool), TMEM_DONE);
	pool = new_pool(TMEM_POOL_SHARED);
	sim_settle(&sim, 0);
	CHECK_EQ(state_of(pool), TMEM_SHIM_POOL_READY);
	stop();
}

/* Recovery leaves a pool and joins it anew; a backend is detached and attached. Neither is a mount.
 */
static void who_stays_out_is_not_let_in_under_another_id(void)
{
	uint32_t pool;

	start();
	pool = new_pool(TMEM_POOL_SHARED);
	sim_connect(&sim, 0);
	sim_settle(&sim, 0);
	sim_expel(&sim, 0, TMEM_ETIMEDOUT);
	while (sim_answer(&sim, 0))
		;
	CHECK(!tmem_shim_stays_out(shim));
	sim_connect(&sim, 0);
	sim_settle(&sim, 0);
	CHECK(tmem_shim_stays_out(shim));
	/* the host has no reason to keep anybody out of this session */
	sim_break(&sim, 0, true);
	sim_connect(&sim, 0);
	CHECK_EQ(tmem_shim_destroy_pool(shim, pool), TMEM_DONE);
	CHECK(tmem_shim_stays_out(shim));
	pool = (uint32_t)tmem_shim_rejoin_pool(shim, uuid);
	sim_settle(&sim, 0);
	CHECK_EQ(state_of(pool), TMEM_SHIM_POOL_STAYS_OUT);
	CHECK_EQ(tmem_shim_destroy_pool(shim, pool), TMEM_DONE);
	pool = new_pool(TMEM_POOL_SHARED);
	sim_settle(&sim, 0);
	CHECK_EQ(state_of(pool), TMEM_SHIM_POOL_READY);
	CHECK(!tmem_shim_stays_out(shim));
	stop();
}

/* Two objects: the one flush's giving up says nothing of the other's page. */
static void every_flush_waits_its_own_time(void)
{
	for (int acknowledged = 0; acknowledged < 2; acknowledged++) {
		struct tmem_shim_request first, second;
		uint32_t pool;

		start();
		pool = new_pool(TMEM_POOL_SHARED);
		sim_connect(&sim, 0);
		sim_settle(&sim, 0);
		CHECK_EQ(put(pool, 1, 5), TMEM_DONE);
		CHECK_EQ(put(pool, 2, 6), TMEM_DONE);
		begin_flush(&first, pool, 1);
		sim.now_ns += (GIVEUP_MS - 100) * 1000000ull;
		begin_flush(&second, pool, 2);
		pass_ms(100);
		CHECK_EQ(tmem_shim_finished(shim, &first), TMEM_DONE);
		CHECK_EQ(tmem_shim_finished(shim, &second), TMEM_SHIM_PENDING);
		CHECK(sim.clients[0].events[TMEM_SHIM_GAVE_UP] == 1);
		if (acknowledged) {
			sim_break(&sim, 0, false);
			sim_connect(&sim, 0);
		} else {
			pass_ms(GIVEUP_MS - 101);
			CHECK_EQ(tmem_shim_finished(shim, &second), TMEM_SHIM_PENDING);
			pass_ms(1);
		}
		CHECK_EQ(tmem_shim_finished(shim, &second), TMEM_DONE);
		stop();
	}
}

/* ---- from one process to the next --------------------------------------------------------- */

static void a_session_is_handed_on(void)
{
	struct tmem_shim_pool_info info;
	struct tmem_shim_config config;
	struct tmem_shim_callbacks callbacks;
	struct tmem_shim_saved saved;
	uint32_t pool;

	start();
	pool = new_pool(0);
	sim_connect(&sim, 0);
	CHECK_EQ(tmem_shim_save(shim, &saved), TMEM_EBUSY);
	sim_settle(&sim, 0);
	CHECK_EQ(put(pool, 1, 5), TMEM_DONE);
	CHECK_EQ(tmem_shim_save(shim, &saved), TMEM_EBUSY);
	sim_settle(&sim, 0);
	CHECK_EQ(tmem_shim_save(shim, &saved), 0);
	CHECK_EQ(tmem_shim_pool_info(shim, pool, &info), 0);
	config = shim->config;
	callbacks = shim->callbacks;
	tmem_shim_destroy(shim);
	shim = tmem_shim_init(sim.clients[0].memory, sim.clients[0].pieces, &config, &callbacks);
	tmem_shim_restore(shim, &saved);
	pool = (uint32_t)tmem_shim_adopt_pool(shim, &info);
	sim_connect(&sim, 0);
	CHECK(sim.clients[0].events[TMEM_SHIM_RESUMED] == 1);
	CHECK_EQ(get(pool, 1), 5);
	CHECK_EQ(pools_at_host(), 1);
	stop();
}

int main(int argc, char **argv)
{
	static const struct test tests[] = {
		{"ids_are_not_used_again", ids_are_not_used_again},
		{"left_while_it_is_made", left_while_it_is_made},
		{"a_pool_whose_answer_is_lost_does_not_leak",
		 a_pool_whose_answer_is_lost_does_not_leak},
		{"a_new_epoch_makes_new_pools", a_new_epoch_makes_new_pools},
		{"lost_pages_are_told", lost_pages_are_told},
		{"an_expelled_mount_stays_out", an_expelled_mount_stays_out},
		{"who_stays_out_is_not_let_in_under_another_id",
		 who_stays_out_is_not_let_in_under_another_id},
		{"every_flush_waits_its_own_time", every_flush_waits_its_own_time},
		{"a_session_is_handed_on", a_session_is_handed_on},
	};

	return RUN_TESTS(tests, argc, argv);
}
