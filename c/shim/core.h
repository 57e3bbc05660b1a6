/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Inside the shim. One lock protects everything here; every function below is called with it held
 * unless it says otherwise, and is atomic (shim.h).
 *
 * The queue is a ring of entries in the order in which the front ends' calls returned (K). An entry
 * stays until the host has answered it and the transport has given its bytes back (V3):
 *
 *   tail <= answered <= taken <= head         positions; an entry's place is its position & mask
 *   tail <= returned <= taken
 *
 * tail .. answered      answered, but the transport may still be reading
 * answered .. taken     handed to the transport, not answered: sent again when a session resumes
 * taken .. head         not handed out: may still be changed in place
 *
 * Page slots are a ring, too, since entries are freed in the order in which they were made.
 */
#ifndef TMEM_SHIM_CORE_H
#define TMEM_SHIM_CORE_H

#include "map.h"
#include "shim.h"
#include "wire.h"

#include "rules.h"

enum {
	TMEM_SLOT_BYTES = TMEM_WIRE_MESSAGE_MAX, /* slots in a row are messages in a row */
	TMEM_MESSAGE_ROOM = (TMEM_WIRE_MESSAGE_MAX + 63) & ~63,
	TMEM_RESERVED_ENTRIES = 4, /* for echoes and what keeps a session alive */
	TMEM_SURE_POOLS = 8,
	TMEM_AHEADS_MAX = 8,               /* gets that run ahead, under way at a time */
	TMEM_CONTROL_BYTES = 512,          /* HELLO, START, BYE */
	TMEM_INPUT_BATCH_BYTES = 32 << 10, /* taken under one hold of the lock */
	TMEM_BATCH_ENTRIES =
		64, /* handed out, or made of owed bits, in one go: interrupts are off */
	TMEM_SWAP_AREAS = 32,
	TMEM_OWN_OBJECTS = 1024, /* of shared pools, with own puts since their last flush */
	TMEM_OWN_FILTER_BITS = 1 << 16,
	TMEM_EVENTS_MAX = 8,
	TMEM_OUTCASTS = 16,
	TMEM_NO_HOST_POOL = 0xffffffff,
};

#define TMEM_NS_PER_MS 1000000ull
#define TMEM_NEVER UINT64_MAX

/* ---- entries -------------------------------------------------------------------------- */

enum { TMEM_OP_NONE = 0 }; /* an entry that is not sent (any more) */

enum tmem_entry_flags {
	TMEM_ENTRY_PRESENCE = 1 << 0, /* GET: wants a bitmap */
	TMEM_ENTRY_LANDS = 1 << 1,    /* GET without a reader: the page asked for lands as well */
	TMEM_ENTRY_REPLIED = 1 << 2,  /* GET: the first reply came, aheads are to follow */
	TMEM_ENTRY_OLD = 1 << 3,      /* PUT that answers no get: given up */
	TMEM_ENTRY_TAGGED = 1 << 4,   /* was handed to the transport under its tag */
};

struct tmem_entry {
	uint8_t op;
	uint8_t flags;
	uint16_t count; /* GET: ahead; FLUSH_RANGE: pages */
	uint32_t pool;  /* number in the pool table, or its size: none */
	uint32_t tag;
	uint32_t slot;        /* + 1; 0: none */
	uint32_t ahead_void;  /* bit n: the page index + 1 + n is not wanted any more */
	uint32_t ahead_count; /* further replies to come */
	struct tmem_oid oid;
	uint64_t index;
	uint64_t digest;                    /* of everything up to it (R-e) */
	uint64_t older;                     /* the next older entry of its bucket */
	uint64_t end_bytes;                 /* of the output, where it ends */
	struct tmem_shim_request *requests; /* finished by its answer; a list by next */
};

/* ---- requests ------------------------------------------------------------------------- */

enum tmem_request_state {
	TMEM_REQUEST_DONE = 0,
	TMEM_REQUEST_ROOM = 1,   /* in the list of those that wait for room */
	TMEM_REQUEST_QUEUED = 2, /* at its entry */
	TMEM_REQUEST_AHEAD = 3,  /* at an entry that is fetching its page ahead */
	TMEM_REQUEST_LEAVE = 4,  /* waits for a leave, or for a session that is over to be known so
				  */
};

/* ---- pools ---------------------------------------------------------------------------- */

