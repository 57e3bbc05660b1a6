/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A small world of clients, pools and pages, kept twice: in an engine, and as what it ought to be.
 *
 * A crash scenario prepares a state and then performs one operation. Between the first and the
 * last instruction of the operation two answers are right for whatever it changes, so the world
 * knows two moments, before and after it. Every call here works in three phases:
 *   WORLD_PREPARE  calls the engine, checks the result, changes both moments
 *   WORLD_PREDICT  changes the moment after, without calling the engine
 *   WORLD_OPERATE  calls the engine and nothing else
 * so that an operation is written once and run twice: predicted, then performed.
 *
 * Clients, pools and pages have fixed places; a scenario names them by number. A store is what the
 * pages lie in: a pool of its own, or what all members of a shared pool see (numbered by the first
 * member's pool).
 */
#ifndef TMEM_TEST_WORLD_H
#define TMEM_TEST_WORLD_H

#include <stdbool.h>
#include <stdint.h>

#include "engine.h"
#include "scratch.h"

enum {
	WORLD_CLIENTS = 24,
	WORLD_POOLS = 24,
	WORLD_PAGES = 512,
	WORLD_UUIDS = 4,
	WORLD_PRIVATE = -1, /* in place of the number of a uuid */
};

enum world_phase { WORLD_PREPARE, WORLD_PREDICT, WORLD_OPERATE };
enum world_moment { WORLD_BEFORE, WORLD_AFTER, WORLD_MOMENTS };

struct world_client_state {
	bool exists;
	uint32_t auth; /* bit n: uuid n is allowed */
	struct tmem_client_settings settings;
};

struct world_client {
	struct world_client_state state[WORLD_MOMENTS];
	struct tmem_client *ref; /* in the process that runs the engine */
};

struct world_pool {
	int client;
	int store;
	int uuid; /* or WORLD_PRIVATE */
	bool persistent;
	bool exists[WORLD_MOMENTS];
	int64_t id; /* -1 until the engine has told */
};

struct world_page {
	int store;
	uint64_t object;
	uint64_t index;
	uint32_t value[WORLD_MOMENTS]; /* as in page.h; 0: no page */
};

struct world {
	char path[SCRATCH_PATH_BYTES];
	struct tmem_options options;
	enum world_phase phase;
	/* Ephemeral pages that the operation does not name may be gone, too. */
	bool evicts;
	int shared_auth_all[WORLD_MOMENTS];
	struct tmem_client_settings defaults; /* of a new client, as the engine gave them */
	struct world_client clients[WORLD_CLIENTS];
	struct world_pool pools[WORLD_POOLS];
	struct world_page pages[WORLD_PAGES];
	uint32_t page_count;
	struct tmem_engine *engine;
	struct tmem_shrink_report report; /* of the last shrink or change of budget */
	uint64_t freed_bytes;             /* by the last world_reclaim */
	unsigned char operand[TMEM_PAGE_BYTES];
};

/* An arena of @max_bytes in extents of the smallest size, not yet opened, at scratch file @name. */
void world_init(struct world *world, const char *name, uint64_t max_bytes);

void world_client_name(int client, char *name);
void world_uuid(int uuid, uint8_t *bytes);
struct tmem_oid world_oid(uint64_t object);

/* What a client that was just created has, for scenarios that change one field of it. */
struct tmem_client_settings world_settings(const struct world *world, int client);

/* The page at a handle; added, as absent, when it was not known. */
struct world_page *world_page(struct world *world, int store, uint64_t object, uint64_t index);

/* What a call has to do in this phase. */
static inline bool world_models(const struct world *world)
{
	return world->phase != WORLD_OPERATE;
}

static inline bool world_runs(const struct world *world)
{
	return world->phase != WORLD_PREDICT;
}

/* A change concerns the moments from this one on. */
static inline int world_first_moment(const struct world *world)
{
	return world->phase == WORLD_PREPARE ? WORLD_BEFORE : WORLD_AFTER;
}

void world_empty_store(struct world *world, int store);

/* ---- the operations: see engine.h for each --------------------------------------------- */

void world_open(struct world *world);
void world_close(struct world *world);
void world_set_shared_auth_all(struct world *world, int allow);
/* Lowering the budget and shrinking may evict: the scenario says so in @evicts. */
void world_set_budget(struct world *world, uint64_t budget_bytes);
void world_shrink(struct world *world, uint64_t bytes);

void world_client_create(struct world *world, int client);
void world_client_destroy(struct world *world, int client);
void world_client_set(struct world *world, int client, const struct tmem_client_settings *settings);
void world_client_resume(struct world *world, int client);
void world_auth_add(struct world *world, int client, int uuid);
void world_auth_remove(struct world *world, int client, int uuid);
void world_reclaim(struct world *world, int client, uint64_t bytes);

void world_pool_new(struct world *world, int pool, int client, bool persistent, int uuid);
void world_pool_destroy(struct world *world, int pool);
void world_pool_flush(struct world *world, int pool);
void world_pool_serve_empty(struct world *world, int pool);

/* @expected: TMEM_DONE or the refusal that the put must get. */
void world_put(struct world *world, int pool, uint64_t object, uint64_t index, uint32_t value,
	       int expected);
void world_get(struct world *world, int pool, uint64_t object, uint64_t index);
void world_flush_page(struct world *world, int pool, uint64_t object, uint64_t index);
void world_flush_range(struct world *world, int pool, uint64_t object, uint64_t first,
		       uint64_t count);
void world_flush_object(struct world *world, int pool, uint64_t object);

/* Puts pages of @fill at indexes 0, 1, ... of @object, values from @number on, until one is
 * refused or @limit are stored; returns how many were. Only while preparing. */
uint32_t world_fill(struct world *world, int pool, uint64_t object, uint32_t fill, uint32_t number,
		    uint32_t limit);

#endif
