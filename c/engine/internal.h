/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the engine keeps outside the arena, and who owns it. All of it is rebuilt from records and
 * rows when an arena is opened.
 *
 * A PAGE is named inside the engine by a reference: extent number << 12 | slot. Its record is in
 * the arena; struct tmem_links, 20 bytes on the heap, put it on three chains:
 *   - the page table of its shard: hash of (pool, oid, index) -> page;
 *   - its object: a list of the object's pages. The first page, the head, stands in the shard's
 *     object table, hash of (pool, oid) -> head, for the whole object. An object is nothing but
 *     this list, so that a file of one page costs no more than a page;
 *   - its pool's list: for ephemeral pools the LRU order, oldest at the tail. Removing a whole
 *     pool walks this list, too.
 *
 * LIFETIMES
 *   extent     given a class when a slot of it is first needed; idle again when its last slot is
 *              free; returned to the host by shrinking
 *   page       born by the commit of its record; dies by flush, exclusive get, replacement,
 *              eviction, damage, or with its pool
 *   pool       born by tmem_pool_new; shared ones live until the last member left. Its struct is
 *              reused, never freed while the engine is open, and so may be looked at without a
 *              lock; whether it still is the same pool is checked under a shard lock (serial)
 *   member     one join of one client: what a pool id names. Reused like pools
 *   client     born by tmem_client_create; its struct is reused, never freed while the engine is
 *              open, once it is destroyed and its last reference is gone
 *   trust group   stays while the engine is open: there are as many as clients, operator's groups
 *              and shared pools there ever were at once
 *
 * A data call looks its pool up without locks and checks, holding the shard lock of its object,
 * that member, pool and serial are still what it looked up. A control call that ends a pool or a
 * membership first makes that check fail, then takes and drops every shard lock once
 * (tmem_shards_quiesce): after that no call can still be using it.
 */
#ifndef TMEM_INTERNAL_H
#define TMEM_INTERNAL_H

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "backing.h"
#include "engine.h"
#include "error.h"
#include "hash.h"
#include "locks.h"
#include "record.h"
#include "table.h"

/* Most clients, and most pools, of a host: the size of two sparse arrays of pointers. */
enum { TMEM_NUMBERS_MAX = 1 << 22 };

typedef uint32_t tmem_ref;
#define TMEM_REF_NONE UINT32_MAX

struct tmem_links {
	tmem_ref hash_next;   /* shard lock */
	tmem_ref object_prev; /* shard lock; of a head: the next head in the object table's chain */
	tmem_ref object_next; /* shard lock */
	tmem_ref newer;       /* list lock of the pool */
	tmem_ref older;       /* list lock of the pool */
};

/* Of a page or of contents that others may refer to; group lock. */
struct tmem_sharing {
	tmem_ref next;                  /* in the group's table */
	uint32_t references;            /* records that refer to it */
	uint32_t persistent_references; /* of these, pages of persistent pools */
};

struct tmem_extent {
	char *base;                           /* in the window */
	struct tmem_links *links;             /* one for each slot */
	struct tmem_sharing *_Atomic sharing; /* one for each slot, once a page here may share */
	uint64_t *free_map;                   /* class lock; a set bit is a free slot */
	uint32_t contents_offset;             /* from base */
	uint32_t slot_bytes;
	uint16_t slots;
	uint16_t free;   /* class lock */
	uint16_t cursor; /* class lock; word of free_map where the last slot was found */
	uint8_t class;
	bool closed;   /* class lock; being emptied: no new pages */
	uint32_t prev; /* class lock: extents of the class with free slots; arena lock: idle */
	uint32_t next;
};

struct tmem_class {
	struct tmem_lock lock;
	uint32_t partial; /* first extent with free slots, TMEM_REF_NONE: none */
	uint32_t partial_tail;
	_Atomic uint32_t
		free_slots; /* in extents that are not closed; written with the lock held */
	_Atomic uint32_t extents;
	_Atomic uint64_t used_slots;
	_Atomic uint64_t payload_bytes; /* of the contents in used slots */
} __attribute__((aligned(64)));

struct tmem_shard {
	struct tmem_lock lock;
	struct tmem_table pages;
	struct tmem_table objects;
} __attribute__((aligned(128)));

enum tmem_pool_state {
	TMEM_POOL_FREE, /* in the engine's list of reusable structs */
	TMEM_POOL_LIVE,
	TMEM_POOL_DYING, /* no member; pages are being removed */
	TMEM_POOL_TOMB, /* gone, but contents put into it are referred to by pages of other pools */
};

struct tmem_page_list {
	tmem_ref newest;
	tmem_ref oldest;
};

struct tmem_pool {
	/* read without a lock, then checked (see above) */
	_Atomic uint64_t serial;
	_Atomic uint32_t state; /* enum tmem_pool_state */
	_Atomic uint32_t flags;
	_Atomic uint32_t epoch;
	_Atomic bool served;
	uint32_t number; /* of its row; fixed for the struct */
	struct tmem_group *_Atomic group;