struct tmem_owed {
	struct tmem_oid oid;
	uint64_t index; /* on persistent pools; whole objects on the others */
};

struct tmem_shim_pool {
	uint32_t id; /* TMEM_NO_HOST_POOL: the place is free */
	uint32_t state;
	uint32_t wanted; /* flags */
	uint32_t granted;
	uint32_t host_id;
	int32_t refused;
	uint32_t era; /* grows whenever what the host held is gone; part of every cached key */
	uint32_t owed_count;
	uint64_t retry_ns;
	struct tmem_owed *owed;
	uint8_t uuid[TMEM_UUID_BYTES];
	bool swap;           /* owed flushes are bits of the areas */
	bool owed_all;       /* the whole pool is owed */
	bool owed_destroy;   /* its leave found no room yet */
	bool was_member;     /* of a shared pool, in this or an earlier session (R-a) */
	bool unacknowledged; /* was given up: what the host holds of it is not known (R-b) */
	bool unknown_puts;   /* taken over from another process: what it put is not summarised */
};

/* A swap area: a bit for each page whose flush is owed, in the order of the objects it is spread
 * over, so that runs of an object are runs of bits. */
struct tmem_area {
	uint64_t *owed; /* NULL: no area of this type */
	uint64_t pages;
	uint64_t *owed_words;  /* a bit for each 64 bits of owed that are not all zero */
	uint64_t stripe_words; /* of each of the 16 objects */
	uint64_t owed_pages;
	uint64_t cursor;       /* word of owed at which the search for the next bit goes on */
	uint32_t owed_objects; /* a bit for each object that is owed as a whole */
};

/* ---- reading ahead, summaries, own puts ----------------------------------------------- */

struct tmem_landed {
	uint32_t pool; /* id, TMEM_NO_HOST_POOL: free */
	uint32_t next; /* + 1, in its bucket */
	struct tmem_oid oid;
	uint64_t index;
};

struct tmem_run {
	uint32_t pool;
	uint32_t length;   /* gets in sequence */
	uint32_t expected; /* how long it will be, by those before it */
	uint32_t window;   /* pages to ask for ahead next */
	uint32_t used;     /* for finding the one to replace */
	struct tmem_oid oid;
	uint64_t next;
	uint64_t frontier; /* first page that was not asked for */
};

struct tmem_window {
	uint32_t pool;
	uint32_t era;
	struct tmem_oid oid;
	uint64_t number; /* of TMEM_WIRE_PRESENCE_PAGES pages */
	uint64_t present[2];
	uint64_t since[2];  /* put since the last bitmap was asked for */
	uint64_t denied[2]; /* said "not there" since the last bitmap */
	uint32_t gets;      /* since the last bitmap */
	uint32_t used;
	uint32_t valid;
};

/* An object of a shared pool that this guest has put into since a flush of it was issued that was
 * acknowledged (F10). */
struct tmem_own {
	uint32_t pool; /* id; TMEM_NO_HOST_POOL: free */
	uint32_t used;
	struct tmem_oid oid;
	uint64_t hash;
	uint64_t put; /* position of the newest */
};

/* ---- the shim ------------------------------------------------------------------------- */

struct tmem_shim {
	struct tmem_platform_lock lock;
	uint64_t now_ns; /* the time, once somebody has asked for it under this hold of the lock */
	struct tmem_shim_config config;
	struct tmem_shim_callbacks callbacks;
	struct tmem_shim_counters counters;
	uint64_t memory_bytes;
	uint64_t seed;

	/* queue */
	struct tmem_entry *entries;
	/* what the device reads: page slots, and for each entry 64 bytes, headers of what has no
	 * page */
	uint8_t **pieces, **head_pieces;
	uint32_t piece_slots, piece_heads; /* in each */
	uint64_t *buckets;
	uint64_t head, taken, answered, returned, tail;
	uint64_t slot_head, slot_tail;
	uint64_t newest_linked; /* position of the newest entry that a bucket ever had */
	struct tmem_shim_request *room_first, *room_last;
	struct tmem_shim_request *active; /* all unfinished ones */
	uint32_t waiting, waiting_loads;
	uint64_t aheads[TMEM_AHEADS_MAX]; /* positions; 0: free */
	uint32_t aheads_used;

