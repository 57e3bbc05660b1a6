/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Echoes: what the shim names as confirmed is what the host's lease counts from (R-a), so an echo
 * that the host did not know confirms nothing; and in what order pools are asked for, since the
 * host looks at the age of some.
 */
#include "check.h"
#include "core.h"
#include "sim.h"

enum { STEP_MS = 300 };

static const uint8_t uuid[16] = {4, 2};
static struct sim sim;
static struct tmem_shim *shim;

static void start(void)
{
	const struct tmem_shim_config config = {
		.queue_entries = 64, .pools = 4, .silent_ms = 1000000, .get_ms = 1000000};

	sim_start(&sim, &config);
	shim = sim.clients[0].shim;
	CHECK(tmem_shim_new_pool(shim, TMEM_POOL_SHARED, uuid) >= 0);
	sim_connect(&sim, 0);
	sim_settle(&sim, 0);
}

static struct tmem_shim_info info(void)
{
	struct tmem_shim_info ret;

	tmem_shim_info(shim, &ret);
	return ret;
}

/* Long enough for another echo to be due; it is made and answered. */
static void echo(void)
{
	uint64_t before = info().token;

	sim.now_ns += (uint64_t)STEP_MS * 1000000;
	tmem_shim_tick(shim);
	sim_settle(&sim, 0);
	CHECK(info().token > before);
}

static void what_the_host_knows_is_confirmed(void)
{
	start();
	for (int i = 0; i < 5; i++) {
		uint64_t token = info().token;

		echo();
		CHECK_EQ(info().confirmed, token);
		CHECK_EQ(sim.clients[0].echo_ns, token & 0xffffffffffffff);
	}
	sim_stop(&sim);
}

static void what_the_host_does_not_know_is_not(void)
{
	uint64_t confirmed, token;

	start();
	echo();
	echo();
	confirmed = info().confirmed;
	CHECK(confirmed != 0);
	sim.forgets_tokens = true;
	for (int i = 0; i < 3; i++) {
		CHECK(info().token > confirmed);
		echo();
		CHECK_EQ(info().confirmed, confirmed);
		CHECK_EQ(sim.clients[0].echo_ns, confirmed & 0xffffffffffffff);
	}
	sim.forgets_tokens = false;
	token = info().token;
	echo();
	CHECK_EQ(info().confirmed, token);
	sim_stop(&sim);
}

/* Whoever moves bytes does not ask for the time: the answer that lets the next echo go may come
 * without a tick. */
static void a_member_asks_for_its_next_tick_in_time(void)
{
	start();
	for (int i = 0; i < 20; i++) {
		uint64_t due_ns = tmem_shim_tick(shim);

		CHECK(due_ns <= sim.now_ns + sim.lease_ms * 1000000ull / 4);
		sim.now_ns = due_ns;
		if (i % 3 == 2)
			sim_settle(&sim, 0);
	}
	sim_stop(&sim);
}

static void leave_pool(void)
{
	struct tmem_shim_request request = {.op = TMEM_OP_DESTROY_POOL,
					    .pool = (uint32_t)tmem_shim_pool_next(shim, -1)};

	CHECK_EQ(tmem_shim_start(shim, &request), TMEM_SHIM_PENDING);
	sim_settle(&sim, 0);
	CHECK_EQ(tmem_shim_finished(shim, &request), TMEM_DONE);
}

/* A module that is unloaded and loaded again: what the old shim left is its age. */
static void a_young_token_lets_the_next_shim_in(void)
{
	for (int late = 0; late < 2; late++) {
		struct tmem_shim_saved saved = {0};
		struct tmem_shim_callbacks callbacks;
		struct tmem_shim_pool_info pool;
		struct tmem_shim_config config;
		int id;

		start();
		echo();
		echo();
		saved.confirmed = info().confirmed;
		CHECK(saved.confirmed != 0);
		leave_pool();
		tmem_shim_end(shim);
		sim_settle(&sim, 0);
		config = shim->config;
		callbacks = shim->callbacks;
		tmem_shim_destroy(shim);
		sim.now_ns += late ? sim.expel_ms * 1000000ull : 0;
		shim = tmem_shim_init(sim.clients[0].memory, sim.clients[0].pieces, &config,
				      &callbacks);
		tmem_shim_restore(shim, &saved);
		id = tmem_shim_rejoin_pool(shim, uuid);
		sim_connect(&sim, 0);
		sim_settle(&sim, 0);
		CHECK_EQ(tmem_shim_pool_info(shim, (uint32_t)id, &pool), 0);
		CHECK_EQ(pool.state, late ? TMEM_SHIM_POOL_STAYS_OUT : TMEM_SHIM_POOL_READY);
		sim_stop(&sim);
	}
}

static uint32_t host_id(int pool)
{
	struct tmem_shim_pool_info ret;

	CHECK(pool >= 0);
	CHECK_EQ(tmem_shim_pool_info(shim, (uint32_t)pool, &ret), 0);
	CHECK_EQ(ret.state, TMEM_SHIM_POOL_READY);
	return ret.host_id;
}

static void freeze(uint32_t frozen)
{
	const struct tmem_client_settings settings = {.weight = 1, .frozen = frozen};

	CHECK_EQ(tmem_client_set(sim.clients[0].client, &settings), 0);
}

/* A new mount starts the host's clock of the client; before that, who rejoins has to be young. */
static void who_rejoins_is_asked_for_before_a_new_mount(void)
{
	static const uint8_t other[16] = {2, 4};

	for (int refused = 0; refused < 2; refused++) {
		int mounted = -1, rejoining;

		start();
		leave_pool();
		if (!refused)
			sim_break(&sim, 0, true);
		freeze((uint32_t)refused);
		if (!refused)
			mounted = tmem_shim_new_pool(shim, TMEM_POOL_SHARED, other);
		rejoining = tmem_shim_rejoin_pool(shim, uuid);
		if (refused) {
			sim_settle(&sim, 0);
			freeze(0);
			mounted = tmem_shim_new_pool(shim, TMEM_POOL_SHARED, other);
		} else {
			sim_connect(&sim, 0);
		}
		sim_settle(&sim, 0);
		CHECK(host_id(rejoining) < host_id(mounted));
		sim_stop(&sim);
	}
}

int main(int argc, char **argv)
{
	static const struct test tests[] = {
		{"what_the_host_knows_is_confirmed", what_the_host_knows_is_confirmed},
		{"what_the_host_does_not_know_is_not", what_the_host_does_not_know_is_not},
		{"a_member_asks_for_its_next_tick_in_time",
		 a_member_asks_for_its_next_tick_in_time},
		{"a_young_token_lets_the_next_shim_in", a_young_token_lets_the_next_shim_in},
		{"who_rejoins_is_asked_for_before_a_new_mount",
		 who_rejoins_is_asked_for_before_a_new_mount},
	};

	return RUN_TESTS(tests, argc, argv);
}
