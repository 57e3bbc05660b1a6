/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the shim's files do for each other. All with the lock held unless it says otherwise, all
 * atomic (shim.h). Included by core.h.
 */
#ifndef TMEM_SHIM_PARTS_H
#define TMEM_SHIM_PARTS_H

/* ---- queue.c -------------------------------------------------------------------------- */

static inline struct tmem_entry *tmem_entry_at(struct tmem_shim *shim, uint64_t position)
{
	return &shim->entries[position & (shim->config.queue_entries - 1)];
}

static inline void *tmem_entry_page(struct tmem_shim *shim, const struct tmem_entry *entry)
{
	uint32_t slot = entry->slot - 1, piece = slot / shim->piece_slots;

	return shim->pieces[piece] +
	       (slot - piece * shim->piece_slots) * (uint64_t)TMEM_SLOT_BYTES +
	       TMEM_WIRE_HEADER_BYTES;
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

/* ---- requests.c ----------------------------------------------------------------------- */

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

/* ---- operations: put.c, get.c, flush.c ------------------------------------------------ */

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

/* ---- owed.c (N) ----------------------------------------------------------------------- */

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

/* ---- area.c --------------------------------------------------------------------------- */

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

/* ---- landing.c (S) -------------------------------------------------------------------- */

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

/* ---- ahead.c (S) ---------------------------------------------------------------------- */

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
void tmem_ahead_unregister_all(struct tmem_shim *shim);
/* The entry that is fetching this page ahead: its position, or 0. */
uint64_t tmem_ahead_fetching(struct tmem_shim *shim, uint32_t pool, const struct tmem_oid *oid,
			     uint64_t index);

/* ---- summary.c (T) -------------------------------------------------------------------- */

/* Without the lock. Nothing near the page was ever put into the pool, in this epoch: so nothing of
 * it is queued, landed or on its way either. The cheapest of the questions, and of a cold read the
 * only one. False as long as nobody has said tmem_summary_sure. */
bool tmem_summary_surely_absent(struct tmem_shim *shim, uint32_t id, const struct tmem_oid *oid,
				uint64_t index);
/* From now on that can be asked of @pool, until others need its place; of no pool any more:
 * whenever the era of one ends. */
void tmem_summary_sure(struct tmem_shim *shim, const struct tmem_shim_pool *pool);
void tmem_summary_unsure(struct tmem_shim *shim);

/* What is known of a page's window, for the questions about it; good until a window is made. */
struct tmem_summary {
	uint64_t hash;
	struct tmem_window *window; /* NULL: nothing but the filter */
};
struct tmem_summary tmem_summary_find(struct tmem_shim *shim, const struct tmem_shim_pool *pool,
				      const struct tmem_oid *oid, uint64_t index);
/* A get of the page: whether it is certainly not there. */
bool tmem_summary_negative(struct tmem_shim *shim, const struct tmem_shim_pool *pool,
			   const struct tmem_summary *summary, uint64_t index);
/* The same, for a page that nobody asks for now. */
bool tmem_summary_absent(struct tmem_shim *shim, const struct tmem_shim_pool *pool,
			 const struct tmem_oid *oid, uint64_t index);
/* Whether the get of this page is to ask for a bitmap; then it does. */
bool tmem_summary_ask(struct tmem_shim *shim, const struct tmem_shim_pool *pool,
		      const struct tmem_summary *summary);
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

/* ---- own.c (F10) ---------------------------------------------------------------------- */

void tmem_own_put(struct tmem_shim *shim, const struct tmem_shim_pool *pool,
		  const struct tmem_oid *oid, uint64_t position);
bool tmem_own_any(struct tmem_shim *shim, const struct tmem_shim_pool *pool,
		  const struct tmem_oid *oid);
/* A flush of the object, issued at @position, was acknowledged. */
void tmem_own_flushed(struct tmem_shim *shim, const struct tmem_shim_pool *pool,
		      const struct tmem_oid *oid, uint64_t position);
void tmem_own_reset(struct tmem_shim *shim);

/* ---- pools.c -------------------------------------------------------------------------- */

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
/* Not counting pages of swap areas. */
static inline bool tmem_pool_owes(const struct tmem_shim_pool *pool)
{
	return pool->owed_count || pool->owed_all || pool->owed_destroy;
}
/* The pool that an entry is for; NULL: none, or it is gone. */
static inline struct tmem_shim_pool *tmem_entry_pool(struct tmem_shim *shim,
						     const struct tmem_entry *entry)
{
	struct tmem_shim_pool *pool =
		entry->pool < shim->config.pools ? &shim->pools[entry->pool] : NULL;

	return pool && pool->id != TMEM_NO_HOST_POOL ? pool : NULL;
}
/* In how many shared pools this guest has a part. */
uint32_t tmem_pools_shared(const struct tmem_shim *shim);
/* Whether it has to echo: it has a part, or could not have it again if it were silent (R-a). */
bool tmem_pools_echo(const struct tmem_shim *shim);
/* The pool is no more. */
void tmem_pool_free_place(struct tmem_shim *shim, struct tmem_shim_pool *pool);
/* The pool stays out and is no more, its mount may live on. */
void tmem_pool_remember_outcast(struct tmem_shim *shim, const struct tmem_shim_pool *pool);
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

/* ---- link.c --------------------------------------------------------------------------- */

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

/* ---- replay.c ------------------------------------------------------------------------- */

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

/* ---- reply.c, reply_get.c ------------------------------------------------------------- */

/* Takes one reply of the running session. False: it makes no sense. */
bool tmem_shim_reply(struct tmem_shim *shim, const struct tmem_message *reply, const void *payload);
/* The same for one that answers the get at @position. */
bool tmem_reply_get(struct tmem_shim *shim, uint64_t position, const struct tmem_message *reply,
		    const void *payload);
/* The oldest unanswered entry, at @position, has all its replies. */
void tmem_reply_done(struct tmem_shim *shim, uint64_t position);
/* The beginning of a reply is there (shim->begun). Of a page that a task waits for, what has come
 * is copied now: the rest is often on its way for longer than that takes. */
void tmem_shim_reply_begins(struct tmem_shim *shim);

/* ---- output.c, input.c ---------------------------------------------------------------- */

/* Entries whose bytes were given back are free once they are answered, too. */
void tmem_shim_returned(struct tmem_shim *shim);
/* Without the lock; pump: asks for a new stream if that is wanted. */
void tmem_shim_reopen(struct tmem_shim *shim);

#endif
