/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An engine on a small arena and what it ought to hold, for operations in any order. Each call
 * operates on the engine, checks the result against the model and changes the model; calls on what
 * does not exist do nothing, so that any sequence of numbers is a test.
 */
#ifndef TMEM_TEST_MODEL_H
#define TMEM_TEST_MODEL_H

#include <stdbool.h>

#include "engine.h"
#include "page.h"
#include "scratch.h"

enum {
	MODEL_CLIENTS = 3,
	MODEL_POOLS = 6,
	MODEL_UUIDS = 2,
	/* what pages lie in: a private pool, or the pool of a uuid */
	MODEL_STORES = MODEL_POOLS + MODEL_UUIDS,
	/* With all of these, raw, in several stores the arena is full. */
	MODEL_OBJECTS = 3,
	MODEL_INDEXES = 6,
};

struct model_client {
	struct tmem_client *ref; /* NULL: there is no such client */
	uint32_t auth;           /* bit n: uuid n */
	bool frozen;
};

struct model_pool {
	bool exists;
	int client;
	int store;
	bool persistent;
	bool shared;
	uint32_t id;
};

struct model {
	struct tmem_engine *engine;
	struct model_client clients[MODEL_CLIENTS];
	struct model_pool pools[MODEL_POOLS];
	uint32_t values[MODEL_STORES][MODEL_OBJECTS][MODEL_INDEXES]; /* page.h; 0: no page */
	uint32_t last_number;
	char path[SCRATCH_PATH_BYTES];
	char copy_path[SCRATCH_PATH_BYTES];
};

extern struct model model;

/* A new arena with all clients and no pools. */
void model_start(void);
void model_close(void);
void model_reopen(void);
/* Goes on with a copy of the arena as it is now, as after a kill between two operations. */
void model_crash(void);

/* @choice: of the client, the uuid, and whether it is to be persistent or shared. */
void model_new_pool(int slot, uint8_t choice);
void model_destroy_pool(struct model_pool *pool);
void model_flush_pool(struct model_pool *pool);
/* Destroys the client, or makes it if there is none. */
void model_destroy_client(int client);
void model_set_client(int client, uint8_t choice, uint8_t limits);
/* Adds the authorisation, or removes it if it is there. */
void model_authorise(int client, int uuid);

void model_put(const struct model_pool *pool, int object, int index, enum page_fill fill);
void model_get(const struct model_pool *pool, int object, int index);
void model_flush_page(const struct model_pool *pool, int object, int index);
void model_flush_range(const struct model_pool *pool, int object, int first, int count);
void model_flush_object(const struct model_pool *pool, int object);
void model_empty_store(int store);

/* That the pools count what they hold. */
void model_check_counts(void);
/* That every page is what it must be; takes the private ephemeral ones out. */
void model_check_pages(void);

#endif
