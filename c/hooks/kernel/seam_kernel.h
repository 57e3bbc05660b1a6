/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef TMEM_SEAM_KERNEL_H
#define TMEM_SEAM_KERNEL_H

#include <linux/atomic.h>
#include <linux/bitops.h>
#include <linux/bug.h>
#include <linux/errno.h>
#include <linux/irqflags.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/percpu.h>
#include <linux/spinlock.h>
#include <linux/srcu.h>
#include <linux/string.h>
#include <linux/wait.h>

#include "hooks_counters.h"

struct tmem_seam_mutex {
	struct mutex mutex;
};

#define tmem_seam_mutex_init(lock) mutex_init(&(lock)->mutex)

static inline void tmem_seam_mutex_lock(struct tmem_seam_mutex *lock)
{
	mutex_lock(&lock->mutex);
}

static inline void tmem_seam_mutex_unlock(struct tmem_seam_mutex *lock)
{
	mutex_unlock(&lock->mutex);
}

static inline void tmem_seam_mutex_destroy(struct tmem_seam_mutex *lock)
{
	mutex_destroy(&lock->mutex);
}

struct tmem_seam_lock {
	spinlock_t lock;
	wait_queue_head_t sleepers;
};

#define tmem_seam_lock_init(seam_lock)                                                             \
	do {                                                                                       \
		spin_lock_init(&(seam_lock)->lock);                                                \
		init_waitqueue_head(&(seam_lock)->sleepers);                                       \
	} while (0)

static inline void tmem_seam_lock_destroy(struct tmem_seam_lock *lock)
{
}

static inline unsigned long tmem_seam_lock(struct tmem_seam_lock *lock)
{
	unsigned long flags;

	spin_lock_irqsave(&lock->lock, flags);
	return flags;
}

static inline void tmem_seam_unlock(struct tmem_seam_lock *lock, unsigned long flags)
{
	spin_unlock_irqrestore(&lock->lock, flags);
}

static inline unsigned long tmem_seam_sleep(struct tmem_seam_lock *lock, unsigned long flags)
{
	DEFINE_WAIT(wait);

	/* a bug of who calls: the machine would stand still */
	WARN_ON_ONCE(irqs_disabled_flags(flags));
	prepare_to_wait(&lock->sleepers, &wait, TASK_UNINTERRUPTIBLE);
	spin_unlock_irqrestore(&lock->lock, flags);
	schedule();
	finish_wait(&lock->sleepers, &wait);
	spin_lock_irqsave(&lock->lock, flags);
	return flags;
}

static inline void tmem_seam_wake(struct tmem_seam_lock *lock)
{
	wake_up_all(&lock->sleepers);
}

struct tmem_seam_readers {
	struct srcu_struct srcu;
};

struct tmem_seam_later {
	struct rcu_head head;
};

#define tmem_seam_readers_init(readers) init_srcu_struct(&(readers)->srcu)

static inline void tmem_seam_readers_destroy(struct tmem_seam_readers *readers)
{
	srcu_barrier(&readers->srcu);
	cleanup_srcu_struct(&readers->srcu);
}

static inline int tmem_seam_enter(struct tmem_seam_readers *readers)
{
	return srcu_read_lock(&readers->srcu);
}

static inline void tmem_seam_leave(struct tmem_seam_readers *readers, int at)
{
	srcu_read_unlock(&readers->srcu, at);
}

static inline void tmem_seam_readers_wait(struct tmem_seam_readers *readers)
{
	WARN_ON_ONCE(irqs_disabled());
	synchronize_srcu_expedited(&readers->srcu);
}

static inline void tmem_seam_free_now(struct rcu_head *head)
{
	kvfree(container_of(head, struct tmem_seam_later, head));
}

static inline void tmem_seam_free_later(struct tmem_seam_readers *readers,
					struct tmem_seam_later *later)
{
	call_srcu(&readers->srcu, &later->head, tmem_seam_free_now);
}

struct tmem_seam_number {
	atomic64_t value;
};

static inline void tmem_seam_add(struct tmem_seam_number *number, int64_t value)
{
	atomic64_add(value, &number->value);
}

static inline uint64_t tmem_seam_read(struct tmem_seam_number *number)
{
	return atomic64_read(&number->value);
}

struct tmem_seam_counters {
	struct tmem_hooks_counters __percpu *each;
};

#define TMEM_SEAM_COUNT(counters, name) this_cpu_inc((counters)->each->name)

static inline int tmem_seam_counters_init(struct tmem_seam_counters *counters)
{
	counters->each = alloc_percpu(struct tmem_hooks_counters);
	return counters->each ? 0 : -ENOMEM;
}

static inline void tmem_seam_counters_destroy(struct tmem_seam_counters *counters)
{
	free_percpu(counters->each);
}

static inline void tmem_seam_counters_read(struct tmem_seam_counters *counters,
					   struct tmem_hooks_counters *ret)
{
	u64 *sums = (u64 *)ret;
	unsigned int cpu, i;

	memset(ret, 0, sizeof(*ret));
	for_each_possible_cpu(cpu)
	{
		const u64 *each = (const u64 *)per_cpu_ptr(counters->each, cpu);

		for (i = 0; i < sizeof(*ret) / sizeof(u64); i++)
			sums[i] += READ_ONCE(each[i]);
	}
}

/* A mount may come in the recovery of a file system, which says what it may wait for. */
static inline void *tmem_seam_allocate(size_t bytes)
{
	return kvzalloc(bytes, GFP_KERNEL);
}

static inline void tmem_seam_free(void *memory)
{
	kvfree(memory);
}

#define TMEM_SEAM_LOAD(at) smp_load_acquire(at)
#define TMEM_SEAM_STORE(at, value) smp_store_release(at, value)

static inline void tmem_seam_set_bit(unsigned long *words, uint64_t bit)
{
	set_bit(bit, words);
}

static inline bool tmem_seam_test_bit(const unsigned long *words, uint64_t bit)
{
	return test_bit(bit, words);
}

static inline bool tmem_seam_take_bit(unsigned long *words, uint64_t bit)
{
	return test_and_clear_bit(bit, words);
}

#endif
