/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Many threads working on one engine, each knowing what every page of its own must hold.
 *
 * An actor is one thread, acting for one client. Pages belong to one actor each, but lie side by
 * side with those of others: in pools that other actors use, in objects that other actors use, in
 * a pool that all clients share. What an actor knows is kept in a log that may be in memory shared
 * with another process: it says what was acknowledged and what is under way, so that after a
 * SIGKILL the log and the arena can be compared.
 */
#ifndef TMEM_TEST_WORKLOAD_H
#define TMEM_TEST_WORKLOAD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "engine.h"
#include "random.h"

enum {
	WORK_CLIENTS = 3,
	WORK_ACTORS = 6,
	WORK_AREA_PAGES = 16,
	WORK_FAILURE_BYTES = 256,
};

/* Where the pages of an actor lie; WORK_AREA_PAGES in each area, in one object. */
enum work_area {
	WORK_PERSISTENT,        /* the client's persistent pool, an object of the actor's own */
	WORK_PERSISTENT_COMMON, /* the same pool, an object in which each actor has some pages */
	WORK_EPHEMERAL,
	WORK_EPHEMERAL_COMMON,
	WORK_SHARED, /* the pool that all clients share */
	WORK_SHARED_COMMON,
	WORK_OWN, /* a pool that the actor makes and destroys */
	WORK_AREAS,
};

enum work_action {
	WORK_IDLE,
	WORK_PUT,
	WORK_TAKE,  /* a get that may remove the page */
	WORK_FLUSH, /* of all pages from first on, count of them */
	WORK_POOL,  /* the own pool is being destroyed or made */
};

struct work_log {
	_Atomic uint32_t value[WORK_AREAS][WORK_AREA_PAGES]; /* as in page.h; 0: no page */
	_Atomic int64_t own_pool;                            /* id, -1: none */
	/* what is under way; valid while action is not WORK_IDLE */
	_Atomic uint32_t action;
	_Atomic uint32_t area;
	_Atomic uint32_t first;
	_Atomic uint32_t count;
	_Atomic uint32_t new_value;
	/* calls that reached a pool, by this process */
	uint64_t puts;
	uint64_t gets;
	uint64_t page_flushes;
	uint64_t range_flushes;
	uint64_t object_flushes;
	char failure[WORK_FAILURE_BYTES]; /* "" as long as all is well */
};

struct work {
	struct tmem_engine *engine;
	struct tmem_client *clients[WORK_CLIENTS];
	uint32_t persistent_pool[WORK_CLIENTS];
	uint32_t ephemeral_pool[WORK_CLIENTS];
	uint32_t shared_pool[WORK_CLIENTS];
	struct work_log *logs; /* WORK_ACTORS, and one more for the operator */
	bool may_refuse;       /* puts to persistent pools may be refused */
};

/* Makes the clients and pools in a new arena; logs start empty. */
void work_create(struct work *work, struct tmem_engine *engine);
/* Finds them again in a reopened one, and resumes all clients. */
void work_find(struct work *work, struct tmem_engine *engine);
/* Gives all references back. */
void work_release(struct work *work);

/* One call by @actor, with what it returns checked. False: the log says what was wrong. */
bool work_act(struct work *work, unsigned int actor, struct random *random);

/* Settings, shrinking, scrubbing, visiting clients, looking around: one of many. To be called by
 * one thread; its log is that after the actors'. @budget_bytes: what the budget comes back to. */
bool work_operate(struct work *work, struct random *random, uint64_t budget_bytes);

/*
 * Compares every page with the logs while nobody acts, and the pools' page counts with the pages.
 * What was under way counts as done or not done. Afterwards the logs say what was found, and
 * nothing is under way. Takes the private ephemeral pages out. Checks by check.h.
 */
void work_verify(struct work *work);

/* The total of all logs, for comparison with the engine's counters. */
struct work_log work_totals(const struct work *work);

#endif
