/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Pools of the shim: made late, left early, answers that are lost; waits that end. */
#include <string.h>

#include "alone.h"
#include "check.h"
#include "core.h"

enum { GIVEUP_MS = 4000 };

static void begin_flush(struct tmem_shim_request *request, uint32_t pool, uint64_t object)
{
	memset(request, 0, sizeof(*request));
	request->op = TMEM_OP_FLUSH_OBJECT;
	request->pool = pool;
	request->oid = alone_oid(object);
	CHECK_EQ(tmem_shim_start(alone_shim, request), TMEM_SHIM_PENDING);
}

static void ids_are_not_used_again(void)
{
	uint32_t last = 0, pool;

	alone_start();
	sim_connect(&alone_sim, 0);
	for (int i = 0; i < 500; i++) {
		pool = alone_new_pool(0);
		CHECK(i == 0 || pool > last);
		last = pool;
		if (i % 3)
			sim_settle(&alone_sim, 0);
		CHECK_EQ(tmem_shim_destroy_pool(alone_shim, pool), TMEM_DONE);
		CHECK_EQ(alone_put(pool, 1, 1), TMEM_EAGAIN);
		sim_settle(&alone_sim, 0);
		CHECK_EQ(alone_put(pool, 1, 1), TMEM_ENODEV);
	}
	CHECK_EQ(alone_pools_at_host(), 0);
	for (int i = 0; i < 4; i++)
		alone_new_pool(0);
	CHECK_EQ(tmem_shim_new_pool(alone_shim, 0, NULL), TMEM_EMFILE);
	alone_stop();
}

static void left_while_it_is_made(void)
{
	for (int without = 0; without < 2; without++) {
		uint32_t pool;

		alone_start();
		sim_connect(&alone_sim, 0);
		pool = alone_new_pool(0);
		CHECK_EQ(sim_apply(&alone_sim, 0), TMEM_OP_NEW_POOL);
		CHECK_EQ(tmem_shim_destroy_pool(alone_shim, pool), TMEM_DONE);
#ifdef TMEM_DEBUG
		tmem_shim_without = without ? TMEM_RULE_RECHECK : 0;
#endif
		sim_settle(&alone_sim, 0);
#ifdef TMEM_DEBUG
		tmem_shim_without = 0;
		CHECK_EQ(alone_pools_at_host(), without);
#else
		CHECK_EQ(alone_pools_at_host(), 0);
#endif
		alone_stop();
	}
}

static void a_pool_whose_answer_is_lost_does_not_leak(void)
{
	uint32_t pool;

	alone_start();
	sim_connect(&alone_sim, 0);
	pool = alone_new_pool(0);
	CHECK_EQ(sim_apply(&alone_sim, 0), TMEM_OP_NEW_POOL);
	sim_break(&alone_sim, 0, true);
	CHECK_EQ(alone_pools_at_host(), 1);
	sim_connect(&alone_sim, 0);
	sim_settle(&alone_sim, 0);
	CHECK_EQ(alone_state_of(pool), TMEM_SHIM_POOL_READY);
	CHECK_EQ(alone_pools_at_host(), 1);
	CHECK_EQ(alone_put(pool, 1, 5), TMEM_DONE);
	sim_settle(&alone_sim, 0);
	CHECK_EQ(alone_get(pool, 1), 5);
	alone_stop();
}

/* Two objects: the one flush's giving up says nothing of the other's page. */
static void every_flush_waits_its_own_time(void)
{
	for (int acknowledged = 0; acknowledged < 2; acknowledged++) {
		struct tmem_shim_request first, second;
		uint32_t pool = alone_start_shared();

		CHECK_EQ(alone_put(pool, 1, 5), TMEM_DONE);
		CHECK_EQ(alone_put(pool, 2, 6), TMEM_DONE);
		begin_flush(&first, pool, 1);
		alone_sim.now_ns += (GIVEUP_MS - 100) * 1000000ull;
		begin_flush(&second, pool, 2);
		alone_pass_ms(100);
		CHECK_EQ(tmem_shim_finished(alone_shim, &first), TMEM_DONE);
		CHECK_EQ(tmem_shim_finished(alone_shim, &second), TMEM_SHIM_PENDING);
		CHECK(alone_sim.clients[0].events[TMEM_SHIM_GAVE_UP] == 1);
		if (acknowledged) {
			sim_break(&alone_sim, 0, false);
			sim_connect(&alone_sim, 0);
		} else {
			alone_pass_ms(GIVEUP_MS - 101);
			CHECK_EQ(tmem_shim_finished(alone_shim, &second), TMEM_SHIM_PENDING);
			alone_pass_ms(1);
		}
		CHECK_EQ(tmem_shim_finished(alone_shim, &second), TMEM_DONE);
		alone_stop();
	}
}

int main(int argc, char **argv)
{
	static const struct test tests[] = {
		{"ids_are_not_used_again", ids_are_not_used_again},
		{"left_while_it_is_made", left_while_it_is_made},
		{"a_pool_whose_answer_is_lost_does_not_leak",
		 a_pool_whose_answer_is_lost_does_not_leak},
		{"every_flush_waits_its_own_time", every_flush_waits_its_own_time},
	};

	return RUN_TESTS(tests, argc, argv);
}
