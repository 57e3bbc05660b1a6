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
	TMEM_RESERVED_ENTRIES = 4,               /* for echoes and what keeps a session alive */
	TMEM_AHEADS_MAX = 8,                     /* gets that run ahead, under way at a time */
	TMEM_CONTROL_BYTES = 512,                /* HELLO, START, BYE */
	TMEM_INPUT_BATCH_BYTES = 32 << 10,       /* taken under one hold of the lock */
	TMEM_SWAP_AREAS = 32,
	TMEM_OWN_OBJECTS = 1024, /* of shared pools, with own puts since their last flush */
	TMEM_OWN_FILTER_BITS = 1 << 16,
	TMEM_EVENTS_MAX = 8,
	TMEM_NO_HOST_POOL = 0xffffffff,
};

#define TMEM_NS_PER_MS 1000000ull
#define TMEM_NEVER UINT64_MAX

/* ---- entries ------------------------------------------------------------------------------- */

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

/* ---- requests ------------------------------------------------------------------------------ */

enum tmem_request_state {
	TMEM_REQUEST_DONE = 0,
	TMEM_REQUEST_ROOM = 1,   /* in the list of those that wait for room */
	TMEM_REQUEST_QUEUED = 2, /* at its entry */
	TMEM_REQUEST_AHEAD = 3,  /* at an entry that is fetching its page ahead */
	TMEM_REQUEST_LEAVE = 4,  /* waits for a leave, or for a session that is over to be known so
				  */
};

/* ---- pools --------------------------------------------------------------------------------- */

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

/* ---- reading ahead, summaries, own puts ------------------------------------------------------ */

struct tmem_landed {
	uint32_t pool; /* id, TMEM_NO_HOST_POOL: free */
	uint32_t next; /* + 1, in its bucket */
	struct tmem_oid oid;
	uint64_t index;
};

struct tmem_run {
	uint32_t pool;
	uint32_t length; /* gets in sequence */
	uint32_t window; /* pages to ask for ahead next */
	uint32_t used;   /* for finding the one to replace */
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

/* ---- the shim -------------------------------------------------------------------------------- */

struct tmem_shim {
	struct tmem_platform_lock lock;
	struct tmem_shim_config config;
	struct tmem_shim_callbacks callbacks;
	struct tmem_shim_counters counters;
	uint64_t memory_bytes;
	uint64_t seed;

	/* queue */
	struct tmem_entry *entries;
	uint8_t *heads; /* 64 bytes for each entry: headers of what has no page */
	uint8_t *slots;
	uint64_t *buckets;
	uint64_t head, taken, answered, returned, tail;
	uint64_t slot_head, slot_tail;
	struct tmem_shim_request *room_first, *room_last;
	struct tmem_shim_request *active; /* all unfinished ones */
	uint32_t waiting, waiting_loads;
	uint64_t aheads[TMEM_AHEADS_MAX]; /* positions; 0: free */

	/* pools */
	struct tmem_shim_pool *pools;
	uint32_t next_pool_id;
	uint32_t swap_pool; /* number; config.pools: none */
	struct tmem_area areas[TMEM_SWAP_AREAS];
	uint64_t owed_pages; /* of all areas */
	uint32_t owing_pools;
	uint32_t no_stores;
	bool pools_unknown; /* the host may have a pool we know nothing of: ask (POOLS) */
	bool pools_asked;
	uint64_t pools_after;

	/* landing, runs, summaries, own puts */
	struct tmem_landed *landed;
	uint8_t *landing;
	uint32_t *landing_buckets;
	uint32_t landing_next, landed_count;
	struct tmem_run *runs;
	uint32_t run_clock;
	struct tmem_window *windows;
	uint32_t window_clock;
	uint64_t *filter; /* windows of private pools that were ever put into */
	uint64_t filter_set;
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
	bool echo_queued;

	/* stream */
	struct tmem_decoder decoder;
	uint8_t control[TMEM_CONTROL_BYTES];
	uint32_t control_bytes; /* to be sent before anything else */
	uint64_t control_end;   /* until the output was given back to here, it may not be changed */
	uint64_t output_bytes, returned_bytes;
	uint8_t assembly[TMEM_WIRE_MESSAGE_MAX];
	uint32_t assembled;

