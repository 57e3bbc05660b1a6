/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "locks.h"

#include <assert.h>
#include <stdlib.h>

#ifdef TMEM_DEBUG
/* How many locks of each rank this thread holds. */
static _Thread_local unsigned int held[TMEM_RANK_ARENA + 1];

void tmem_rank_enter(enum tmem_rank rank, bool blocking)
{
	if (blocking)
		for (int other = rank; other <= TMEM_RANK_ARENA; other++)
			assert(held[other] == 0 && "lock order, see locks.h");
	held[rank]++;
}

void tmem_rank_leave(enum tmem_rank rank)
{
	assert(held[rank] > 0);
	held[rank]--;
}

bool tmem_rank_held(enum tmem_rank rank)
{
	return held[rank] > 0;
}
#endif

void tmem_lock_init(struct tmem_lock *lock, enum tmem_rank rank)
{
	pthread_mutexattr_t attr;

	/* Whoever holds one is mostly done in less time than going to sleep takes. */
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_ADAPTIVE_NP);
	pthread_mutex_init(&lock->mutex, &attr);
	pthread_mutexattr_destroy(&attr);
#ifdef TMEM_DEBUG
	lock->rank = rank;
#else
	(void)rank;
#endif
}

void tmem_lock_deinit(struct tmem_lock *lock)
{
	pthread_mutex_destroy(&lock->mutex);
}

void tmem_rwlock_init(struct tmem_rwlock *lock)
{
	pthread_rwlockattr_t attr;

	pthread_rwlockattr_init(&attr);
	pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(&lock->rwlock, &attr);
	pthread_rwlockattr_destroy(&attr);
}

void tmem_rwlock_deinit(struct tmem_rwlock *lock)
{
	pthread_rwlock_destroy(&lock->rwlock);
}
