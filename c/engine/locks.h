/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The engine's locks, and the order in which they may be taken.
 *
 * LOCK ORDER (a thread that blocks on a lock holds only locks above it in this list):
 *   client    one for each client: its control calls, one at a time
 *   control   one: the registry of clients, pools, members and their rows
 *   owners    rwlock: which pools are charged to which client (reclaim reads it)
 *   shard     objects and pages whose object hash falls into the shard
 *   group     one for each trust group: shared contents and their reference counts
 *   list      one for each pool: its page list, page count and charge
 *   class     one for each size class: free slots of its extents
 *   arena     extents: idle list, reservation, budget
 * Locks of one kind are never nested. A trylock may break the order (reclaim goes list -> shard by
 * trylock and skips what is busy, rule 41). Debug builds (TMEM_DEBUG) assert all of this.
 */
#ifndef TMEM_LOCKS_H
#define TMEM_LOCKS_H

#include <pthread.h>
#include <stdbool.h>

enum tmem_rank {
	TMEM_RANK_CLIENT = 1,
	TMEM_RANK_CONTROL,
	TMEM_RANK_OWNERS,
	TMEM_RANK_SHARD,
	TMEM_RANK_GROUP,
	TMEM_RANK_LIST,
	TMEM_RANK_CLASS,
	TMEM_RANK_ARENA,
};

struct tmem_lock {
	pthread_mutex_t mutex;
#ifdef TMEM_DEBUG
	enum tmem_rank rank;
#endif
};

struct tmem_rwlock {
	pthread_rwlock_t rwlock;
};

#ifdef TMEM_DEBUG
void tmem_rank_enter(enum tmem_rank rank, bool blocking);
void tmem_rank_leave(enum tmem_rank rank);
bool tmem_rank_held(enum tmem_rank rank);
#define TMEM_RANK_ENTER(rank, blocking) tmem_rank_enter(rank, blocking)
#define TMEM_RANK_LEAVE(rank) tmem_rank_leave(rank)
#define TMEM_ASSERT_HELD(rank) assert(tmem_rank_held(rank))
#else
#define TMEM_RANK_ENTER(rank, blocking) ((void)0)
#define TMEM_RANK_LEAVE(rank) ((void)0)
#define TMEM_ASSERT_HELD(rank) ((void)0)
#endif

void tmem_lock_init(struct tmem_lock *lock, enum tmem_rank rank);
void tmem_lock_deinit(struct tmem_lock *lock);
/* Prefers writers: a stream of readers never starves a control call. Readers do not nest. */
void tmem_rwlock_init(struct tmem_rwlock *lock);
void tmem_rwlock_deinit(struct tmem_rwlock *lock);

static inline void tmem_lock(struct tmem_lock *lock)
{
	TMEM_RANK_ENTER(lock->rank, true);
	pthread_mutex_lock(&lock->mutex);
}

static inline bool tmem_trylock(struct tmem_lock *lock)
{
	if (pthread_mutex_trylock(&lock->mutex) != 0)
		return false;
	TMEM_RANK_ENTER(lock->rank, false);
	return true;
}

static inline void tmem_unlock(struct tmem_lock *lock)
{
	TMEM_RANK_LEAVE(lock->rank);
	pthread_mutex_unlock(&lock->mutex);
}

static inline void tmem_read_lock(struct tmem_rwlock *lock)
{
	TMEM_RANK_ENTER(TMEM_RANK_OWNERS, true);
	pthread_rwlock_rdlock(&lock->rwlock);
}

static inline void tmem_write_lock(struct tmem_rwlock *lock)
{
	TMEM_RANK_ENTER(TMEM_RANK_OWNERS, true);
	pthread_rwlock_wrlock(&lock->rwlock);
}

static inline void tmem_rw_unlock(struct tmem_rwlock *lock)
{
	TMEM_RANK_LEAVE(TMEM_RANK_OWNERS);
	pthread_rwlock_unlock(&lock->rwlock);
}

#endif
