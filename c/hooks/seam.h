/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The seam between the table of the hooks and what it runs on. kernel/seam_kernel.h and
 * user/seam_user.h bring the types and every function, inline where it is hot.
 *
 *   struct tmem_seam_mutex     held over waits and allocations
 *       _init, _lock, _unlock
 *   struct tmem_seam_lock      taken with interrupts off, in any context
 *       _init
 *       flags = tmem_seam_lock(lock), tmem_seam_unlock(lock, flags)
 *       flags = tmem_seam_sleep(lock, flags): task; gives the lock back, sleeps until
 *           tmem_seam_wake (at least), and takes it again. Not ended by signals
 *       tmem_seam_wake(lock): with the lock held
 *   struct tmem_seam_readers   read sections: any context, may sleep inside
 *       _init (0 or -ENOMEM), _destroy
 *       at = tmem_seam_enter(readers), tmem_seam_leave(readers, at)
 *       tmem_seam_readers_wait(readers): task; every section that was entered before has been left
 *       tmem_seam_free_later(readers, later): any context; frees the allocation that begins with
 *           @later after such a wait, which it does not wait for
 *   struct tmem_seam_later     room for that, at the beginning of an allocation
 *   struct tmem_seam_number    counts from many processors: _add, _read
 *   struct tmem_seam_counters  struct tmem_hooks_counters, cheap to count in any context
 *       _init (0 or -ENOMEM), _destroy
 *       TMEM_SEAM_COUNT(counters, name), tmem_seam_counters_read(counters, ret)
 *
 *   tmem_seam_allocate(bytes)  task; zeroed, or NULL; tmem_seam_free
 *   TMEM_SEAM_LOAD(at), TMEM_SEAM_STORE(at, value): what was written before the store is seen
 *       after the load
 *   tmem_seam_set_bit, tmem_seam_test_bit, tmem_seam_take_bit (clears; was it set?): atomic on
 *       words of unsigned long
 */
#ifndef TMEM_HOOKS_SEAM_H
#define TMEM_HOOKS_SEAM_H

#ifdef __KERNEL__
#include "kernel/seam_kernel.h"
#else
#include "user/seam_user.h"
#endif

#endif