	/* list lock */
	struct tmem_lock list_lock;
	struct tmem_page_list list;  /* of the current epoch */
	struct tmem_page_list stale; /* of earlier ones, being removed */
	uint64_t linked;             /* pages ever linked; drives the engine's clock */
	uint64_t bytes;              /* charged to owner */
	struct tmem_client *owner;   /* written with list, owners and control locks held */
	_Atomic uint64_t pages;      /* written with the list lock held */
	_Atomic uint32_t oldest_stamp;
	_Atomic uint64_t objects;
	_Atomic uint64_t evicted; /* counters of the pool that no member causes */
	_Atomic uint64_t scrub_damaged;
	_Atomic uint64_t orphans; /* contents that outlived their page; group lock */

	/* control lock */
	uint8_t uuid[TMEM_UUID_BYTES];
	struct tmem_member **members; /* in order of joining */
	uint32_t member_count;
	uint32_t next_joined;
	tmem_ref row;
	struct tmem_pool *next_free;
};

struct tmem_member {
	_Atomic int64_t id; /* the client's name for the pool; -1: free */
	struct tmem_pool *_Atomic pool;
	_Atomic uint64_t serial; /* of the pool when joined */
	struct tmem_client *client;
	uint32_t joined;
	tmem_ref row;
	bool resumed;              /* control lock */
	_Atomic tmem_ref expected; /* the next hit, for fetching ahead; racy on purpose */
	_Atomic uint64_t counters[sizeof(struct tmem_counters) / sizeof(uint64_t)];
};

enum { TMEM_MEMBER_CHUNK = 32, TMEM_ID_SLOT_BITS = 14, TMEM_ID_SERIAL_BITS = 18 };

struct tmem_client {
	struct tmem_engine *engine;
	_Atomic uint32_t references;
	uint32_t uid;
	char name[TMEM_CLIENT_NAME_MAX + 1];
	_Atomic bool dead;
	bool resumed; /* control lock */
	tmem_ref row; /* control lock */

	struct tmem_lock lock; /* control calls of this client */
	struct tmem_client_settings
		settings; /* control lock; the data path reads the copies below */
	_Atomic uint32_t weight;
	_Atomic uint32_t encoding;
	_Atomic int32_t zstd_level;
	_Atomic bool dedup;
	_Atomic bool frozen;
	_Atomic uint64_t cap_bytes;
	_Atomic uint64_t quota_bytes;

	_Atomic uint64_t ephemeral_bytes; /* charged, puts under way included */
	_Atomic uint64_t persistent_bytes;

	/* control lock, but for chunks, which are published once and stay */
	struct tmem_member *_Atomic chunks[TMEM_POOLS_PER_CLIENT_MAX / TMEM_MEMBER_CHUNK];
	uint32_t member_count;
	uint32_t next_serial;
	uint32_t serial_limit; /* durable: next_serial stays below it */
	uint32_t slot_cursor;
	struct tmem_auth *auth;
	uint32_t auth_count;
	uint64_t counters_gone[sizeof(struct tmem_counters) / sizeof(uint64_t)];

	/* owners lock */
	struct tmem_pool **owned;
	uint32_t owned_count;
	uint32_t owned_room; /* at least member_count */

	struct tmem_client *next_free; /* control lock */
};

struct tmem_auth {
	uint8_t uuid[TMEM_UUID_BYTES];
	tmem_ref row;
	uint64_t serial;
};

struct tmem_policy_eviction;
struct tmem_policy_admission;

struct tmem_engine {
	struct tmem_backing *backing;
	struct tmem_arena_header header; /* a copy; the one in the arena is not written again */
	char *window;
	uint64_t extents_offset_bytes;
	_Atomic uint64_t *extent_table; /* in the window */

	struct tmem_extent *extents;
	struct tmem_class classes[TMEM_CLASSES];
	struct tmem_shard *shards;
	unsigned int shard_bits;
	uint64_t hash_seed;

	/* arena lock */
	struct tmem_lock arena_lock;
	uint32_t idle; /* reserved extents without a class */
	uint32_t idle_count;
	uint64_t *unreserved_map; /* a set bit is an extent that holds no memory */
	uint32_t unreserved_cursor;
	uint64_t table_reserved_bytes;
	_Atomic uint64_t resident_bytes; /* extents and tables */
	_Atomic uint64_t budget_bytes;
	_Atomic uint64_t returned_bytes; /* given back to the host since the arena was opened */

