/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The seam between the shim and what it runs on. The shim calls no libc, no kernel function and no
 * system call but what stands here; user/ and kernel/ each give all of it.
 *
 * An implementation's header (user/platform_user.h, kernel/platform_kernel.h) brings the types
 *
 *   struct tmem_platform_lock     a lock that may be taken with interrupts off and by an interrupt:
 *                                 a spinlock in the kernel, a mutex in user space
 *   struct tmem_platform_done     one task waits for it, anybody signals it, once: a completion
 *
 * and memcpy, memset, memcmp, NULL, bool, the fixed-width integers.
 *
 * Contexts. A function marked *atomic* may be called with interrupts off, from an interrupt, in
 * reclaim, with locks held that are not the shim's: its implementation never sleeps and never
 * allocates. A function marked *task* may sleep; it is never called with the shim's lock held, and
 * it must not allocate either (F4: it may be what reclaim waits for).
 */
#ifndef TMEM_PLATFORM_H
#define TMEM_PLATFORM_H

#ifdef __KERNEL__
#include "kernel/platform_kernel.h"
#else
#include "user/platform_user.h"
#endif

/* Atomic. Taking it keeps this processor's interrupts off until it is given back; the value
 * returned says how they were, and is handed to unlock. The shim takes one lock at a time. */
void tmem_platform_lock_init(struct tmem_platform_lock *lock);
void tmem_platform_lock_destroy(struct tmem_platform_lock *lock);
unsigned long tmem_platform_lock(struct tmem_platform_lock *lock);
void tmem_platform_unlock(struct tmem_platform_lock *lock, unsigned long flags);

/* Atomic: init, signal. After signal the waiter may free @done at once: nothing of it is touched
 * once the waiter can see it. */
void tmem_platform_done_init(struct tmem_platform_done *done);
void tmem_platform_done_signal(struct tmem_platform_done *done);
/* Task. Whether it is signalled now, or after a moment in which the caller has done what there is
 * to do for it: what is waited for is often there sooner than a task could sleep and be woken.
 * Where nobody may sleep nothing is done for it, either. */
bool tmem_platform_done_poll(struct tmem_platform_done *done);
/*
 * Task. Until it is signalled, or for @timeout_ns (UINT64_MAX: however long). Not ended by a signal
 * of the process: what waits here holds page locks. Refused at once, and said in the log, where
 * nobody may sleep: a caller is wrong then, and a machine that stands still would not show it.
 */
enum tmem_platform_wait { TMEM_WAIT_SIGNALLED, TMEM_WAIT_TIMED_OUT, TMEM_WAIT_REFUSED };
enum tmem_platform_wait tmem_platform_done_wait(struct tmem_platform_done *done,
						uint64_t timeout_ns);

/* Atomic. A clock that never goes back and counts the time the machine sleeps (CLOCK_BOOTTIME,
 * ktime_get_boottime_ns). */
uint64_t tmem_platform_now_ns(void);

/* Atomic. Not for secrets: names HELLO attempts, seeds hash tables. */
uint32_t tmem_platform_random(void);

/*
 * Atomic. Copies TMEM_PAGE_BYTES out of a page of the front end, and @bytes from @at on into one.
 * @page is what the front end gave: bytes in user space, a struct page in the kernel (kmap_atomic
 * around the copy). page_read first makes the page's writers visible, as Xen's shim did with a full
 * barrier.
 */
void tmem_platform_page_read(void *to, const void *page);
void tmem_platform_page_write(void *page, uint32_t at, const void *from, uint32_t bytes);

#endif
