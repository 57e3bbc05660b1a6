/* SPDX-License-Identifier: GPL-2.0-or-later */
/* seam.h for user space: mutexes, conditions, and readers counted in two halves. */
#ifndef TMEM_SEAM_USER_H
#define TMEM_SEAM_USER_H

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "hooks_counters.h"

struct tmem_seam_mutex {
	pthread_mutex_t mutex;
};

void tmem_seam_mutex_init(struct tmem_seam_mutex *lock);
void tmem_seam_mutex_destroy(struct tmem_seam_mutex *lock);
void tmem_seam_mutex_lock(struct tmem_seam_mutex *lock);
void tmem_seam_mutex_unlock(struct tmem_seam_mutex *lock);

struct tmem_seam_lock {
	pthread_mutex_t mutex;
	pthread_cond_t woken;
	uint32_t sleepers; /* how many sleep: for tests, under the mutex */
};

void tmem_seam_lock_init(struct tmem_seam_lock *lock);
void tmem_seam_lock_destroy(struct tmem_seam_lock *lock);
unsigned long tmem_seam_lock(struct tmem_seam_lock *lock);
void tmem_seam_unlock(struct tmem_seam_lock *lock, unsigned long flags);
unsigned long tmem_seam_sleep(struct tmem_seam_lock *lock, unsigned long flags);
void tmem_seam_wake(struct tmem_seam_lock *lock);

struct tmem_seam_later {
	struct tmem_seam_later *next;
};

/*
 * A section counts itself in the half that is current. Whoever waits makes the other half current
 * and waits for the old one to empty, twice, as a section may have read which half is current and
 * not yet counted itself.
 */
struct tmem_seam_readers {
	pthread_mutex_t waiting; /* one at a time */
	pthread_mutex_t mutex;
	pthread_cond_t emptied;
	uint32_t current;
	uint32_t waiters;
	uint32_t active[2];
	struct tmem_seam_later *later; /* to be freed, under mutex */
};

int tmem_seam_readers_init(struct tmem_seam_readers *readers);
void tmem_seam_readers_destroy(struct tmem_seam_readers *readers);
int tmem_seam_enter(struct tmem_seam_readers *readers);
void tmem_seam_leave(struct tmem_seam_readers *readers, int at);
void tmem_seam_readers_wait(struct tmem_seam_readers *readers);
void tmem_seam_free_later(struct tmem_seam_readers *readers, struct tmem_seam_later *later);

struct tmem_seam_number {
	uint64_t value;
};

static inline void tmem_seam_add(struct tmem_seam_number *number, int64_t value)
{
	__atomic_fetch_add(&number->value, (uint64_t)value, __ATOMIC_SEQ_CST);
}

static inline uint64_t tmem_seam_read(struct tmem_seam_number *number)
{
	return __atomic_load_n(&number->value, __ATOMIC_SEQ_CST);
}

struct tmem_seam_counters {
	struct tmem_hooks_counters sum;
};

#define TMEM_SEAM_COUNT(counters, name)                                                            \
	__atomic_fetch_add(&(counters)->sum.name, 1, __ATOMIC_RELAXED)

int tmem_seam_counters_init(struct tmem_seam_counters *counters);
void tmem_seam_counters_destroy(struct tmem_seam_counters *counters);
void tmem_seam_counters_read(struct tmem_seam_counters *counters, struct tmem_hooks_counters *ret);

void *tmem_seam_allocate(size_t bytes);
void tmem_seam_free(void *memory);

#define TMEM_SEAM_LOAD(at) __atomic_load_n(at, __ATOMIC_ACQUIRE)
#define TMEM_SEAM_STORE(at, value) __atomic_store_n(at, value, __ATOMIC_RELEASE)

enum { TMEM_SEAM_BITS = 8 * sizeof(unsigned long) };

static inline unsigned long tmem_seam_mask(uint64_t bit)
{
	return 1ul << bit % TMEM_SEAM_BITS;
}

static inline void tmem_seam_set_bit(unsigned long *words, uint64_t bit)
{
	__atomic_fetch_or(&words[bit / TMEM_SEAM_BITS], tmem_seam_mask(bit), __ATOMIC_SEQ_CST);
}

static inline bool tmem_seam_test_bit(const unsigned long *words, uint64_t bit)
{
	return __atomic_load_n(&words[bit / TMEM_SEAM_BITS], __ATOMIC_SEQ_CST) &
	       tmem_seam_mask(bit);
}

static inline bool tmem_seam_take_bit(unsigned long *words, uint64_t bit)
{
	return __atomic_fetch_and(&words[bit / TMEM_SEAM_BITS], ~tmem_seam_mask(bit),
				  __ATOMIC_SEQ_CST) &
	       tmem_seam_mask(bit);
}

#endif
