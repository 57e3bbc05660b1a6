/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One look at a recovered arena: the parts that world_check() is made of. Each returns 0, or -1
 * with the reason in look->why.
 */
#ifndef TMEM_TEST_WORLD_LOOK_H
#define TMEM_TEST_WORLD_LOOK_H

#include <stdio.h>

#include "world_check.h"

/* What two recoveries of one arena must agree on. */
struct world_seen {
	bool client[WORLD_CLIENTS];
	uint32_t auth[WORLD_CLIENTS];
	struct tmem_client_settings settings[WORLD_CLIENTS];
	int64_t pool_id[WORLD_POOLS]; /* -1: not there */
	uint64_t pool_pages[WORLD_POOLS];
	uint32_t pool_owner[WORLD_POOLS];
	uint32_t pool_members[WORLD_POOLS];
	uint32_t value[WORLD_PAGES]; /* persistent pages; ephemeral ones read only at the end */
	int shared_auth_all;
};

struct world_look {
	const struct world *world;
	unsigned int moments;
	bool resumed; /* every client has: shared pools are served */
	struct tmem_engine *engine;
	struct tmem_client *refs[WORLD_CLIENTS];
	uint32_t uid[WORLD_CLIENTS];
	struct world_seen seen;
	char *why;
};

#define LOOK_REQUIRE(look, condition, ...)                                                         \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			snprintf((look)->why, WORLD_WHY_BYTES, __VA_ARGS__);                       \
			return -1;                                                                 \
		}                                                                                  \
	} while (0)

/* The clients, their settings and authorisations, and the host's switch. */
int look_clients(struct world_look *look);
/* The pools and who is in them; needs look_clients(). */
int look_pools(struct world_look *look);
/* Persistent pages if @persistent, else ephemeral ones (reading them takes the private ones out);
 * needs look_pools(). */
int look_pages(struct world_look *look, bool persistent);
/* That the recovered engine works; changes the arena. */
int look_round(struct world_look *look);

#endif
