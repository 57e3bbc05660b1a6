/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "replay.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "core.h"
#include "frontends.h"
#include "page.h"

/* The page that everything is about, and one tick of the lease's clock. */
enum { INDEX = 100, SWAP_PAGES = 4096, TICK_MS = 1000, PATIENCE_TICKS = 100 };

/* T_giveup is one tick, and a little more, so that an echo may come between the two. */
enum { GIVEUP_MS = TICK_MS + TICK_MS / 2 };

static const struct tmem_oid oid = {{1, 2, 3}};
static const uint8_t uuid[16] = {1, 2, 3};

struct node {
	uint32_t pool;
	struct tmem_shim_request get, flush, leave, store;
	bool getting, flushing, storing;
	bool flushed; /* invalidate_inode was called since the last write */
	int cached;   /* version in the page cache, 0: none */
	uint8_t page[TMEM_PAGE_BYTES], stored[TMEM_PAGE_BYTES];
};

struct replay {
	struct sim sim;
	struct trail trail;
	const struct plan *plan;
	bool mutant;
	struct node nodes[SIM_CLIENTS];
	int disk;
	bool swap, hit, failed_load;
	int version; /* of the last read */
	void *snapshot;
	uint64_t snapshot_bytes;
	void *area;
	uint8_t peeked[TMEM_PAGE_BYTES];
};

static struct tmem_shim *shim_of(struct replay *run, int number)
{
	return run->sim.clients[number].shim;
}

static bool finished(struct replay *run, int number, struct tmem_shim_request *request)
{
	return tmem_shim_finished(shim_of(run, number), request) != TMEM_SHIM_PENDING;
}

/* ---- setting up --------------------------------------------------------------------------------
 */

static void force_echo(struct replay *run, int number)
{
	struct tmem_shim *shim = shim_of(run, number);
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
	struct tmem_shim *shim = shim_of(run, number);
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
		force_echo(run, number);
		sim_settle(&run->sim, number);
	}
}

static void begin_get(struct replay *run, int number, uint64_t index)
{
	struct node *node = &run->nodes[number];

	memset(&node->get, 0, sizeof(node->get));
	node->get.op = TMEM_OP_GET_PAGE;
	node->get.pool = node->pool;
	node->get.oid = oid;
	node->get.index = index;
	node->get.page = node->page;
	tmem_shim_start(shim_of(run, number), &node->get);
	node->getting = true;
}

/* The reader of the pages before: it makes the run that asks ahead, and fetches a bitmap. */
static void begin_run(struct replay *run, int number)
{
	begin_get(run, number, INDEX - 2);
	sim_settle(&run->sim, number);
	CHECK(finished(run, number, &run->nodes[number].get));
	run->nodes[number].getting = false;
}

