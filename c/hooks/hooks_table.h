/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the table is made of; for c/hooks and whoever sets one up. Callers look up without a lock,
 * inside a read section, and what they may still be using is freed only after it:
 *
 *   calls  cleancache. Its sections end in bounded time: the backend's gets and flushes do.
 *   swaps  frontswap. A load waits for a broken channel, for ever if need be (P). So only a detach
 *          waits for these sections, after it has seen that there is nothing to load.
 */
#ifndef TMEM_HOOKS_TABLE_H
#define TMEM_HOOKS_TABLE_H

#include "hooks.h"
#include "seam.h"
#include "hooks_rules.h"

enum {
	TMEM_HOOKS_BUCKETS = 256, /* ids come one after the other, so they are spread evenly */
	TMEM_HOOKS_ID_MAX = 0x7fffffff,
};

struct tmem_mount {
	struct tmem_seam_later later; /* first: freed as the whole */
	int id;
	bool shared;
	uint8_t uuid[TMEM_UUID_BYTES];

	/* read without the lock */
	int pool;  /* of the attached backend; -1: none */
	bool open; /* gets, puts and flush_page go there; false from the moment it is given up */
	struct tmem_mount *chain; /* next in the bucket */

	/* under the lock */
	bool was_member; /* has had a shared pool (R-a) */
	bool refused;    /* the backend has refused it a pool */
	bool gone;       /* being umounted: gets no pool any more */
	bool left;       /* umounted */
	bool leaving;    /* somebody is in destroy_pool, or about to be */
	bool by_detach;  /* ... the detach */
#ifdef TMEM_DEBUG
	bool making; /* where pools are made without the lock: hooks_rules.h */
#endif
	uint32_t users;                     /* the table, and who waits for the end of an umount */
	struct tmem_mount *next, *previous; /* by id */
};

struct tmem_area {
	struct tmem_seam_later later; /* first */
	uint64_t pages;
	bool taken;                   /* by the attached backend */
	struct tmem_seam_number held; /* bits that are set */
	unsigned long stored[];       /* a bit a slot: the attached backend has it */
};

struct tmem_hooks {
	/* Whoever attaches or detaches, one at a time. */
	struct tmem_seam_mutex attaching;
	/* swapon, swapoff, attach: `areas` and `taken` change under it, and the backend does, so
	 * that a backend hears of each area once. Reclaim never waits for it. */
	struct tmem_seam_mutex areas_lock;
	/* Everything about mounts. A sleeper on it waits for the end of a leave. */
	struct tmem_seam_lock lock;

	struct tmem_seam_readers calls, swaps;

	const struct tmem_backend *backend;
	bool detaching;      /* no new pool */
	bool stores_stopped; /* F1 */

	int last_id;
	uint32_t mounts, pools, leaving;
	uint32_t poolless; /* mounts that a backend has refused a pool */
	struct tmem_mount *first, *last;
	struct tmem_mount *buckets[TMEM_HOOKS_BUCKETS];
	struct tmem_area *areas[TMEM_HOOKS_AREAS];

	struct tmem_seam_counters counters;
};

/* Sets up an empty table in zeroed memory. 0 or -ENOMEM. Task; allocates. */
int tmem_hooks_setup(struct tmem_hooks *hooks);

/* Frees what is recorded. Nobody calls it any more, and no backend is attached. */
void tmem_hooks_teardown(struct tmem_hooks *hooks);

/* ---- mounts.c, under the lock --------------------------------------------------------- */

/* The mount @id, or NULL. Also in a read section of calls. */
struct tmem_mount *tmem_mount_find(struct tmem_hooks *hooks, int id);

/* Asks the backend for a pool if @mount should have one and has none. */
void tmem_mount_need_pool(struct tmem_hooks *hooks, struct tmem_mount *mount);

/* From here on gets miss, puts are dropped, and umount and detach wait. */
void tmem_mount_close(struct tmem_hooks *hooks, struct tmem_mount *mount);

/* Without the lock: the pool that tmem_mount_close closed, when no call is in it any more. */
void tmem_mount_destroy_pool(struct tmem_hooks *hooks, struct tmem_mount *mount);

/* The pool has been left. */
void tmem_mount_closed(struct tmem_hooks *hooks, struct tmem_mount *mount);

/* ---- areas.c -------------------------------------------------------------------------- */

/* Under areas_lock: tells @backend of every area. */
void tmem_areas_offer(struct tmem_hooks *hooks, const struct tmem_backend *backend);

/* Under areas_lock: no backend has any. */
void tmem_areas_forget_backend(struct tmem_hooks *hooks);

/* Pages of all areas that the backend holds. */
uint64_t tmem_areas_held(struct tmem_hooks *hooks);

#endif
