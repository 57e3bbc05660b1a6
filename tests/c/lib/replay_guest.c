/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "replay_run.h"

#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "frontends.h"
#include "page.h"

/* ---- reading -------------------------------------------------------------------------- */

static void end_get(struct replay *run, int number)
{
	struct node *node = &run->nodes[number];

	for (int i = 0; !replay_finished(run, number, &node->get) && i < PATIENCE_TICKS; i++) {
		while (sim_answer(&run->sim, number) && !replay_finished(run, number, &node->get))
			;
		if (!replay_finished(run, number, &node->get) && !sim_apply(&run->sim, number))
			replay_pass_time(run, TICK_MS);
	}
	run->hit = tmem_shim_finished(replay_shim_of(run, number), &node->get) == TMEM_DONE;
	run->version = run->hit ? (int)(page_read(node->page) & 0xfffffff) : run->disk;
	node->getting = false;
	node->cached = run->version;
}

void replay_read_page(struct replay *run, const struct trail_step *step)
{
	struct node *node = &run->nodes[step->number];

	if (strcmp(step->from, "disk") == 0) {
		node->cached = run->disk;
		return;
	}
	if (strcmp(step->from, "cache") == 0 && node->cached) {
		run->version = node->cached;
		run->hit = true;
		return;
	}
	if (!node->getting)
		replay_begin_get(run, step->number, INDEX);
	end_get(run, step->number);
}

/* ---- steps of a guest ----------------------------------------------------------------- */

static void put(struct replay *run, int number, int version)
{
	struct node *node = &run->nodes[number];

	page_make(node->page, page_value(PAGE_SMALL, (uint32_t)version));
	tmem_cleancache_put_page(replay_shim_of(run, number), node->pool, &replay_oid, INDEX,
				 node->page);
	node->cached = 0;
}

static void flush(struct replay *run, const struct trail_step *step)
{
	int number = step->number;

	if (run->plan->flags & PLAN_FILL) {
		sim_pump(&run->sim, number);
		replay_fill_queue(run, number);
	}
	if (run->swap)
		tmem_frontswap_invalidate_page(replay_shim_of(run, number), 0, INDEX);
	else if (step->index >= 0)
		tmem_cleancache_invalidate_page(replay_shim_of(run, number),
						run->nodes[number].pool, &replay_oid, INDEX);
	else
		replay_flush_object(run, number);
	if (step->index >= 0)
		run->nodes[number].cached = 0;
}

static void store(struct replay *run, int version)
{
	struct node *node = &run->nodes[0];

	page_make(node->stored, page_value(PAGE_SMALL, (uint32_t)version));
	node->storing = tmem_frontswap_store_start(replay_shim_of(run, 0), 0, INDEX, node->stored,
						   &node->store) == TMEM_SHIM_PENDING;
}

static void load(struct replay *run)
{
	struct node *node = &run->nodes[0];

	/* frontswap has no bit for a page whose store has not succeeded, so it does not load it */
	if (node->storing) {
		sim_settle(&run->sim, 0);
		CHECK(replay_finished(run, 0, &node->store));
		node->storing = false;
		if (tmem_shim_finished(replay_shim_of(run, 0), &node->store) != TMEM_DONE)
			return;
	}
	tmem_frontswap_load_start(replay_shim_of(run, 0), 0, INDEX, node->page, &node->get);
	node->getting = true;
}

static void end_load(struct replay *run)
{
	struct node *node = &run->nodes[0];

	if (!node->getting)
		return;
	sim_settle(&run->sim, 0);
	/* a page that the host is known to have lost is a panic, not a failure */
	run->failed_load = replay_finished(run, 0, &node->get) &&
			   tmem_shim_finished(replay_shim_of(run, 0), &node->get) != TMEM_DONE &&
			   !run->sim.clients[0].events[TMEM_SHIM_LOST];
	if (replay_finished(run, 0, &node->get))
		node->getting = false;
}

static void revert(struct replay *run)
{
	sim_break(&run->sim, 0, false);
	memcpy(run->sim.clients[0].memory, run->snapshot, run->snapshot_bytes);
}

static void give_up(struct replay *run, int number)
{
	struct node *node = &run->nodes[number];

	replay_pass_time(run, GIVEUP_MS - TICK_MS);
	node->flushing = node->flushing && !replay_finished(run, number, &node->flush);
}