static void set_up(struct replay *run)
{
	const struct plan *plan = run->plan;
	struct tmem_shim_config config = {
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
		run->sim.refuse_puts |= step_is(&run->trail.steps[i], "host", "refuse");
}

/* ---- waiting
 * ------------------------------------------------------------------------------------- */

/* The clock goes on. In the lease's scenarios the witness, guest 1, keeps its own lease alive. */
static void tick(struct replay *run, uint64_t ms)
{
	uint64_t part = TICK_MS / 4;

	for (uint64_t passed = 0; passed < ms; passed += part) {
		run->sim.now_ns += (ms - passed < part ? ms - passed : part) * 1000000;
		if (!(run->plan->flags & PLAN_LEASE) || run->sim.down)
			continue;
		force_echo(run, 1);
		sim_settle(&run->sim, 1);
	}
}

static void pass_time(struct replay *run, uint64_t ms)
{
	tick(run, ms);
	for (int i = 0; i < SIM_CLIENTS; i++)
		tmem_shim_tick(shim_of(run, i));
}

/* The kernel of @number waits for its flush. In the lease's scenarios nobody serves it. */
static void await_flush(struct replay *run, int number)
{
	struct node *node = &run->nodes[number];

	for (int i = 0; node->flushing && i < PATIENCE_TICKS; i++) {
		if (run->plan->flags & PLAN_LEASE)
			pass_time(run, TICK_MS);
		else
			sim_settle(&run->sim, number);
		node->flushing = !finished(run, number, &node->flush);
	}
	CHECK(!node->flushing);
}

static void invalidate_inode(struct replay *run, int number)
{
	struct node *node = &run->nodes[number];

	node->flushing =
		tmem_cleancache_invalidate_inode_start(shim_of(run, number), node->pool, &oid,
						       &node->flush) == TMEM_SHIM_PENDING;
	node->flushed = true;
}

static void flush_object(struct replay *run, int number)
{
	struct node *node = &run->nodes[number];

	if (run->trail.skips || (run->mutant && run->plan->shim & TMEM_RULE_M)) {
		invalidate_inode(run, number);
		return;
	}
	memset(&node->flush, 0, sizeof(node->flush));
	node->flush.op = TMEM_OP_FLUSH_OBJECT;
	node->flush.pool = node->pool;
	node->flush.oid = oid;
	node->flushing = tmem_shim_start(shim_of(run, number), &node->flush) == TMEM_SHIM_PENDING;
	node->flushed = true;
}

static void fill_queue(struct replay *run, int number)
{
	struct tmem_oid other = {{9, 9, 9}};

	while (tmem_queue_room(shim_of(run, number), false, false)) {
		other.words[0]++;
		tmem_shim_flush_page(shim_of(run, number), run->nodes[number].pool, &other, 0);
	}
}

/* ---- reading
 * --------------------------------------------------------------------------------------- */

static void end_get(struct replay *run, int number)
{
	struct node *node = &run->nodes[number];

	for (int i = 0; !finished(run, number, &node->get) && i < PATIENCE_TICKS; i++) {
		while (sim_answer(&run->sim, number) && !finished(run, number, &node->get))
			;
		if (!finished(run, number, &node->get) && !sim_apply(&run->sim, number))
			pass_time(run, TICK_MS);
	}
	run->hit = tmem_shim_finished(shim_of(run, number), &node->get) == TMEM_DONE;
	run->version = run->hit ? (int)(page_read(node->page) & 0xfffffff) : run->disk;
	node->getting = false;
	node->cached = run->version;
}

static void read_page(struct replay *run, const struct trail_step *step)
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
		begin_get(run, step->number, INDEX);
	end_get(run, step->number);
}

/* ---- steps of a guest
 * ---------------------------------------------------------------------------------- */

static void put(struct replay *run, int number, int version)
{
	struct node *node = &run->nodes[number];

	page_make(node->page, page_value(PAGE_SMALL, (uint32_t)version));
	tmem_cleancache_put_page(shim_of(run, number), node->pool, &oid, INDEX, node->page);
	node->cached = 0;
}

static void flush(struct replay *run, const struct trail_step *step)
{
	int number = step->number;

	if (run->plan->flags & PLAN_FILL) {
		sim_pump(&run->sim, number);
		fill_queue(run, number);
	}
	if (run->swap)
		tmem_frontswap_invalidate_page(shim_of(run, number), 0, INDEX);
	else if (step->index >= 0)
		tmem_cleancache_invalidate_page(shim_of(run, number), run->nodes[number].pool, &oid,
						INDEX);
	else
		flush_object(run, number);
	if (step->index >= 0)
		run->nodes[number].cached = 0;
}

static void store(struct replay *run, int version)
{
	struct node *node = &run->nodes[0];

	page_make(node->stored, page_value(PAGE_SMALL, (uint32_t)version));
	node->storing = tmem_frontswap_store_start(shim_of(run, 0), 0, INDEX, node->stored,
						   &node->store) == TMEM_SHIM_PENDING;
}

static void load(struct replay *run)
{
	struct node *node = &run->nodes[0];

	/* frontswap has no bit for a page whose store has not succeeded, so it does not load it */
	if (node->storing) {
		sim_settle(&run->sim, 0);
		CHECK(finished(run, 0, &node->store));
		node->storing = false;
		if (tmem_shim_finished(shim_of(run, 0), &node->store) != TMEM_DONE)
			return;
	}
	tmem_frontswap_load_start(shim_of(run, 0), 0, INDEX, node->page, &node->get);
	node->getting = true;
}

static void end_load(struct replay *run)
{
	struct node *node = &run->nodes[0];

	if (!node->getting)
		return;
	sim_settle(&run->sim, 0);
	/* a page that the host is known to have lost is a panic, not a failure */
	run->failed_load = finished(run, 0, &node->get) &&
			   tmem_shim_finished(shim_of(run, 0), &node->get) != TMEM_DONE &&
			   !run->sim.clients[0].events[TMEM_SHIM_LOST];
	if (finished(run, 0, &node->get))
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

	pass_time(run, GIVEUP_MS - TICK_MS);
	node->flushing = node->flushing && !finished(run, number, &node->flush);
}