	/* events, until the lock is given up */
	uint32_t event_count;
	struct {
		int event;
		int64_t code;
	} events[TMEM_EVENTS_MAX];
};

#define TMEM_COUNT(shim, name) ((shim)->counters.name++)

/* ---- shim.c ---------------------------------------------------------------------------------- */

/* The lock; giving it up tells the callbacks what happened under it. */
unsigned long tmem_shim_lock(struct tmem_shim *shim);
void tmem_shim_unlock(struct tmem_shim *shim, unsigned long flags);

uint64_t tmem_shim_now(struct tmem_shim *shim);
void tmem_shim_tell(struct tmem_shim *shim, int event, int64_t code);
uint64_t tmem_shim_hash(const struct tmem_shim *shim, uint32_t pool, const struct tmem_oid *oid,
			uint64_t index);

static inline bool tmem_oid_equal(const struct tmem_oid *a, const struct tmem_oid *b)
{
	return a->words[0] == b->words[0] && a->words[1] == b->words[1] &&
	       a->words[2] == b->words[2];
}

/* ---- queue.c --------------------------------------------------------------------------------- */

static inline struct tmem_entry *tmem_entry_at(struct tmem_shim *shim, uint64_t position)
{
	return &shim->entries[position & (shim->config.queue_entries - 1)];
}

static inline void *tmem_entry_page(struct tmem_shim *shim, const struct tmem_entry *entry)
{
	return shim->slots + (uint64_t)(entry->slot - 1) * TMEM_SLOT_BYTES + TMEM_WIRE_HEADER_BYTES;
}

/* Whether an entry (and a page slot) can be had; @reserve: for what may use the last ones. */
bool tmem_queue_room(const struct tmem_shim *shim, bool slot, bool reserve);

/* Appends an operation; there is room. Returns its entry, at head - 1. */
struct tmem_entry *tmem_queue_append(struct tmem_shim *shim, uint8_t op, uint32_t pool,
				     const struct tmem_oid *oid, uint64_t index, bool slot);

/* The newest put or flush that covers the handle and that the host has not answered: its position,
 * or 0. */
uint64_t tmem_queue_newest(struct tmem_shim *shim, uint32_t pool, const struct tmem_oid *oid,
			   uint64_t index);

/* Makes the newest entry, a FLUSH_PAGE or FLUSH_RANGE nobody has taken, cover @index as well, if it
 * is the next page of the same object. */
bool tmem_queue_extend(struct tmem_shim *shim, uint32_t pool, const struct tmem_oid *oid,
		       uint64_t index);

/* Frees what is answered and given back. */
void tmem_queue_trim(struct tmem_shim *shim);

/* Takes an entry out of what is sent; its requests are the caller's to finish. */
void tmem_queue_drop(struct tmem_shim *shim, struct tmem_entry *entry);

#ifdef TMEM_DEBUG
void tmem_queue_overtake(struct tmem_shim *shim);
#else
static inline void tmem_queue_overtake(struct tmem_shim *shim)
{
	(void)shim;
}
#endif

/* ---- requests.c --------------------------------------------------------------------------------
 */

/* Registers an unfinished request, and makes it one of @entry's. */
void tmem_shim_request_begin(struct tmem_shim *shim, struct tmem_shim_request *request,
			     uint64_t timeout_ms);
void tmem_shim_request_attach(struct tmem_shim *shim, struct tmem_shim_request *request,
			      uint64_t position, uint32_t state);
void tmem_shim_request_wait_for_room(struct tmem_shim *shim, struct tmem_shim_request *request);
/* Takes it off whatever it hangs on. */
void tmem_shim_request_detach(struct tmem_shim *shim, struct tmem_shim_request *request);
void tmem_shim_request_finish(struct tmem_shim *shim, struct tmem_shim_request *request,
			      int result);
void tmem_shim_request_finish_all(struct tmem_shim *shim, struct tmem_entry *entry, int result);
/* Those that wait for something of pool @pool (an id) to be known; @op 0: any. */
void tmem_shim_request_finish_waiters(struct tmem_shim *shim, uint32_t pool, uint8_t op,
				      int result);
/* A put that somebody waits for fails; what the host made of it, or held before, is flushed. */
void tmem_shim_request_fail_put(struct tmem_shim *shim, struct tmem_shim_request *request);
/* Its deadline has passed. */
void tmem_shim_request_expire(struct tmem_shim *shim, struct tmem_shim_request *request);
void tmem_shim_requests_expire(struct tmem_shim *shim, uint64_t now_ns);
/* The nearest deadline. */
uint64_t tmem_shim_requests_next(const struct tmem_shim *shim);

/* ---- operations: put.c, get.c, flush.c ---------------------------------------------------------
 */

/* Each begins an operation; @request NULL where nobody waits. TMEM_SHIM_PENDING or a result. */
int tmem_put_begin(struct tmem_shim *shim, struct tmem_shim_pool *pool, const struct tmem_oid *oid,
		   uint64_t index, const void *page, struct tmem_shim_request *request);
/* There is room for a put that has waited for it. */
void tmem_put_retry(struct tmem_shim *shim, struct tmem_shim_pool *pool,
		    struct tmem_shim_request *request);
int tmem_get_begin(struct tmem_shim *shim, struct tmem_shim_pool *pool,
		   struct tmem_shim_request *request);
/* @op: FLUSH_PAGE, FLUSH_RANGE (@count), FLUSH_OBJECT, FLUSH_POOL. */
int tmem_flush_begin(struct tmem_shim *shim, struct tmem_shim_pool *pool, uint8_t op,
		     const struct tmem_oid *oid, uint64_t index, uint64_t count,
		     struct tmem_shim_request *request);
/* What the handle held, nobody may get any more (L). False only where it could not be noted: on a
 * persistent pool without areas. */
bool tmem_flush_handle(struct tmem_shim *shim, struct tmem_shim_pool *pool,
		       const struct tmem_oid *oid, uint64_t index);
/* A request of the room list gets its turn: false if there still is none. */
bool tmem_shim_request_retry(struct tmem_shim *shim, struct tmem_shim_request *request);

/* ---- owed.c (N) ---------------------------------------------------------------------------------
 */

bool tmem_owed_covers(struct tmem_shim *shim, const struct tmem_shim_pool *pool,
		      const struct tmem_oid *oid, uint64_t index);
/* Notes an owed flush. False only on a persistent pool without areas whose table is full. */
bool tmem_owed_add(struct tmem_shim *shim, struct tmem_shim_pool *pool, uint8_t op,
		   const struct tmem_oid *oid, uint64_t index);
/* A flush that was queued just now covers these: they are owed no more. */
void tmem_owed_settle(struct tmem_shim *shim, struct tmem_shim_pool *pool, uint8_t op,
		      const struct tmem_oid *oid);
void tmem_owed_forget(struct tmem_shim *shim, struct tmem_shim_pool *pool);
/* Queues what is owed for as long as there is room. */
void tmem_owed_pay(struct tmem_shim *shim);
bool tmem_owed_anything(const struct tmem_shim *shim);
/* ... that an echo must not overtake. */
bool tmem_owed_shared(const struct tmem_shim *shim);

/* ---- area.c
 * -------------------------------------------------------------------------------------- */

bool tmem_area_find(struct tmem_shim *shim, const struct tmem_oid *oid, uint64_t index,
		    struct tmem_area **area, uint64_t *bit);
bool tmem_area_owes(const struct tmem_area *area, uint64_t bit);
/* ... at most that page, not all of its object. */
bool tmem_area_owes_page(const struct tmem_area *area, uint64_t bit);
bool tmem_areas_owe(const struct tmem_shim *shim);
void tmem_area_owe(struct tmem_shim *shim, struct tmem_area *area, uint64_t bit);
void tmem_area_settle(struct tmem_shim *shim, struct tmem_area *area, uint64_t bit);
void tmem_area_settle_all(struct tmem_shim *shim, struct tmem_area *area);
/* Queues flushes of ranges for as long as there is room. */
void tmem_areas_pay(struct tmem_shim *shim);

/* ---- landing.c (S)
 * -------------------------------------------------------------------------------- */

bool tmem_landing_take(struct tmem_shim *shim, const struct tmem_shim_pool *pool,
		       const struct tmem_oid *oid, uint64_t index, void *page);
void tmem_landing_add(struct tmem_shim *shim, const struct tmem_shim_pool *pool,
		      const struct tmem_oid *oid, uint64_t index, const void *page);
/* A put or flush: nothing that landed or is on its way for these pages is used. */
void tmem_landing_drop_page(struct tmem_shim *shim, const struct tmem_shim_pool *pool,
			    const struct tmem_oid *oid, uint64_t index);
void tmem_landing_drop_range(struct tmem_shim *shim, const struct tmem_shim_pool *pool,
			     const struct tmem_oid *oid, uint64_t index, uint64_t count);
void tmem_landing_drop_object(struct tmem_shim *shim, const struct tmem_shim_pool *pool,
			      const struct tmem_oid *oid);
void tmem_landing_drop_pool(struct tmem_shim *shim, const struct tmem_shim_pool *pool);
void tmem_landing_drop_all(struct tmem_shim *shim);

/* ---- ahead.c (S)
 * ----------------------------------------------------------------------------------- */

/* A get of @index was seen. Returns how many pages to ask for ahead of it, if it has to be asked.
 */
uint32_t tmem_ahead_window(struct tmem_shim *shim, const struct tmem_shim_pool *pool,
			   const struct tmem_oid *oid, uint64_t index);
/* It was answered by what had landed: ask for more before that is used up. */
void tmem_ahead_refill(struct tmem_shim *shim, struct tmem_shim_pool *pool,
		       const struct tmem_oid *oid, uint64_t index);
/* A get of @index was sent that asks for @ahead pages. */
void tmem_ahead_asked(struct tmem_shim *shim, const struct tmem_shim_pool *pool,
		      const struct tmem_oid *oid, uint64_t index, uint32_t ahead);
bool tmem_ahead_register(struct tmem_shim *shim, uint64_t position);
void tmem_ahead_unregister(struct tmem_shim *shim, uint64_t position);
/* The entry that is fetching this page ahead: its position, or 0. */
uint64_t tmem_ahead_fetching(struct tmem_shim *shim, uint32_t pool, const struct tmem_oid *oid,
			     uint64_t index);

/* ---- summary.c (T)
 * ---------------------------------------------------------------------------------- */

bool tmem_summary_negative(struct tmem_shim *shim, const struct tmem_shim_pool *pool,
			   const struct tmem_oid *oid, uint64_t index);
/* The same, for a page that nobody asks for now. */
bool tmem_summary_absent(struct tmem_shim *shim, const struct tmem_shim_pool *pool,
			 const struct tmem_oid *oid, uint64_t index);
/* Whether the get of this page is to ask for a bitmap; then it does. */
bool tmem_summary_ask(struct tmem_shim *shim, const struct tmem_shim_pool *pool,
		      const struct tmem_oid *oid, uint64_t index);
/* Only for a test: that a page is there is never relied upon. */
bool tmem_summary_positive(struct tmem_shim *shim, const struct tmem_shim_pool *pool,
			   const struct tmem_oid *oid, uint64_t index);
void tmem_summary_put(struct tmem_shim *shim, const struct tmem_shim_pool *pool,
		      const struct tmem_oid *oid, uint64_t index);
/* The page is not there (any more): flushed, taken by a hit, or missed by a get. */
void tmem_summary_gone(struct tmem_shim *shim, const struct tmem_shim_pool *pool,
		       const struct tmem_oid *oid, uint64_t index, bool missed);
void tmem_summary_presence(struct tmem_shim *shim, const struct tmem_shim_pool *pool,
			   const struct tmem_oid *oid, uint64_t index, const uint64_t *bitmap);
void tmem_summary_reset(struct tmem_shim *shim);

/* ---- own.c (F10)
 * ------------------------------------------------------------------------------------- */

void tmem_own_put(struct tmem_shim *shim, const struct tmem_shim_pool *pool,
		  const struct tmem_oid *oid, uint64_t position);
bool tmem_own_any(struct tmem_shim *shim, const struct tmem_shim_pool *pool,
		  const struct tmem_oid *oid);
/* A flush of the object, issued at @position, was acknowledged. */
void tmem_own_flushed(struct tmem_shim *shim, const struct tmem_shim_pool *pool,
		      const struct tmem_oid *oid, uint64_t position);
void tmem_own_reset(struct tmem_shim *shim);

/* ---- pools.c
 * ------------------------------------------------------------------------------------------- */

struct tmem_shim_pool *tmem_pool_find(struct tmem_shim *shim, uint32_t id);
static inline uint32_t tmem_pool_number(const struct tmem_shim *shim,
					const struct tmem_shim_pool *pool)
{
	return (uint32_t)(pool - shim->pools);
}
static inline bool tmem_pool_shared(const struct tmem_shim_pool *pool)
{
	return pool->granted & TMEM_POOL_SHARED;
}
static inline bool tmem_pool_persistent(const struct tmem_shim_pool *pool)
{
	return pool->wanted & TMEM_POOL_PERSISTENT;
}
/* Whether this guest has a part in shared pools, so that it has to echo. */
uint32_t tmem_pools_shared(const struct tmem_shim *shim);
int tmem_pool_destroy_begin(struct tmem_shim *shim, struct tmem_shim_pool *pool,
			    struct tmem_shim_request *request);
/* Asks the host for pools that are wanted. */
void tmem_pools_ask(struct tmem_shim *shim);
void tmem_pool_made(struct tmem_shim *shim, const struct tmem_entry *entry,
		    const struct tmem_message *reply);
void tmem_pool_left(struct tmem_shim *shim, struct tmem_shim_pool *pool, int result);
void tmem_pools_listed(struct tmem_shim *shim, const void *untrusted_payload, uint32_t bytes);
/* When the next refused pool is to be asked for again. */
uint64_t tmem_pools_retry(struct tmem_shim *shim, uint64_t now_ns);
/* The session can not be resumed; @told: the host knows and has emptied the shared pools. */
void tmem_pools_over(struct tmem_shim *shim, bool told);
void tmem_pools_told(struct tmem_shim *shim);
/* A new epoch has begun; what is wanted is asked for again. */
void tmem_pools_epoch(struct tmem_shim *shim, bool rejoin, bool kept);
void tmem_pool_lost(struct tmem_shim *shim, struct tmem_shim_pool *pool);

/* ---- link.c
 * -------------------------------------------------------------------------------------------- */

/* Everything that may go on now that something has changed: owed flushes, those who wait for room,
 * pools; and the pump is woken if there is something to send. */
void tmem_shim_advance(struct tmem_shim *shim);
/* The stream is not to be used any more. */
void tmem_link_broken(struct tmem_shim *shim, int code);
/* The session can not be resumed. @told: the host knows, and has emptied the shared pools. */
void tmem_link_over(struct tmem_shim *shim, bool told);
/* The host has lost the persistent pages: every load is told. */
void tmem_link_lost(struct tmem_shim *shim);
void tmem_link_say_hello(struct tmem_shim *shim);
void tmem_link_hello_reply(struct tmem_shim *shim, const struct tmem_message *message,
			   const void *payload);
void tmem_link_start_reply(struct tmem_shim *shim, const struct tmem_message *message);
void tmem_link_bye(struct tmem_shim *shim, int reason);

/* ---- replay.c
 * ------------------------------------------------------------------------------------ */

/* The digest under @tag; false if it is not known. */
bool tmem_replay_digest(struct tmem_shim *shim, uint32_t tag, uint64_t *digest);
/* Makes the queue ready to be sent again, from the host's last tag on. Returns how many operations
 * are sent a second time. */
uint32_t tmem_replay_resume(struct tmem_shim *shim, uint32_t tag, uint64_t digest);
/* The session is over: what concerned ephemeral pools is dropped, the rest waits for the next. */
void tmem_replay_over(struct tmem_shim *shim, bool told);
/* ... and what concerned persistent pools, too. */
void tmem_replay_lost(struct tmem_shim *shim);
/* What is left is sent from tag 1 on. */
void tmem_replay_epoch(struct tmem_shim *shim);

/* ---- reply.c
 * ------------------------------------------------------------------------------------------------
 */

/* Takes one reply of the running session. False: it makes no sense. */
bool tmem_shim_reply(struct tmem_shim *shim, const struct tmem_message *reply, const void *payload);

/* ---- output.c, input.c -------------------------------------------------------------------------
 */

/* Entries whose bytes were given back are free once they are answered, too. */
void tmem_shim_returned(struct tmem_shim *shim);
/* Without the lock; pump: asks for a new stream if that is wanted. */
void tmem_shim_reopen(struct tmem_shim *shim);

#endif
