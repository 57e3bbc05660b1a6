/* SPDX-License-Identifier: GPL-2.0-or-later */
/* platform.h for the kernel: a spinlock, a completion, the boot-time clock. */
#ifndef TMEM_PLATFORM_KERNEL_H
#define TMEM_PLATFORM_KERNEL_H

#include <linux/bug.h>
#include <linux/completion.h>
#include <linux/irqflags.h>
#include <linux/kernel.h>
#include <linux/spinlock.h>
#include <linux/string.h>
#include <linux/types.h>

#define INT32_MAX S32_MAX
#define UINT32_MAX U32_MAX
#define UINT64_MAX U64_MAX

struct tmem_platform_lock {
	spinlock_t spin;
};

struct tmem_platform_done {
	struct completion completion;
};

/* Inline, as each operation takes several. */
static inline unsigned long tmem_platform_lock(struct tmem_platform_lock *lock)
{
	unsigned long flags;

	spin_lock_irqsave(&lock->spin, flags);
	return flags;
}

static inline void tmem_platform_unlock(struct tmem_platform_lock *lock, unsigned long flags)
{
	spin_unlock_irqrestore(&lock->spin, flags);
}

/*
 * Whether the caller may sleep, or poll for what the host does. Asked before each wait of the shim
 * and the transport. False is a bug, and is said: who waits with interrupts off stops the machine.
 * in_atomic() would find more, but a kernel without PREEMPT_COUNT does not know.
 */
static inline bool tmem_platform_may_wait(void)
{
	return !WARN_ON_ONCE(irqs_disabled());
}

/* tmem_platform_done_poll is given by the transport: it moves the bytes of the shim. */

#endif
