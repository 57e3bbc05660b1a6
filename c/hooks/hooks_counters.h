/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Every counter of the hooks, declared once: the struct, the names that debugfs, Python and the
 * docs use, and the meanings all come from this list. X(name, "meaning"), in the order they are
 * shown.
 *
 * Of each get, put, store and load exactly one of the outcomes is counted. "No pool" is said of a
 * mount that a backend has refused one; while there is no backend it is "no backend".
 */
#ifndef TMEM_HOOKS_COUNTERS_H
#define TMEM_HOOKS_COUNTERS_H

#ifndef TMEM_CDEF
#ifdef __KERNEL__
#include <linux/types.h>
#else
#include <stdint.h>
#endif
#endif

#define TMEM_HOOKS_CLEANCACHE_COUNTERS(X)                                                          \
	X(gets_hit, "gets that the backend answered with a page")                                  \
	X(gets_missed, "gets that the backend answered without one")                               \
	X(gets_no_mount, "gets that missed: no mount has the id (any more)")                       \
	X(gets_no_backend, "gets that missed: no backend is attached")                             \
	X(gets_no_pool, "gets that missed: the backend has no pool for the mount")                 \
	X(gets_leaving, "gets that missed: the pool is being given up")                            \
	X(puts, "puts handed to the backend")                                                      \
	X(puts_no_mount, "puts dropped: no mount has the id (any more)")                           \
	X(puts_no_backend, "puts dropped: no backend is attached")                                 \
	X(puts_no_pool, "puts dropped: the backend has no pool for the mount")                     \
	X(puts_leaving, "puts dropped: the pool is being given up")                                \
	X(puts_compound, "puts refused and flushed: the page is part of a larger one (F6)")        \
	X(page_flushes, "invalidate_page handed to the backend")                                   \
	X(page_flushes_dropped, "invalidate_page without a pool to do it in")                      \
	X(object_flushes, "invalidate_inode handed to the backend")                                \
	X(object_flushes_leaving, "of those, while the pool was being given up (S2)")              \
	X(object_flushes_dropped, "invalidate_inode without a pool to do it in")

#define TMEM_HOOKS_FRONTSWAP_COUNTERS(X)                                                           \
	X(stores, "stores that the backend accepted")                                              \
	X(stores_refused, "stores that the backend refused")                                       \
	X(stores_no_backend, "stores refused: no backend is attached")                             \
	X(stores_stopped, "stores refused: the backend is being detached")                         \
	X(stores_no_area, "stores refused: the area is not recorded")                              \
	X(stores_area_refused, "stores refused: the backend has not taken the area")               \
	X(stores_beyond, "stores refused: the slot lies beyond what is kept track of")             \
	X(stores_compound, "stores refused and flushed: the page is part of a larger one (F6)")    \
	X(loads, "loads that the backend answered")                                                \
	X(loads_not_ours, "loads of slots that are not stored here")                               \
	X(loads_failed, "loads that the backend could not answer")                                 \
	X(slot_flushes, "invalidate_page of swap handed to the backend")                           \
	X(slot_flushes_not_ours, "invalidate_page of slots that are not stored here")

#define TMEM_HOOKS_LIFE_COUNTERS(X)                                                                \
	X(mounts, "mounts that were given an id")                                                  \
	X(mounts_uncured, "of those, private though asked for shared: cures are missing")          \
	X(mounts_page_size, "mounts refused: pages of another size than 4096 bytes")               \
	X(mounts_no_memory, "mounts refused: no memory to record them")                            \
	X(mounts_no_id, "mounts refused: every id was used")                                       \
	X(umounts, "mounts that are gone")                                                         \
	X(umounts_unknown, "invalidate_fs of an id that no mount has (any more)")                  \
	X(umounts_waited, "invalidate_fs that waited for another one of the same mount")           \
	X(pools_made, "pools made by a backend")                                                   \
	X(pools_refused, "pools that a backend refused")                                           \
	X(pools_destroyed, "pools destroyed or left")                                              \
	X(areas, "swap areas recorded")                                                            \
	X(areas_no_memory, "swap areas not recorded: no memory")                                   \
	X(areas_refused, "swap areas that a backend refused")                                      \
	X(areas_gone, "swap areas that are gone")                                                  \
	X(attached, "backends attached")                                                           \
	X(attach_busy, "backends refused: there was one")                                          \
	X(detached, "backends detached")                                                           \
	X(detach_busy, "detaches refused: frontswap held pages (F1)")

#define TMEM_HOOKS_COUNTERS(X)                                                                     \
	TMEM_HOOKS_CLEANCACHE_COUNTERS(X)                                                          \
	TMEM_HOOKS_FRONTSWAP_COUNTERS(X) TMEM_HOOKS_LIFE_COUNTERS(X)

#define TMEM_HOOKS_COUNTER_FIELD(name, meaning) uint64_t name;
struct tmem_hooks_counters {
	TMEM_HOOKS_COUNTERS(TMEM_HOOKS_COUNTER_FIELD)
};

/* Names and meanings in the order of the struct's fields, for whoever prints them. */
struct tmem_hooks_counter_text {
	const char *name;
	const char *meaning;
};
extern const struct tmem_hooks_counter_text tmem_hooks_counter_texts[];
extern const uint32_t tmem_hooks_counter_count;

#endif