	/* control lock; clients are written with the owners lock held as well */
	struct tmem_lock control;
	struct tmem_client **clients; /* by uid; NULL: free. Room for TMEM_NUMBERS_MAX */
	uint32_t client_slots;
	struct tmem_client *free_clients; /* structs for reuse: see LIFETIMES */
	struct tmem_pool **pools;         /* by number; set once. Room for TMEM_NUMBERS_MAX */
	uint32_t pool_slots;
	struct tmem_pool *free_pools;
	uint32_t tomb_count;
	uint64_t next_serial;
	bool shared_auth_all;
	tmem_ref host_row;
	tmem_ref spare_row; /* where the next row that changes is written */
	uint64_t counters_gone[sizeof(struct tmem_counters) / sizeof(uint64_t)];
	struct tmem_group *groups; /* control lock for the list; see dedup.h */

	/* owners lock: which client is charged for which pool; clients with pools */
	struct tmem_rwlock owners;

	_Atomic uint32_t clock; /* age of pages: one tick for 64 pages linked to one pool */
	const struct tmem_policy_eviction *_Atomic eviction;
	const struct tmem_policy_admission *_Atomic admission;
	_Atomic uint32_t *ghosts; /* admission: hashes of pages lately refused */

	struct tmem_lock scrub_lock;
	uint32_t scrub_extent;         /* the next to look at */
	struct tmem_recovery recovery; /* scrub lock once the engine is open */

	_Atomic uint64_t heap_bytes;
	_Atomic uint64_t held_slots[TMEM_CLASSES]; /* needed by persistent pages */
};

/* ---- heap.c: memory outside the arena, counted in heap_bytes ---- */

void *tmem_alloc(struct tmem_engine *engine, size_t bytes); /* zeroed; NULL when there is none */
void tmem_free(struct tmem_engine *engine, void *memory, size_t bytes);
/* Like realloc: the new part is zeroed, on failure NULL and @memory is as before. */
void *tmem_realloc(struct tmem_engine *engine, void *memory, size_t old_bytes, size_t new_bytes);

/* A zeroed array that costs memory only where it is touched; not counted. NULL when there is no
 * address space. */
void *tmem_sparse_alloc(size_t bytes);
void tmem_sparse_free(void *memory, size_t bytes); /* NULL is allowed */

/* ---- references ---- */

static inline struct tmem_extent *tmem_ref_extent(struct tmem_engine *engine, tmem_ref ref)
{
	return &engine->extents[ref >> TMEM_SLOT_BITS];
}

static inline uint32_t tmem_ref_slot(tmem_ref ref)
{
	return ref & (TMEM_SLOTS_MAX - 1);
}

static inline struct tmem_record *tmem_ref_record(struct tmem_engine *engine, tmem_ref ref)
{
	return (struct tmem_record *)(tmem_ref_extent(engine, ref)->base +
				      TMEM_EXTENT_HEADER_BYTES +
				      tmem_ref_slot(ref) * TMEM_RECORD_BYTES);
}

static inline struct tmem_row *tmem_ref_row(struct tmem_engine *engine, tmem_ref ref)
{
	return (struct tmem_row *)(tmem_ref_extent(engine, ref)->base + TMEM_EXTENT_HEADER_BYTES +
				   tmem_ref_slot(ref) * TMEM_ROW_BYTES);
}

static inline void *tmem_ref_contents(struct tmem_engine *engine, tmem_ref ref)
{
	struct tmem_extent *extent = tmem_ref_extent(engine, ref);

	return extent->base + extent->contents_offset + tmem_ref_slot(ref) * extent->slot_bytes;
}

static inline struct tmem_links *tmem_ref_links(struct tmem_engine *engine, tmem_ref ref)
{
	return &tmem_ref_extent(engine, ref)->links[tmem_ref_slot(ref)];
}

/* ---- hashes ---- */

static inline uint64_t tmem_object_hash(const struct tmem_engine *engine, uint32_t pool,
					const struct tmem_oid *oid)
{
	return tmem_hash_words(oid->words, TMEM_OID_WORDS,
			       engine->hash_seed + pool * 0x9e3779b97f4a7c15ull);
}

/* Sixteen pages in a row share a cache line of the page table. */
static inline uint64_t tmem_page_hash(uint64_t object_hash, uint64_t index)
{
	return (tmem_mix(object_hash + (index >> 4)) & ~15ull) |
	       ((index + (object_hash >> 8)) & 15);
}

static inline struct tmem_shard *tmem_shard_of(struct tmem_engine *engine, uint64_t object_hash)
{
	return &engine->shards[object_hash >> (64 - engine->shard_bits)];
}

static inline bool tmem_oid_equal(const struct tmem_oid *a, const struct tmem_oid *b)
{
	return a->words[0] == b->words[0] && a->words[1] == b->words[1] &&
	       a->words[2] == b->words[2];
}

/* ---- counters ---- */

#define TMEM_COUNTER(name) (offsetof(struct tmem_counters, name) / sizeof(uint64_t))
#define tmem_count(member, name, by)                                                               \
	atomic_fetch_add_explicit(&(member)->counters[TMEM_COUNTER(name)], by, memory_order_relaxed)

#endif
