// SPDX-License-Identifier: GPL-2.0-or-later
#include "seam.h"

/* ---- locks ----------------------------------------------------------------------------- */

void tmem_seam_mutex_init(struct tmem_seam_mutex *lock)
{
	pthread_mutex_init(&lock->mutex, NULL);
}

void tmem_seam_mutex_destroy(struct tmem_seam_mutex *lock)
{
	pthread_mutex_destroy(&lock->mutex);
}

void tmem_seam_mutex_lock(struct tmem_seam_mutex *lock)
{
	pthread_mutex_lock(&lock->mutex);
}

void tmem_seam_mutex_unlock(struct tmem_seam_mutex *lock)
{
	pthread_mutex_unlock(&lock->mutex);
}

void tmem_seam_lock_init(struct tmem_seam_lock *lock)
{
	pthread_mutex_init(&lock->mutex, NULL);
	pthread_cond_init(&lock->woken, NULL);
}

void tmem_seam_lock_destroy(struct tmem_seam_lock *lock)
{
	pthread_cond_destroy(&lock->woken);
	pthread_mutex_destroy(&lock->mutex);
}

unsigned long tmem_seam_lock(struct tmem_seam_lock *lock)
{
	pthread_mutex_lock(&lock->mutex);
	return 0;
}

void tmem_seam_unlock(struct tmem_seam_lock *lock, unsigned long flags)
{
	(void)flags;
	pthread_mutex_unlock(&lock->mutex);
}

unsigned long tmem_seam_sleep(struct tmem_seam_lock *lock, unsigned long flags)
{
	lock->sleepers++;
	pthread_cond_wait(&lock->woken, &lock->mutex);
	lock->sleepers--;
	return flags;
}

void tmem_seam_wake(struct tmem_seam_lock *lock)
{
	pthread_cond_broadcast(&lock->woken);
}

/* ---- readers ---------------------------------------------------------------------------- */

int tmem_seam_readers_init(struct tmem_seam_readers *readers)
{
	pthread_mutex_init(&readers->waiting, NULL);
	pthread_mutex_init(&readers->mutex, NULL);
	pthread_cond_init(&readers->emptied, NULL);
	return 0;
}

static void free_all(struct tmem_seam_later *later)
{
	while (later) {
		struct tmem_seam_later *next = later->next;

		free(later);
		later = next;
	}
}

void tmem_seam_readers_destroy(struct tmem_seam_readers *readers)
{
	free_all(readers->later);
	pthread_cond_destroy(&readers->emptied);
	pthread_mutex_destroy(&readers->mutex);
	pthread_mutex_destroy(&readers->waiting);
}

static uint32_t active(struct tmem_seam_readers *readers, uint32_t half)
{
	return __atomic_load_n(&readers->active[half], __ATOMIC_SEQ_CST);
}

int tmem_seam_enter(struct tmem_seam_readers *readers)
{
	uint32_t half = __atomic_load_n(&readers->current, __ATOMIC_SEQ_CST) & 1;

	__atomic_fetch_add(&readers->active[half], 1, __ATOMIC_SEQ_CST);
	return (int)half;
}

void tmem_seam_leave(struct tmem_seam_readers *readers, int at)
{
	if (__atomic_sub_fetch(&readers->active[at], 1, __ATOMIC_SEQ_CST) != 0 ||
	    __atomic_load_n(&readers->waiters, __ATOMIC_SEQ_CST) == 0)
		return;
	pthread_mutex_lock(&readers->mutex);
	pthread_cond_broadcast(&readers->emptied);
	pthread_mutex_unlock(&readers->mutex);
}

static void flip_and_wait(struct tmem_seam_readers *readers)
{
	uint32_t half = __atomic_fetch_add(&readers->current, 1, __ATOMIC_SEQ_CST) & 1;

	while (active(readers, half))
		pthread_cond_wait(&readers->emptied, &readers->mutex);
}

void tmem_seam_readers_wait(struct tmem_seam_readers *readers)
{
	struct tmem_seam_later *later;

	pthread_mutex_lock(&readers->waiting);
	pthread_mutex_lock(&readers->mutex);
	later = readers->later;
	readers->later = NULL;
	__atomic_store_n(&readers->waiters, 1, __ATOMIC_SEQ_CST);
	flip_and_wait(readers);
	flip_and_wait(readers);
	__atomic_store_n(&readers->waiters, 0, __ATOMIC_SEQ_CST);
	pthread_mutex_unlock(&readers->mutex);
	pthread_mutex_unlock(&readers->waiting);
	free_all(later);
}

/* Who was in a section when this began is seen in one of the halves, or has left. */
void tmem_seam_free_later(struct tmem_seam_readers *readers, struct tmem_seam_later *later)
{
	struct tmem_seam_later *all;

	pthread_mutex_lock(&readers->mutex);
	later->next = readers->later;
	all = later;
	if (active(readers, 0) || active(readers, 1)) {
		readers->later = all;
		all = NULL;
	} else {
		readers->later = NULL;
	}
	pthread_mutex_unlock(&readers->mutex);
	free_all(all);
}

/* ---- counters, memory -------------------------------------------------------------------- */

int tmem_seam_counters_init(struct tmem_seam_counters *counters)
{
	memset(counters, 0, sizeof(*counters));
	return 0;
}

void tmem_seam_counters_destroy(struct tmem_seam_counters *counters)
{
	(void)counters;
}

void tmem_seam_counters_read(struct tmem_seam_counters *counters, struct tmem_hooks_counters *ret)
{
	uint64_t *from = (uint64_t *)&counters->sum, *to = (uint64_t *)ret;

	for (size_t i = 0; i < sizeof(*ret) / sizeof(*to); i++)
		to[i] = __atomic_load_n(&from[i], __ATOMIC_RELAXED);
}

void *tmem_seam_allocate(size_t bytes)
{
	return calloc(1, bytes);
}

void tmem_seam_free(void *memory)
{
	free(memory);
}