static void leave(struct replay *run, int number)
{
	struct node *node = &run->nodes[number];

	/* the kernel goes on with other things meanwhile */
	memset(&node->leave, 0, sizeof(node->leave));
	node->leave.op = TMEM_OP_DESTROY_POOL;
	node->leave.pool = node->pool;
	tmem_shim_start(shim_of(run, number), &node->leave);
}

/* Before another node writes, guest 0 has let go of its lock, for which it had to flush. */
static void foreign_write(struct replay *run)
{
	if (run->plan->flags & PLAN_LEASE && run->nodes[0].flushing)
		await_flush(run, 0);
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
		tmem_cleancache_invalidate_page(shim_of(run, 0), node->pool, &oid, INDEX);
	if (run->plan->cure == CURE_S5 && !run->mutant &&
	    strcmp(step->op, "direct_write_returns") == 0)
		/* EX again: the other node converts down first */
		for (int number = 1; number >= 0; number--) {
			invalidate_inode(run, number);
			await_flush(run, number);
		}
}

static void guest_step(struct replay *run, const struct trail_step *step)
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
			force_echo(run, number);
			sim_settle(&run->sim, number);
		}
		begin_get(run, number, INDEX);
	} else if (strcmp(op, "get_ahead") == 0) {
		begin_get(run, number, INDEX - 1);
		run->nodes[number].getting = false;
	} else if (strcmp(op, "read") == 0) {
		read_page(run, step);
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
		force_echo(run, number);
	} else if (strcmp(op, "give_up") == 0) {
		give_up(run, number);
	} else if (strcmp(op, "queued") == 0) {
		if (run->plan->flags & PLAN_SILENT) {
			sim_pump(&run->sim, number);
			sim_break(&run->sim, number, false);
		}
	} else if (strcmp(op, "panic") == 0) {
		tmem_shim_silence(shim_of(run, number));
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

/* ---- steps of locks, channels, hosts
 * ------------------------------------------------------------------- */

static void lock_step(struct replay *run, const struct trail_step *step)
{
	int number = step->number;
	struct node *node = &run->nodes[number];

	if (strcmp(step->op, "recovered") == 0) {
		if (run->plan->cure == CURE_S3 && !run->mutant) {
			flush_object(run, 1 - number);
			await_flush(run, 1 - number);
		}
		return;
	}
	if (strcmp(step->op, "grant") == 0) {
		if (run->plan->cure == CURE_S5_CACHE && !run->mutant && number == 0)
			node->cached = 0;
		return;
	}
	if (!node->flushed && (run->trail.skips || (run->plan->cure == CURE_S1 && !run->mutant)))
		invalidate_inode(run, number);
	await_flush(run, number);
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

static void host_step(struct replay *run, const struct trail_step *step)
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

		CHECK_EQ(tmem_shim_pool_info(shim_of(run, number), run->nodes[number].pool, &info),
			 0);
		if (tmem_get(run->sim.clients[number].client, info.host_id, &oid, INDEX,
			     run->peeked) == TMEM_DONE)
			run->sim.peeked = run->peeked;
	} else if (strcmp(op, "refuse") == 0) {
		sim_apply(&run->sim, number);
	} else {
		CHECK(strcmp(op, "lease_checked") == 0);
	}
}

static void channel_step(struct replay *run, const struct trail_step *step)
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
		run->nodes[number].flushing = run->nodes[number].flushing &&
					      !finished(run, number, &run->nodes[number].flush);
	} else {
		CHECK(strcmp(op, "end") == 0);
	}
}

/* ---- all of it
 * --------------------------------------------------------------------------------------------- */

static bool anybody_waits(struct replay *run)
{
	struct tmem_shim_info info;

	tmem_shim_info(shim_of(run, 0), &info);
	return info.waiting > 0;
}

static bool page_left_host(struct replay *run)
{
	struct tmem_shim_pool_info info;

	CHECK_EQ(tmem_shim_pool_info(shim_of(run, 1), run->nodes[1].pool, &info), 0);
	return tmem_get(run->sim.clients[1].client, info.host_id, &oid, INDEX, run->peeked) !=
	       TMEM_DONE;
}

static bool violated(struct replay *run)
{
	const struct trail *trail = &run->trail;

	if (strcmp(trail->property, "every_wait_ends") == 0) {
		for (int i = 0; i < PATIENCE_TICKS; i++)
			pass_time(run, TICK_MS);
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
			guest_step(run, step);
		else if (strcmp(step->who, "lock") == 0)
			lock_step(run, step);
		else if (strcmp(step->who, "host") == 0)
			host_step(run, step);
		else if (strcmp(step->who, "channel") == 0)
			channel_step(run, step);
		else
			tick(run, TICK_MS);
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
