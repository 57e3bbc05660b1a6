/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Every counter of the engine, declared once: the struct, the sums, the names Python and the docs
 * use, and the meanings all come from this list. X(name, "meaning"), in the order they are shown.
 *
 * Of each put exactly one of TMEM_PUT_OUTCOMES is counted, so their sum is the number of puts on
 * pools that exist; gets and flushes likewise.
 */
#ifndef TMEM_COUNTERS_H
#define TMEM_COUNTERS_H

#ifndef TMEM_CDEF
#include <stdint.h>
#endif

#define TMEM_PUT_OUTCOMES(X)                                                                       \
	X(puts_stored, "puts of a new page that were stored")                                      \
	X(puts_replaced, "puts over an existing page that replaced it")                            \
	X(refused_frozen, "puts refused: the client is frozen")                                    \
	X(refused_cap,                                                                             \
	  "puts refused: over the cap of the pool's owner, and eviction did not help")             \
	X(refused_quota, "puts refused: over the client's persistent quota")                       \
	X(refused_full, "puts refused: the budget is used up, and eviction did not make room")     \
	X(refused_host, "puts refused: the host had no memory for the arena to grow")              \
	X(refused_unserved, "puts refused: the shared pool waits for its members")                 \
	X(refused_admission, "puts refused: by the admission policy")

#define TMEM_GET_OUTCOMES(X)                                                                       \
	X(gets_hit, "gets that returned a page")                                                   \
	X(gets_missed, "gets that found nothing")                                                  \
	X(gets_unserved, "gets that missed because the shared pool waits for its members")         \
	X(gets_damaged, "gets that found a damaged page and dropped it")

#define TMEM_OTHER_COUNTERS(X)                                                                     \
	X(gets_empty, "gets on a pool without pages; not counted as gets")                         \
	X(hits_other, "of gets_hit, those of a page that another client had put")                  \
	X(dup_puts_flushed, "of the refused puts, those that dropped an existing page")            \
	X(page_flushes, "flush page calls")                                                        \
	X(page_flushes_found, "pages those removed")                                               \
	X(object_flushes, "flush object calls")                                                    \
	X(object_flushes_found, "pages those removed")                                             \
	X(range_flushes, "flush range calls")                                                      \
	X(range_flushes_found, "pages those removed")                                              \
	X(pool_flushes, "pools flushed, left or destroyed")                                        \
	X(pool_flushes_found, "pages those removed")                                               \
	X(evicted, "ephemeral pages evicted for room, cap, weight or the host")                    \
	X(damaged, "pages dropped because they were damaged, by get or scrub")                     \
	X(encoded_same, "pages stored as one repeated word")                                       \
	X(encoded_raw, "pages stored as they are")                                                 \
	X(encoded_lz4, "pages stored as LZ4")                                                      \
	X(encoded_zstd, "pages stored as zstd")                                                    \
	X(deduplicated, "pages stored as a reference to equal contents")

#define TMEM_COUNTERS(X) TMEM_PUT_OUTCOMES(X) TMEM_GET_OUTCOMES(X) TMEM_OTHER_COUNTERS(X)

#define TMEM_COUNTER_FIELD(name, meaning) uint64_t name;
struct tmem_counters {
	TMEM_COUNTERS(TMEM_COUNTER_FIELD)
};

/* Names and meanings in the order of the struct's fields, for whoever prints them. */
struct tmem_counter_text {
	const char *name;
	const char *meaning;
};
extern const struct tmem_counter_text tmem_counter_texts[];
extern const uint32_t tmem_counter_count;

#endif
