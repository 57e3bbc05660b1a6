/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Between the hooks module, which cleancache and frontswap call, and a backend, which carries their
 * calls to the host (the transport module). Hooks never unloads; a backend comes and goes, one at a
 * time, whatever is mounted and swapped on (docs/guest-modules.md).
 *
 * Hooks gives every mount an id of its own, never used again, and every call of cleancache and
 * frontswap to the backend with that backend's own pool number. What it promises to a backend:
 *
 *   - every function is called between tmem_backend_register and the return of
 *     tmem_backend_unregister, and none is under way when that returns;
 *   - a pool number is used in calls only after new_pool has returned it;
 *   - destroy_pool is called once for each pool, when no get, put or flush_page of it is under way
 *     or will come. flush_object may come all the same, until destroy_pool has returned and a
 * little later: it waits there until the pool has been left (S2);
 *   - pages of compound pages never come (F6); load and flush_slot only of slots that this backend
 *     has stored.
 *
 * The first argument of every function is the backend's context: the guest's kernel has one
 * backend, a test in user space one for each guest.
 *
 * Contexts, as in c/shim/shim.h. *Atomic*: interrupts off, in reclaim, under locks of the mm: never
 * sleeps, never allocates. *Task*: may sleep; allocates nothing unless it says so, as it may be
 * what reclaim waits for (F4).
 */
#ifndef TMEM_BACKEND_H
#define TMEM_BACKEND_H

#include "tmem_abi.h"
#ifndef __KERNEL__
#include <stdbool.h>
#endif

struct module;
struct page;

struct tmem_backend {
	const char *name;     /* for logs */
	struct module *owner; /* held while registered; NULL in user space */
	void *context;

	/* Atomic. A new pool of a mount; @uuid: 16 bytes for a shared pool, else NULL. @was_member:
	 * this mount has been a member of the shared pool before, through whatever backend (R-a).
	 * Its number (>= 0) or a negative errno: the mount then has no pool, and is tried again
	 * when another pool goes. */
	int (*new_pool)(void *context, const uint8_t *uuid, bool was_member);
	/* Task. Destroys a private pool, leaves a shared one and waits until it is empty for
	 * everyone, or given up (R). */
	void (*destroy_pool)(void *context, int pool);

	/* Task, the page locked. 0: the page is filled. Else it may be in part. */
	int (*get)(void *context, int pool, const struct tmem_oid *oid, uint64_t index,
		   struct page *page);
	/* Atomic, the page locked. */
	void (*put)(void *context, int pool, const struct tmem_oid *oid, uint64_t index,
		    struct page *page);
	/* Atomic. */
	void (*flush_page)(void *context, int pool, const struct tmem_oid *oid, uint64_t index);
	/* Task. Of a shared pool it returns when no guest gets anything older any more (M). */
	void (*flush_object)(void *context, int pool, const struct tmem_oid *oid);

	/* Task; allocates. Swap area @type (0 .. 31) has @pages slots: 0 or a negative errno, then
	 * nothing is stored to it through this backend. */
	int (*area_new)(void *context, uint32_t type, uint64_t pages);
	/* Task, the page locked. 0: the host has the page (O). Else it does not, and nothing older.
	 */
	int (*store)(void *context, uint32_t type, uint64_t offset, struct page *page);
	/* Task, the page locked. 0, or it does not return (F2: what comes back else is a panic). */
	int (*load)(void *context, uint32_t type, uint64_t offset, struct page *page);
	/* Atomic. */
	void (*flush_slot)(void *context, uint32_t type, uint64_t offset);
	/* Task. The area is gone, with all that it has stored; a flush_slot that was late is
	 * dropped. */
	void (*area_gone)(void *context, uint32_t type);
};

/*
 * Every recorded mount gets a pool from @backend, every swap area is told to it; from here on it is
 * called. @backend stays as it is until it is unregistered. Task; allocates. 0; -EBUSY: there is a
 * backend already.
 */
int tmem_backend_register(const struct tmem_backend *backend);

/*
 * Detaches @backend: stores fail from now on; every pool is destroyed, in order (S2); then no call
 * comes any more. Mounts and areas stay recorded. Task. 0; -EBUSY: frontswap holds pages through it
 * (*@pages, if @pages is not NULL), nothing has changed and stores are taken again; swapoff brings
 * them home (F1). -ENOENT: it is not registered.
 */
int tmem_backend_unregister(const struct tmem_backend *backend, uint64_t *pages);

/* Random bytes that are the same for as long as this kernel runs, whatever is unloaded: the boot id
 * of every session with the host. Atomic. */
void tmem_backend_boot_id(uint8_t *id);

/*
 * The newest token whose echo the host has confirmed to a backend (R-a), kept from one that is
 * unloaded to the next: with one that is young enough the host lets the mounts join shared pools
 * again. 0: none, or there is a mount that stays out, which no other token may bring back. Task.
 */
void tmem_backend_keep_token(uint64_t token);
uint64_t tmem_backend_kept_token(void);

struct dentry;

/* /sys/kernel/debug/tmem, for a folder of the backend's own. */
struct dentry *tmem_backend_debugfs(void);

#endif