static void leave(struct replay *run, int number)
{
	struct node *node = &run->nodes[number];

	/* the kernel goes on with other things meanwhile */
	memset(&node->leave, 0, sizeof(node->leave));
	node->leave.op = TMEM_OP_DESTROY_POOL;
	node->leave.pool = node->pool;
	tmem_shim_start(replay_shim_of(run, number), &node->leave);
}

/* Before another node writes, guest 0 has let go of its lock, for which it had to flush. */
static void foreign_write(struct replay *run)
{
	if (run->plan->flags & PLAN_LEASE && run->nodes[0].flushing)
		replay_await_flush(run, 0);
}

static void write_page(struct replay *run, const struct trail_step *step)
{
	if (step->number == 1)
		foreign_write(run);
	run->nodes[step->number].cached = step->version;
	run->nodes[step->number].flushed = false;
	if (run->plan->flags & PLAN_LEASE)
		run->disk = step->version;
}

static void direct_write(struct replay *run, const struct trail_step *step)
{
	struct node *node = &run->nodes[0];

	if (strcmp(step->op, "direct_on_disk") == 0)
		run->disk = step->version;
	if (run->plan->cure == CURE_F9 && !run->mutant &&
	    strcmp(step->op, "direct_write_returns") != 0)
		tmem_cleancache_invalidate_page(replay_shim_of(run, 0), node->pool, &replay_oid,
						INDEX);
	if (run->plan->cure == CURE_S5 && !run->mutant &&
	    strcmp(step->op, "direct_write_returns") == 0)
		/* EX again: the other node converts down first */
		for (int number = 1; number >= 0; number--) {
			replay_invalidate_inode(run, number);
			replay_await_flush(run, number);
		}
}

void replay_guest_step(struct replay *run, const struct trail_step *step)
{
	const char *op = step->op;
	int number = step->number;

	if (strcmp(op, "put") == 0) {
		put(run, number, step->version);
		if (run->plan->flags & PLAN_LEASE && number == 1)
			sim_settle(&run->sim, number);
	} else if (strcmp(op, "get") == 0) {
		if (run->plan->flags & PLAN_LEASE) {
			foreign_write(run);
			replay_force_echo(run, number);
			sim_settle(&run->sim, number);
		}
		replay_begin_get(run, number, INDEX);
	} else if (strcmp(op, "get_ahead") == 0) {
		replay_begin_get(run, number, INDEX - 1);
		run->nodes[number].getting = false;
	} else if (strcmp(op, "read") == 0) {
		replay_read_page(run, step);
	} else if (strcmp(op, "flush") == 0) {
		flush(run, step);
	} else if (strcmp(op, "write") == 0) {
		write_page(run, step);
	} else if (strcmp(op, "writeback") == 0) {
		run->disk = step->version;
	} else if (strncmp(op, "direct_", 7) == 0) {
		direct_write(run, step);
	} else if (strcmp(op, "leave") == 0) {
		leave(run, number);
	} else if (strcmp(op, "store") == 0) {
		store(run, step->version);
	} else if (strcmp(op, "load") == 0) {
		load(run);
	} else if (strcmp(op, "loaded") == 0 || strcmp(op, "load_failed") == 0) {
		end_load(run);
	} else if (strcmp(op, "snapshot") == 0) {
		run->snapshot_bytes = run->sim.clients[0].shim->memory_bytes;
		run->snapshot = malloc(run->snapshot_bytes);
		memcpy(run->snapshot, run->sim.clients[0].memory, run->snapshot_bytes);
	} else if (strcmp(op, "revert") == 0) {
		revert(run);
	} else if (strcmp(op, "echo") == 0) {
		replay_force_echo(run, number);
	} else if (strcmp(op, "give_up") == 0) {
		give_up(run, number);
	} else if (strcmp(op, "queued") == 0) {
		if (run->plan->flags & PLAN_SILENT) {
			sim_pump(&run->sim, number);
			sim_break(&run->sim, number, false);
		}
	} else if (strcmp(op, "panic") == 0) {
		tmem_shim_silence(replay_shim_of(run, number));
	} else if (strcmp(op, "forget") == 0) {
		run->nodes[number].cached = 0;
	} else {
		/* what only the models' guests know of */
		CHECK(strcmp(op, "stored") == 0 || strcmp(op, "umounted") == 0 ||
		      strcmp(op, "crash") == 0 || strcmp(op, "pause") == 0 ||
		      strcmp(op, "unpause") == 0 || strcmp(op, "cut_off") == 0 ||
		      strcmp(op, "other_slot") == 0);
	}
}
