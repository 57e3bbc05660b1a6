/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A backend for tests of the hooks (c/hooks): keeps a number for each page, and notes whatever
 * tmem_backend.h does not promise. Any number of threads.
 */
#ifndef TMEM_TEST_KEEPER_H
#define TMEM_TEST_KEEPER_H

#include <pthread.h>
#include <stdint.h>

#include "tmem_backend.h"

enum { KEEPER_POOLS = 4096, KEEPER_PAGES = 64, KEEPER_AREAS = 4 };

/* What must not happen. */
enum {
	KEEPER_DEAD_POOL = 1 << 0,    /* a get, put or flush_page of a pool that is not open */
	KEEPER_NO_POOL = 1 << 1,      /* a flush_object or destroy_pool of one that never was */
	KEEPER_TWICE = 1 << 2,        /* destroyed or announced twice */
	KEEPER_NOT_ATTACHED = 1 << 3, /* called before or after */
	KEEPER_NO_AREA = 1 << 4,
	KEEPER_NOT_STORED = 1 << 5, /* a load or flush_slot of a slot that is not stored */
};

enum keeper_pool { POOL_NEVER, POOL_ALIVE, POOL_GOING, POOL_GONE };

/* Numbers of pools are never used again, as with the shim; the newest KEEPER_POOLS are known. */
struct keeper {
	struct tmem_backend ops;
	pthread_mutex_t mutex;
	pthread_cond_t changed;

	uint32_t attached; /* set and cleared by who attaches */
	uint32_t calls;    /* under way */
	uint32_t violations;

	int last_pool;
	uint32_t pools; /* alive */
	uint8_t states[KEEPER_POOLS];
	uint8_t mounts[KEEPER_POOLS]; /* first byte of the uuid, 0: private */
	uint8_t was_member[KEEPER_POOLS];
	struct {
		int pool; /* -1: empty; -2 - type: of a swap area */
		uint64_t object;
		uint64_t index;
		uint64_t value;
	} pages[KEEPER_PAGES];
	uint8_t areas[KEEPER_AREAS];

	/* what it is told to do */
	uint32_t pools_max;
	int refuses_stores, refuses_areas;
	int loses; /* a load of what is stored finds nothing */

	/* run in the middle of a call, without the mutex; NULL: not */
	void *scene;
	void (*in_new_pool)(void *scene, int pool, uint8_t mount);
	void (*in_destroy_pool)(void *scene, int pool);
	void (*in_put)(void *scene, int pool);
	void (*in_flush_object)(void *scene, int pool); /* after it has waited */
	void (*in_store)(void *scene);
	void (*in_load)(void *scene);
	void (*in_flush_slot)(void *scene);
};

void keeper_init(struct keeper *keeper);
void keeper_destroy(struct keeper *keeper);

/* tmem_hooks_attach and tmem_hooks_detach, noting that it may be called from then, or no more. */
struct tmem_hooks;
int keeper_attach(struct keeper *keeper, struct tmem_hooks *hooks);
int keeper_detach(struct keeper *keeper, struct tmem_hooks *hooks, uint64_t *pages);

/* Pools that are alive, of mount @mount alone where it is not 0. */
uint32_t keeper_pools_of(struct keeper *keeper, uint8_t mount);

/* Pages of swap that it holds. */
uint32_t keeper_swapped(struct keeper *keeper);

/* A page that holds @value, and what one holds. */
struct page *keeper_page(uint64_t *memory, uint64_t value);

#endif
