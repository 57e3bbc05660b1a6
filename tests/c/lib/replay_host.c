/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "replay_run.h"

#include <string.h>

#include "check.h"
#include "frontends.h"
#include "page.h"

/* ---- waiting -------------------------------------------------------------------------- */

void replay_tick(struct replay *run, uint64_t ms)
{
	uint64_t part = TICK_MS / 4;

	for (uint64_t passed = 0; passed < ms; passed += part) {
		run->sim.now_ns += (ms - passed < part ? ms - passed : part) * 1000000;
		if (!(run->plan->flags & PLAN_LEASE) || run->sim.down)
			continue;
		replay_force_echo(run, 1);
		sim_settle(&run->sim, 1);
	}
}

void replay_pass_time(struct replay *run, uint64_t ms)
{
	replay_tick(run, ms);
	for (int i = 0; i < SIM_CLIENTS; i++)
		tmem_shim_tick(replay_shim_of(run, i));
}

/* The kernel of @number waits for its flush. In the lease's scenarios nobody serves it. */
void replay_await_flush(struct replay *run, int number)
{
	struct node *node = &run->nodes[number];

	for (int i = 0; node->flushing && i < PATIENCE_TICKS; i++) {
		if (run->plan->flags & PLAN_LEASE)
			replay_pass_time(run, TICK_MS);
		else
			sim_settle(&run->sim, number);
		node->flushing = !replay_finished(run, number, &node->flush);
	}
	CHECK(!node->flushing);
}

void replay_invalidate_inode(struct replay *run, int number)
{
	struct node *node = &run->nodes[number];

	node->flushing = tmem_cleancache_invalidate_inode_start(replay_shim_of(run, number),
								node->pool, &replay_oid,
								&node->flush) == TMEM_SHIM_PENDING;
	node->flushed = true;
}

void replay_flush_object(struct replay *run, int number)
{
	struct node *node = &run->nodes[number];

	if (run->trail.skips || (run->mutant && run->plan->shim & TMEM_RULE_M)) {
		replay_invalidate_inode(run, number);
		return;
	}
	memset(&node->flush, 0, sizeof(node->flush));
	node->flush.op = TMEM_OP_FLUSH_OBJECT;
	node->flush.pool = node->pool;
	node->flush.oid = replay_oid;
	node->flushing =
		tmem_shim_start(replay_shim_of(run, number), &node->flush) == TMEM_SHIM_PENDING;
	node->flushed = true;
}

void replay_fill_queue(struct replay *run, int number)
{
	struct tmem_oid other = {{9, 9, 9}};

	while (tmem_queue_room(replay_shim_of(run, number), false, false)) {
		other.words[0]++;
		tmem_shim_flush_page(replay_shim_of(run, number), run->nodes[number].pool, &other,
				     0);
	}
}

/* ---- steps of locks, channels, hosts -------------------------------------------------- */

void replay_lock_step(struct replay *run, const struct trail_step *step)
{
	int number = step->number;
	struct node *node = &run->nodes[number];

	if (strcmp(step->op, "recovered") == 0) {
		if (run->plan->cure == CURE_S3 && !run->mutant) {
			replay_flush_object(run, 1 - number);
			replay_await_flush(run, 1 - number);
		}
		return;
	}
	if (strcmp(step->op, "grant") == 0) {
		if (run->plan->cure == CURE_S5_CACHE && !run->mutant && number == 0)
			node->cached = 0;
		return;
	}
	if (!node->flushed && (run->trail.skips || (run->plan->cure == CURE_S1 && !run->mutant)))
		replay_invalidate_inode(run, number);
	replay_await_flush(run, number);
	node->flushed = false;
	if (strcmp(step->mode, "NL") == 0)
		node->cached = 0;
}

static bool op_is(int op, const char *what)
{
	if (strcmp(what, "put") == 0)
		return op == TMEM_OP_PUT_PAGE;
	if (strncmp(what, "get", 3) == 0)
		return op == TMEM_OP_GET_PAGE;
	if (strcmp(what, "echo") == 0)
		return op == TMEM_OP_ECHO;
	if (strcmp(what, "leave") == 0)
		return op == TMEM_OP_DESTROY_POOL;
	return op == TMEM_OP_FLUSH_PAGE || op == TMEM_OP_FLUSH_OBJECT ||
	       op == TMEM_OP_FLUSH_RANGE || op == TMEM_OP_FLUSH_POOL;
}

void replay_host_step(struct replay *run, const struct trail_step *step)
{
	const char *op = step->op;
	int number = step->number, applied;

	if (strcmp(op, "apply") == 0) {
		while ((applied = sim_apply(&run->sim, number)) && !op_is(applied, step->what))
			;
		/* without the rule all goes as the model says, but that the shim does not flush
		 * twice what nobody has put in between */
		if (run->mutant && !applied && strcmp(step->what, "flush") != 0)
			check_failed(__FILE__, __LINE__, "%s: no %s to apply", run->trail.name,
				     step->what);
	} else if (strcmp(op, "kill") == 0) {
		sim_kill(&run->sim);
	} else if (strcmp(op, "restart") == 0) {
		sim_restart(&run->sim);
		sim_connect(&run->sim, 1);
		sim_settle(&run->sim, 1);
	} else if (strcmp(op, "expel") == 0) {
		sim_expel(&run->sim, number, TMEM_ETIMEDOUT);
	} else if (strcmp(op, "page_read") == 0) {
		struct tmem_shim_pool_info info;

		CHECK_EQ(tmem_shim_pool_info(replay_shim_of(run, number), run->nodes[number].pool,
					     &info),
			 0);
		if (tmem_get(run->sim.clients[number].client, info.host_id, &replay_oid, INDEX,
			     run->peeked) == TMEM_DONE)
			run->sim.peeked = run->peeked;
	} else if (strcmp(op, "refuse") == 0) {
		sim_apply(&run->sim, number);
	} else {
		CHECK(strcmp(op, "lease_checked") == 0);
	}
}

void replay_channel_step(struct replay *run, const struct trail_step *step)
{
	const char *op = step->op;
	int number = step->number, answered;

	if (strcmp(op, "answer") == 0) {
		while ((answered = sim_answer(&run->sim, number)) && !op_is(answered, step->what))
			;
	} else if (strcmp(op, "break") == 0) {
		if (!(run->plan->flags & PLAN_SILENT))
			sim_break(&run->sim, number, true);
	} else if (strcmp(op, "resume") == 0) {
		if (run->snapshot)
			sim_break(&run->sim, number, true);
		sim_connect(&run->sim, number);
		if (run->sim.clients[number].shim->state != TMEM_SHIM_RUNNING)
			sim_connect(&run->sim, number);
	} else if (strcmp(op, "session_over") == 0) {
		while (sim_answer(&run->sim, number))
			;
		run->nodes[number].flushing =
			run->nodes[number].flushing &&
			!replay_finished(run, number, &run->nodes[number].flush);
	} else {
		CHECK(strcmp(op, "end") == 0);
	}
}
