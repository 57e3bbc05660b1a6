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

/*
 * Whether the caller may sleep, or poll for what the host does. Asked before each wait of the shim
 * and the transport. False is a bug, and is said: who waits with interrupts off stops the machine.
 * in_atomic() would find more, but a kernel without PREEMPT_COUNT does not know.
 */
static inline bool tmem_platform_may_wait(void)
{
	return !WARN_ON_ONCE(irqs_disabled());
}

/*
 * Given by the transport. Task. Moves the bytes of the shim for a moment, since what @done waits
 * for is often there sooner than this task could sleep and be woken. Returns whether or not it is.
 */
void tmem_platform_poll(struct tmem_platform_done *done);

#endif
