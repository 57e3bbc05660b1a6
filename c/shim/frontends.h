/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The two front ends of Linux 5.10 on top of the shim: what cleancache and frontswap call, with
 * their names, and what each call becomes. docs/shim.md compares them with Xen's
 * drivers/xen/tmem.c. Results are enum tmem_result; the kernel's hooks turn them into 0 and -1.
 */
#ifndef TMEM_FRONTENDS_H
#define TMEM_FRONTENDS_H

#include "shim.h"

/* ---- cleancache ----------------------------------------------------------------------- */

/* Task. The pool's id, or TMEM_EOPNOTSUPP (another page size), TMEM_EMFILE. */
int tmem_cleancache_init_fs(struct tmem_shim *shim, uint64_t page_bytes);
int tmem_cleancache_init_shared_fs(struct tmem_shim *shim, const uint8_t *uuid,
				   uint64_t page_bytes);
/* The same for a mount that has been a member before (tmem_shim_rejoin_pool). */
int tmem_cleancache_rejoin_shared_fs(struct tmem_shim *shim, const uint8_t *uuid,
				     uint64_t page_bytes);

/* Task, the page locked. */
int tmem_cleancache_get_page(struct tmem_shim *shim, uint32_t pool, const struct tmem_oid *oid,
			     uint64_t index, void *page);

#ifndef TMEM_CDEF
/* Atomic, without a lock. Whether a get of it would miss without having done anything (T); then it
 * is counted as one that has. What most gets of a cold read are: a caller that asks is spared the
 * rest of a get, and what it does beside one. */
bool tmem_cleancache_surely_absent(struct tmem_shim *shim, uint32_t pool,
				   const struct tmem_oid *oid, uint64_t index);
#endif

/* Atomic. A page that cannot be queued is flushed (L); the caller refuses compound pages. */
void tmem_cleancache_put_page(struct tmem_shim *shim, uint32_t pool, const struct tmem_oid *oid,
			      uint64_t index, const void *page);

/* Atomic. */
void tmem_cleancache_invalidate_page(struct tmem_shim *shim, uint32_t pool,
				     const struct tmem_oid *oid, uint64_t index);

/* Task. On a shared pool it waits for the host (M), unless nothing of the object was put since the
 * last flush that was acknowledged was issued (F10). */
void tmem_cleancache_invalidate_inode(struct tmem_shim *shim, uint32_t pool,
				      const struct tmem_oid *oid);

/* The same for a caller that has something else to do: TMEM_DONE, or TMEM_SHIM_PENDING, then it is
 * for tmem_shim_wait or tmem_shim_finished. Atomic. */
int tmem_cleancache_invalidate_inode_start(struct tmem_shim *shim, uint32_t pool,
					   const struct tmem_oid *oid,
					   struct tmem_shim_request *request);

/* Task. Leaves the pool; on a shared one it waits for the host (M, S2). */
void tmem_cleancache_invalidate_fs(struct tmem_shim *shim, uint32_t pool);

/* ---- frontswap ------------------------------------------------------------------------ */

/* Bytes of memory that a swap area of @pages needs for its owed flushes: a bit a page. */
uint64_t tmem_frontswap_area_bytes(uint64_t pages);

/*
 * Task. Swap area @type (0 .. 31) has up to @pages slots; stores beyond them are refused. @memory:
 * tmem_frontswap_area_bytes(pages) bytes, at a multiple of 8, the shim's until
 * tmem_frontswap_forget_area. All areas share one persistent pool, as with Xen; the caller makes
 * one call at a time (swapon_mutex). TMEM_DONE,
 * TMEM_EINVAL (no such type), TMEM_EMFILE (no pool left). Again for an area that has its memory:
 * nothing happens, TMEM_EEXIST.
 */
int tmem_frontswap_init(struct tmem_shim *shim, uint32_t type, uint64_t pages, void *memory);

#ifndef TMEM_CDEF
/* The memory that the backend of a swap area has lent the shim. It outlives the area, and serves
 * the next one of the same size. All zero: none. */
struct tmem_area_memory {
	void *memory;
	uint64_t pages;
};

/*
 * Task. The same for a backend that keeps the memory in @lent, from @allocate and to @release:
 * TMEM_DONE, also where the area has its memory; TMEM_EBUSY: it has some of another size, and
 * without the host it can not pay what it owes; TMEM_ENOMEM, TMEM_EINVAL, TMEM_EMFILE.
 */
int tmem_frontswap_lend(struct tmem_shim *shim, uint32_t type, uint64_t pages,
			struct tmem_area_memory *lent, void *(*allocate)(uint64_t bytes),
			void (*release)(void *memory));
#endif

/* Task, the page locked. TMEM_DONE only when the host has the page (O). */
int tmem_frontswap_store(struct tmem_shim *shim, uint32_t type, uint64_t offset, const void *page);

/* Task, the page locked. TMEM_DONE; waits for a broken channel (P). TMEM_EUCLEAN where the callback
 * lost() says so. */
int tmem_frontswap_load(struct tmem_shim *shim, uint32_t type, uint64_t offset, void *page);

/* Both, up to the point at which they would wait: TMEM_SHIM_PENDING, or what they would return (a
 * load without lost()). Atomic. */
int tmem_frontswap_store_start(struct tmem_shim *shim, uint32_t type, uint64_t offset,
			       const void *page, struct tmem_shim_request *request);
int tmem_frontswap_load_start(struct tmem_shim *shim, uint32_t type, uint64_t offset, void *page,
			      struct tmem_shim_request *request);

/* Atomic: with interrupts off, in bursts of hundreds of thousands. */
void tmem_frontswap_invalidate_page(struct tmem_shim *shim, uint32_t type, uint64_t offset);

/* Task. */
void tmem_frontswap_invalidate_area(struct tmem_shim *shim, uint32_t type);

/* Task. Waits until nothing of the area is owed any more (at most @timeout_ms: then TMEM_EBUSY) and
 * gives its memory back to the caller. TMEM_DONE. */
int tmem_frontswap_forget_area(struct tmem_shim *shim, uint32_t type, uint32_t timeout_ms);

#endif
