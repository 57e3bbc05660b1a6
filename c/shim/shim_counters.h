/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Every counter of the shim, declared once: the struct, the names that Python, debugfs and the docs
 * use, and the meanings all come from this list. X(name, "meaning"), in the order they are shown.
 *
 * Of each put, get, store and load exactly one of the outcomes is counted. A store is a put, too,
 * and counted as one besides.
 */
#ifndef TMEM_SHIM_COUNTERS_H
#define TMEM_SHIM_COUNTERS_H

#ifndef TMEM_CDEF
#ifdef __KERNEL__
#include <linux/types.h>
#else
#include <stdint.h>
#endif
#endif

#define TMEM_SHIM_PUT_OUTCOMES(X)                                                                  \
	X(puts_queued, "puts that were queued")                                                    \
	X(puts_no_pool, "puts dropped: the pool is not there (yet, or any more)")                  \
	X(puts_owed, "puts dropped: a flush of the handle is owed")                                \
	X(puts_no_room, "puts that became flushes: no staging slot was free")                      \
	X(puts_down, "puts that became flushes: no session")                                       \
	X(puts_stopped, "puts into persistent pools that became flushes: stores were stopped")

#define TMEM_SHIM_GET_OUTCOMES(X)                                                                  \
	X(gets_staged, "gets answered by a put that was still on its way")                         \
	X(gets_landed, "gets answered by a page that had been fetched ahead")                      \
	X(gets_hit, "gets that the host answered with a page")                                     \
	X(gets_missed, "gets that the host answered without one")                                  \
	X(gets_flushed, "gets that missed: a flush was still on its way, or owed")                 \
	X(gets_negative, "gets that missed without asking: the summary said so")                   \
	X(gets_no_pool, "gets that missed: the pool is not there (yet, or any more)")              \
	X(gets_no_room, "gets that missed: the queue was full")                                    \
	X(gets_down, "gets that missed: no session, or it broke")                                  \
	X(gets_late, "gets that missed: the host took too long")

/* One that fails is called like the counter of puts that fail for the same reason. */
#define TMEM_SHIM_STORE_OUTCOMES(X)                                                                \
	X(stores, "frontswap stores that the host accepted")                                       \
	X(stores_no_pool, "stores that failed: there is no pool or area, or no such slot in it")   \
	X(stores_owed, "stores that failed: a flush of the slot's object is owed")                 \
	X(stores_no_room, "stores that failed: no staging slot came free in time")                 \
	X(stores_down, "stores that failed: no session, or it broke")                              \
	X(stores_stopped, "stores that failed: stores were stopped")                               \
	X(stores_late, "stores that failed: the host took too long")                               \
	X(stores_refused_full, "stores that the host refused: it had no room")                     \
	X(stores_refused_quota, "stores that the host refused: over the client's cap or quota")    \
	X(stores_refused_frozen, "stores that the host refused: the client is frozen")             \
	X(stores_refused_unserved, "stores that the host refused: the pool is not served")         \
	X(stores_refused_dropped, "stores that the host refused, and dropped the older page (B)")  \
	X(stores_refused_other, "stores that the host refused for another reason")

#define TMEM_SHIM_OTHER_COUNTERS(X)                                                                \
	X(puts_waited, "puts that somebody waited for and that waited for room first")             \
	X(puts_stored, "puts that the host stored, as far as it says so one by one")               \
	X(puts_refused_full, "puts that the host refused: it had no room")                         \
	X(puts_refused_quota, "puts that the host refused: over the client's cap or quota")        \
	X(puts_refused_frozen, "puts that the host refused: the client is frozen")                 \
	X(puts_refused_unserved, "puts that the host refused: the shared pool is not served")      \
	X(puts_refused_dropped, "puts that the host refused, and dropped the older page (B)")      \
	X(puts_refused_other, "puts that the host refused for another reason")                     \
	X(flushes, "flushes of pages, ranges, objects and pools that were queued")                 \
	X(flushes_needless, "invalidate_inode of an object without an own put since (F10)")        \
	X(flushes_owed, "flushes that found no room and are owed")                                 \
	X(owed_objects, "objects that were owed as a whole")                                       \
	X(owed_pools, "pools that were owed as a whole")                                           \
	X(owed_paid, "operations that paid what was owed")                                         \
	X(flush_waits, "flushes, leaves and pool creations that waited for the host")              \
	X(giveups, "of those, given up after T_giveup; each ended the session")                    \
	X(loads, "frontswap loads that the host answered")                                         \
	X(loads_waited, "of those, that had to wait for a broken channel")                         \
	X(loads_lost, "frontswap loads of a page that the host no longer has")                     \
	X(ahead_asked, "pages asked for ahead")                                                    \
	X(ahead_landed, "of those, that came and were kept")                                       \
	X(ahead_void, "of those, that came and were no longer wanted")                             \
	X(ahead_dropped, "landed pages that were dropped unread")                                  \
	X(presence_bitmaps, "presence bitmaps received")                                           \
	X(round_trips, "gets and loads that waited for the host")                                  \
	X(echoes, "echoes sent")                                                                   \
	X(hellos, "HELLO messages sent")                                                           \
	X(sessions_new, "new epochs")                                                              \
	X(sessions_resumed, "sessions resumed")                                                    \
	X(sessions_over, "sessions that can not be resumed: expelled, given up, put back")         \
	X(breaks, "times the channel broke or fell silent")                                        \
	X(replayed, "operations sent again on resume")                                             \
	X(replayed_as_flush, "of those, puts into shared pools sent again as flushes")             \
	X(bad_messages, "messages of the host that made no sense; each broke the channel")         \
	X(messages_sent, "messages handed to the transport")                                       \
	X(messages_received, "messages of the host")

#define TMEM_SHIM_COUNTERS(X)                                                                      \
	TMEM_SHIM_PUT_OUTCOMES(X)                                                                  \
	TMEM_SHIM_GET_OUTCOMES(X) TMEM_SHIM_STORE_OUTCOMES(X) TMEM_SHIM_OTHER_COUNTERS(X)

#define TMEM_SHIM_COUNTER_FIELD(name, meaning) uint64_t name;
struct tmem_shim_counters {
	TMEM_SHIM_COUNTERS(TMEM_SHIM_COUNTER_FIELD)
};

/* Names and meanings in the order of the struct's fields, for whoever prints them. */
struct tmem_shim_counter_text {
	const char *name;
	const char *meaning;
};
extern const struct tmem_shim_counter_text tmem_shim_counter_texts[];
extern const uint32_t tmem_shim_counter_count;

#endif
