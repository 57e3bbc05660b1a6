/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What every file of the shim uses: its lock, its clock, hashes of handles. Included by core.h. */
#ifndef TMEM_SHIM_BASICS_H
#define TMEM_SHIM_BASICS_H

/* The lock; giving it up tells the callbacks what happened under it. */
static inline unsigned long tmem_shim_lock(struct tmem_shim *shim)
{
	unsigned long flags = tmem_platform_lock(&shim->lock);

	shim->now_ns = 0;
	return flags;
}

void tmem_shim_unlock_and_tell(struct tmem_shim *shim, unsigned long flags);
static inline void tmem_shim_unlock(struct tmem_shim *shim, unsigned long flags)
{
	if (shim->event_count || shim->wake_wanted)
		tmem_shim_unlock_and_tell(shim, flags);
	else
		tmem_platform_unlock(&shim->lock, flags);
}

/* The time, the same for as long as the lock is held. */
uint64_t tmem_shim_read_clock(struct tmem_shim *shim);
static inline uint64_t tmem_shim_now(struct tmem_shim *shim)
{
	return shim->now_ns ? shim->now_ns : tmem_shim_read_clock(shim);
}

void tmem_shim_tell(struct tmem_shim *shim, int event, int64_t code);

static inline uint64_t tmem_shim_mix(uint64_t hash, uint64_t word)
{
	hash = (hash ^ word) * 0xbf58476d1ce4e5b9ull;
	return hash ^ hash >> 32;
}

/* Without the lock, too. Each get and each put makes one or more, and nobody is kept out by them: a
 * guest that has them collide makes its own calls slow. The last step is that of splitmix64. */
static inline uint64_t tmem_shim_hash(const struct tmem_shim *shim, uint32_t pool,
				      const struct tmem_oid *oid, uint64_t index)
{
	uint64_t hash = tmem_shim_mix(shim->seed, pool);

	for (int i = 0; i < TMEM_OID_WORDS; i++)
		hash = tmem_shim_mix(hash, oid->words[i]);
	hash = tmem_shim_mix(hash, index) * 0x94d049bb133111ebull;
	return hash ^ hash >> 31;
}

static inline bool tmem_oid_equal(const struct tmem_oid *a, const struct tmem_oid *b)
{
	return a->words[0] == b->words[0] && a->words[1] == b->words[1] &&
	       a->words[2] == b->words[2];
}

#endif
