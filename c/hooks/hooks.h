/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who is mounted, what is swapped on, and which backend is there: the table between the front ends
 * (cleancache and frontswap) and a backend (c/kmod/tmem_backend.h). All of them come and go in any
 * order and at the same time. The kernel module tmem_hooks and the front ends in user space are
 * this code; seam.h is what it asks of either.
 *
 * Every mount gets an id at once, whether a backend is there or not, and no id is given twice. A
 * mount has a pool while a backend is attached that gives it one. Without a pool puts and flushes
 * do nothing and gets miss. The rules by name are those of tests/model/lifecycle.pml.
 *
 * Contexts, as in tmem_backend.h: *atomic* calls neither sleep nor allocate. *Task* calls may
 * sleep, and allocate only where it says so. Lock order: attaching, areas, lock (hooks_table.h).
 */
#ifndef TMEM_HOOKS_H
#define TMEM_HOOKS_H

#include "tmem_abi.h"
#include "hooks_counters.h"
#ifndef TMEM_CDEF
#include "tmem_backend.h"
#endif

struct page; /* in user space whatever the backend takes for one */
struct tmem_backend;
struct tmem_hooks;

enum {
	TMEM_HOOKS_AREAS = 32, /* swap areas, by their type */
};

/* ---- cleancache ----------------------------------------------------------------------- */

/*
 * A new mount: its id, positive. @uuid: 16 bytes to share a pool by, NULL for a private one.
 * @renewed: it was a mount before, and goes on under a new id (S3), so it may have been a member.
 * -EOPNOTSUPP: @page_bytes is not 4096. -ENOMEM. -ENOSPC: the ids are used up. Task; allocates.
 */
int tmem_hooks_init_fs(struct tmem_hooks *hooks, uint64_t page_bytes, const uint8_t *uuid,
		       int renewed);

/*
 * The mount @id is gone. Returns when its pool has been destroyed, or left and emptied for everyone
 * (S2), to whoever calls it, at once or in vain; ids of no mount are ignored. Task.
 */
void tmem_hooks_invalidate_fs(struct tmem_hooks *hooks, int id);

/* 0 with the page filled, else -ENOENT. Task, the page locked. */
int tmem_hooks_get_page(struct tmem_hooks *hooks, int id, const struct tmem_oid *oid,
			uint64_t index, struct page *page);

/* Atomic, the page locked, and not part of a larger one. */
void tmem_hooks_put_page(struct tmem_hooks *hooks, int id, const struct tmem_oid *oid,
			 uint64_t index, struct page *page);

/* Instead of a put of a larger page: flushes the @count indexes from @index on (F6). Atomic. */
void tmem_hooks_refuse_put(struct tmem_hooks *hooks, int id, const struct tmem_oid *oid,
			   uint64_t index, uint64_t count);

/* Atomic. */
void tmem_hooks_invalidate_page(struct tmem_hooks *hooks, int id, const struct tmem_oid *oid,
				uint64_t index);

/* Nobody gets anything older of the object any more (M); while the pool is being given up it
 * returns when that has happened (S2). Task. */
void tmem_hooks_invalidate_inode(struct tmem_hooks *hooks, int id, const struct tmem_oid *oid);

/* ---- frontswap ------------------------------------------------------------------------ */

/*
 * Swap area @type is there; its slots from @pages on are not kept track of. Again for an area that
 * is recorded: nothing. 0, -EINVAL (@type, @pages), -ENOMEM: then all its stores are refused. Task,
 * one call for an area at a time; allocates.
 */
int tmem_hooks_area_init(struct tmem_hooks *hooks, uint32_t type, uint64_t pages);

/* 0: the backend has the page (O). Else -ENOENT or its refusal, and nothing older is there. Task,
 * the page locked, and not part of a larger one. */
int tmem_hooks_store(struct tmem_hooks *hooks, uint32_t type, uint64_t offset, struct page *page);

/* Instead of a store of a larger page: flushes the @count slots from @offset on (F6). Task. */
void tmem_hooks_refuse_store(struct tmem_hooks *hooks, uint32_t type, uint64_t offset,
			     uint64_t count);

/*
 * 0 with the page filled. -ENOENT: the slot is not stored here. Else what the backend says, which
 * the caller must not take for "read the disk": nothing was written there (F2). Task, the page
 * locked.
 */
int tmem_hooks_load(struct tmem_hooks *hooks, uint32_t type, uint64_t offset, struct page *page);

/* Atomic. */
void tmem_hooks_invalidate_slot(struct tmem_hooks *hooks, uint32_t type, uint64_t offset);

/* Swap area @type is gone, and all that was stored of it. Task. */
void tmem_hooks_area_gone(struct tmem_hooks *hooks, uint32_t type);

/* ---- backends ------------------------------------------------------------------------- */

/* tmem_backend_register, without holding backend->owner. */
int tmem_hooks_attach(struct tmem_hooks *hooks, const struct tmem_backend *backend);

/* tmem_backend_unregister. */
int tmem_hooks_detach(struct tmem_hooks *hooks, const struct tmem_backend *backend,
		      uint64_t *pages);

/* ---- looking at it (atomic) ----------------------------------------------------------- */

enum tmem_hooks_pool_state {
	TMEM_HOOKS_POOL_NONE = 0,
	TMEM_HOOKS_POOL_OPEN = 1,
	TMEM_HOOKS_POOL_LEAVING = 2,
};

struct tmem_hooks_mount_info {
	int32_t id;
	int32_t pool;       /* the backend's number; -1: none */
	uint32_t state;     /* enum tmem_hooks_pool_state */
	uint8_t shared;     /* asks for a shared pool, by uuid */
	uint8_t was_member; /* has had one before (R-a) */
	uint8_t uuid[16];
};

/* The mount with the smallest id above @after (0: the first), or -ENOENT. */
int tmem_hooks_mount_info(struct tmem_hooks *hooks, int after, struct tmem_hooks_mount_info *ret);

struct tmem_hooks_area_info {
	uint64_t pages; /* that are kept track of */
	uint64_t held;  /* that the backend has */
	uint8_t taken;  /* by the backend */
};

/* 0, or -ENOENT. */
int tmem_hooks_area_info(struct tmem_hooks *hooks, uint32_t type, struct tmem_hooks_area_info *ret);

struct tmem_hooks_info {
	uint32_t mounts;
	uint32_t pools;
	uint32_t areas;
	uint8_t attached;
	uint8_t detaching;
	uint64_t frontswap_pages; /* held by the backend, of all areas */
};
void tmem_hooks_info(struct tmem_hooks *hooks, struct tmem_hooks_info *ret);

void tmem_hooks_counters(struct tmem_hooks *hooks, struct tmem_hooks_counters *ret);

#endif
