/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The operations that the crash test steps through, and the state most of them start from.
 */
#ifndef TMEM_TEST_SCENARIOS_H
#define TMEM_TEST_SCENARIOS_H

#include "crash.h"
#include "page.h"

/* Each list ends with a scenario without a name. */
extern const struct crash_scenario page_scenarios[];     /* put, get, flush of single pages */
extern const struct crash_scenario encoding_scenarios[]; /* encodings and shared contents */
extern const struct crash_scenario table_scenarios[];    /* clients, pools, authorisations */
extern const struct crash_scenario full_scenarios[];     /* arenas and limits without room */
extern const struct crash_scenario space_scenarios[];    /* growing, shrinking, moving */

/* Clients and pools of scenario_base(). */
enum { ALPHA, BETA, GAMMA };
enum {
	ALPHA_PERSISTENT,
	ALPHA_EPHEMERAL,
	ALPHA_SHARED, /* of uuid 0; alpha owns it */
	BETA_SHARED,
	BETA_PERSISTENT,
	NEW_POOL, /* the first that is free */
};

/*
 * Two clients that store pages raw, with a persistent, an ephemeral and a shared pool. The
 * persistent pool holds object 1: pages 0-2, object 2: pages 0 and 1000; the ephemeral and the
 * shared pool hold object 1: pages 0 and 1. Pages 0 and 1 of object 3 were flushed before. Values
 * of pages: numbers below 100.
 */
void scenario_base(struct world *world);

/* The state of scenario_base() without any page. */
void scenario_tables(struct world *world);

/* Changes what @client stores from now on. */
void scenario_encode(struct world *world, int client, enum tmem_encoding encoding, bool dedup);

/* Counters and usage of the world's engine, for scenarios that verify what happened. */
struct tmem_counters scenario_counters(struct world *world);
struct tmem_usage scenario_usage(struct world *world);

/* What the operation is to change; kept by the child between preparing and verifying. */
struct scenario_before {
	struct tmem_counters counters;
	struct tmem_usage usage;
};

extern struct scenario_before scenario_before;
void scenario_remember(struct world *world);

/* Pages have been evicted since scenario_remember(). */
void scenario_verify_evicted(struct world *world);

enum {
	SMALL_ARENA_BYTES = 192 << 10,
	FIRST_NUMBER = 1000, /* of the values of pages beside those of scenario_base() */
};

/* scenario_base(), and 15 raw ephemeral pages in object 8. Remembers. */
void scenario_ephemeral(struct world *world);

/*
 * scenario_base(), and a small arena full of raw ephemeral pages in object 8. Eviction makes room
 * for a few pages at a time; here the next put is one that needs it. Remembers.
 */
void scenario_full_of_ephemeral(struct world *world);

#endif
