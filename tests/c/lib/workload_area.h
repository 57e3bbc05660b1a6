/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which handles the areas of a workload's actors are. */
#ifndef TMEM_TEST_WORKLOAD_AREA_H
#define TMEM_TEST_WORKLOAD_AREA_H

#include "workload.h"

struct work_place {
	struct tmem_client *client;
	uint32_t pool;
	struct tmem_oid oid;
	uint64_t first_index;
	bool persistent;
	bool shared;
	bool own_object; /* no other actor has pages in it */
};

static inline bool work_own_persistent(unsigned int actor)
{
	return actor % 2 == 0;
}

/* @random chooses the member through which a shared pool is reached; NULL: the actor's client. */
static inline struct work_place work_place(const struct work *work, unsigned int actor,
					   uint32_t area, struct random *random)
{
	unsigned int client = actor % WORK_CLIENTS;
	bool common = area == WORK_PERSISTENT_COMMON || area == WORK_EPHEMERAL_COMMON ||
		      area == WORK_SHARED_COMMON;
	struct work_place place = {
		.oid = {.words = {common ? 1000 : actor, 0x0123456789abcdef, ~0ull}},
		.first_index = common ? actor * WORK_AREA_PAGES : 0,
		.own_object = !common,
	};

	switch ((enum work_area)area) {
	case WORK_PERSISTENT:
	case WORK_PERSISTENT_COMMON:
		place.pool = work->persistent_pool[client];
		place.persistent = true;
		break;
	case WORK_EPHEMERAL:
	case WORK_EPHEMERAL_COMMON:
		place.pool = work->ephemeral_pool[client];
		break;
	case WORK_SHARED:
	case WORK_SHARED_COMMON:
		if (random != NULL)
			client = random_below(random, WORK_CLIENTS);
		place.pool = work->shared_pool[client];
		place.shared = true;
		break;
	default:
		place.pool = (uint32_t)work->logs[actor].own_pool;
		place.persistent = work_own_persistent(actor);
	}
	place.client = work->clients[client];
	return place;
}

#endif
