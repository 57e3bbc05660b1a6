/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "replay_run.h"

#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "frontends.h"
#include "page.h"

const struct tmem_oid replay_oid = {{1, 2, 3}};
static const uint8_t uuid[16] = {1, 2, 3};

struct tmem_shim *replay_shim_of(struct replay *run, int number)
{
	return run->sim.clients[number].shim;
}

bool replay_finished(struct replay *run, int number, struct tmem_shim_request *request)
{
	return tmem_shim_finished(replay_shim_of(run, number), request) != TMEM_SHIM_PENDING;
}

/* ---- setting up ----------------------------------------------------------------------- */

void replay_force_echo(struct replay *run, int number)
{
	struct tmem_shim *shim = replay_shim_of(run, number);
	unsigned long flags = tmem_shim_lock(shim);

	/* the models' guests always hold a token that is brand new */
	shim->token = sim_token(&run->sim);
	shim->echo_ns = 0;
	for (uint64_t position = shim->taken; position < shim->head; position++)
		if (tmem_entry_at(shim, position)->op == TMEM_OP_ECHO)
			tmem_entry_at(shim, position)->index = shim->token;
	tmem_shim_unlock(shim, flags);
	tmem_shim_tick(shim);
}

static void make_pool(struct replay *run, int number)
{
	struct tmem_shim *shim = replay_shim_of(run, number);
	bool apart = number == 1 && run->plan->cure == CURE_S4 && !run->mutant;
	int id;

	if (run->swap) {
		run->area = malloc(tmem_frontswap_area_bytes(SWAP_PAGES));
		CHECK_EQ(tmem_frontswap_init(shim, 0, SWAP_PAGES, run->area), TMEM_DONE);
		sim_settle(&run->sim, number);
		return;
	}
	id = run->trail.shared && !apart
		     ? tmem_cleancache_init_shared_fs(shim, uuid, TMEM_PAGE_BYTES)
		     : tmem_cleancache_init_fs(shim, TMEM_PAGE_BYTES);
	CHECK(id >= 0);
	run->nodes[number].pool = (uint32_t)id;
	sim_settle(&run->sim, number);
	if (run->trail.shared && !apart) {
		replay_force_echo(run, number);
		sim_settle(&run->sim, number);
	}
}

void replay_begin_get(struct replay *run, int number, uint64_t index)
{
	struct node *node = &run->nodes[number];

	memset(&node->get, 0, sizeof(node->get));
	node->get.op = TMEM_OP_GET_PAGE;
	node->get.pool = node->pool;
	node->get.oid = replay_oid;
	node->get.index = index;
	node->get.page = node->page;
	tmem_shim_start(replay_shim_of(run, number), &node->get);
	node->getting = true;
}

/* The reader of the pages before: it makes the run that asks ahead, and fetches a bitmap. */
static void begin_run(struct replay *run, int number)
{
	replay_begin_get(run, number, INDEX - 2);
	sim_settle(&run->sim, number);
	CHECK(replay_finished(run, number, &run->nodes[number].get));
	run->nodes[number].getting = false;
}

static void set_up(struct replay *run)
{
	const struct plan *plan = run->plan;
	struct tmem_shim_config config = {
		.piece_bytes = TMEM_SHIM_NONE, /* a snapshot is of one piece of memory */
		.queue_entries = 16,
		.staged_pages = 16,
		.silent_ms = 1000000,
		.get_ms = plan->flags & PLAN_LEASE ? 0 : 1000000,
		.giveup_ms = GIVEUP_MS,
		.summary_windows = plan->flags & PLAN_SUMMARY ? 16 : TMEM_SHIM_NONE,
	};

	sim_start(&run->sim, &config);
	run->sim.lease_ms = TICK_MS;
	run->sim.expel_ms = 2 * TICK_MS;
	run->sim.giveup_ms = GIVEUP_MS;
	if (plan->flags & PLAN_GIVEUP_0 && run->mutant)
		run->sim.giveup_ms = 1;
	if (plan->flags & PLAN_EXPEL_3 && run->mutant)
		run->sim.expel_ms = 3 * TICK_MS;
	run->sim.without = plan->absent;
	if (!(plan->flags & PLAN_LEASE))
		run->sim.without |= SIM_RULE_LEASE | SIM_RULE_STICKY | SIM_RULE_AGE;
	for (int i = 0; i < SIM_CLIENTS; i++) {
		sim_connect(&run->sim, i);
		if (!run->swap || i == 0)
			make_pool(run, i);
		if (!run->swap)
			begin_run(run, i);
	}
	run->disk = 1;
	if (run->mutant) {
		run->sim.without |= plan->host;
#ifdef TMEM_DEBUG
		tmem_shim_without = plan->shim;
#endif
	}
	for (uint32_t i = 0; i < run->trail.count; i++)
		if (step_is(&run->trail.steps[i], "host", "refuse"))
			run->sim.refuses_puts = TMEM_ENOMEM;
}

/* ---- all of it ------------------------------------------------------------------------ */

static bool anybody_waits(struct replay *run)
{
	struct tmem_shim_info info;

	tmem_shim_info(replay_shim_of(run, 0), &info);
	return info.waiting > 0;
}

static bool page_left_host(struct replay *run)
{
	struct tmem_shim_pool_info info;

	CHECK_EQ(tmem_shim_pool_info(replay_shim_of(run, 1), run->nodes[1].pool, &info), 0);
	return tmem_get(run->sim.clients[1].client, info.host_id, &replay_oid, INDEX,
			run->peeked) != TMEM_DONE;
}

static bool violated(struct replay *run)
{
	const struct trail *trail = &run->trail;

	if (strcmp(trail->property, "every_wait_ends") == 0) {
		for (int i = 0; i < PATIENCE_TICKS; i++)
			replay_pass_time(run, TICK_MS);
		return anybody_waits(run);
	}
	if (strcmp(trail->property, "shared_hit_stays") == 0)
		return page_left_host(run);
	if (strcmp(trail->property, "load_never_fails") == 0)
		return run->failed_load;
	return run->hit && run->version == trail->steps[trail->count - 1].version;
}

bool replay(const struct plan *plan, bool without_the_rule)
{
	struct replay *run = calloc(1, sizeof(*run));
	bool result;

	run->plan = plan;
	run->mutant = without_the_rule;
	if (!trail_read(&run->trail, plan->mutant))
		check_failed(__FILE__, __LINE__, "no trail %s", plan->mutant);
	for (uint32_t i = 0; i < run->trail.count; i++)
		run->swap |= strcmp(run->trail.steps[i].pool, "persistent") == 0;
	set_up(run);
	for (uint32_t i = 0; i < run->trail.count; i++) {
		const struct trail_step *step = &run->trail.steps[i];

		if (strcmp(step->who, "guest") == 0)
			replay_guest_step(run, step);
		else if (strcmp(step->who, "lock") == 0)
			replay_lock_step(run, step);
		else if (strcmp(step->who, "host") == 0)
			replay_host_step(run, step);
		else if (strcmp(step->who, "channel") == 0)
			replay_channel_step(run, step);
		else
			replay_tick(run, TICK_MS);
	}
	result = violated(run);
#ifdef TMEM_DEBUG
	tmem_shim_without = 0;
#endif
	sim_stop(&run->sim);
	free(run->snapshot);
	free(run->area);
	free(run);
	return result;
}