	/* pools */
	struct tmem_shim_pool *pools;
	uint32_t next_pool_id;
	uint32_t
		*used_pools; /* their numbers, in no order: calls go through those, not the table */
	uint32_t used_count;
	uint32_t swap_pool; /* number; config.pools: none */
	struct tmem_area areas[TMEM_SWAP_AREAS];
	uint64_t owed_pages;  /* of all areas */
	uint32_t owing_areas; /* a bit for each; those without owe nothing */
	uint32_t no_stores;
	bool pools_unknown; /* the host may have a pool we know nothing of: ask (POOLS) */
	bool pools_asked;
	uint64_t pools_after;
	/* of mounts that stay out and have no pool just now (R-a); more than fit: all do */
	uint8_t outcasts[TMEM_OUTCASTS][TMEM_UUID_BYTES];
	uint32_t outcast_count;
	bool all_outcast;

	/* landing, runs, summaries, own puts */
	struct tmem_landed *landed;
	uint8_t **landing; /* a message's room for each, from where its page came */
	uint32_t *landing_buckets;
	uint32_t landing_next, landed_count;
	struct tmem_run *runs;
	uint32_t run_used; /* the one that a get was last found to be of, or began */
	uint32_t run_clock;
	uint32_t run_pages; /* how long runs are expected to be */
	struct tmem_window *windows;
	uint32_t window_clock;
	uint64_t *filter; /* windows of private pools that were ever put into */
	uint64_t filter_set;
	/* private pools of which the filter alone says what is not there, for who asks without the
	 * lock: id << 32 | low half of the era, complemented; 0: none. A pool's place is its id. */
	uint64_t sure[TMEM_SURE_POOLS];
	uint64_t sure_misses;
	struct tmem_own *own;
	uint64_t *own_filter; /* objects that fell out of own */

	/* session */
	uint32_t state;
	uint32_t session;
	uint64_t key;
	uint64_t epoch;
	uint32_t last_tag; /* of the newest entry that was given one */
	uint32_t answered_tag;
	uint64_t last_digest;
	uint64_t answered_digest;
	uint64_t token, confirmed;
	uint32_t lease_ms, giveup_ms;
	int32_t last_code;
	uint32_t hello_tag;
	struct tmem_message offer; /* START, while it is under way */
	bool offer_resumes, offer_rejoin, offer_keeps_pools;
	uint64_t offered_key, offered_epoch;
	uint32_t offered_lease_ms, offered_giveup_ms;
	bool had_persistent; /* the host has had persistent pages of this guest */
	bool silent;         /* no more echoes */
	bool reopen_wanted;
	bool wake_wanted;
	bool pump_idle;
	bool ending, bye_sent;
	uint64_t hello_ns;    /* say HELLO again then; TMEM_NEVER: not */
	uint64_t echo_ns;     /* the next echo is due */
	uint64_t progress_ns; /* something unanswered, since */
	uint64_t heard_ns;
	uint64_t input_ns; /* when the bytes came that are being looked at */
	bool echo_queued;

	/* stream */
	struct tmem_decoder decoder;
	uint8_t *control;
	uint32_t control_bytes; /* to be sent before anything else */
	uint64_t control_end;   /* until the output was given back to here, it may not be changed */
	uint64_t output_bytes, returned_bytes;
	uint8_t *assembly; /* a message's room, too: the two change places */
	uint32_t assembled;
	struct tmem_message begun; /* the message there, once its header is; else without op */
	struct tmem_shim_request *early; /* its page has the first @early_bytes of that already */
	uint32_t early_bytes;

	/* events, until the lock is given up */
	uint32_t event_count;
	struct {
		int event;
		int64_t code;
	} events[TMEM_EVENTS_MAX];
};

#define TMEM_COUNT(shim, name) ((shim)->counters.name++)
/* Why a put fails, in case it is a store (tmem_frontswap_store). */
#define TMEM_WHY(request, reason)                                                                  \
	((request)->why = (uint32_t)offsetof(struct tmem_shim_counters, stores_##reason))
/* Nothing was queued of a put; @request may be NULL. */
#define TMEM_PUT_FAILS(shim, request, reason)                                                      \
	do {                                                                                       \
		TMEM_COUNT(shim, puts_##reason);                                                   \
		if (request)                                                                       \
			TMEM_WHY(request, reason);                                                 \
	} while (0)

#include "basics.h"
#include "parts.h"

#endif
