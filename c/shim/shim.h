/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest's shim: turns the calls of the front ends into tmem operations and gets them to the
 * host in order, over a stream of bytes that may break, fall silent or end at any moment.
 *
 * Three parties call it:
 *   - front ends: any number of threads, processors and interrupts, through frontends.h
 *     (cleancache and frontswap) or through the operations below;
 *   - one *pump*, which moves bytes between the shim and a transport: a thread in user space, a
 *     kernel thread beside a virtqueue. It alone calls what stands under "the transport's half",
 *     one call at a time;
 *   - whoever set it up.
 *
 * The letters K to T are the rules of docs/coherency.md; docs/shim.md says how each is kept, and
 * compares every decision with Xen's drivers/xen/tmem.c.
 *
 * Contexts. *Atomic*: may be called with interrupts off, in reclaim, under foreign spinlocks; takes
 * the shim's lock and nothing else, for a bounded time; never sleeps, never allocates. *Task*: may
 * sleep. Nothing allocates after tmem_shim_init: the caller gives all memory, of a size that the
 * configuration fixes.
 *
 * As with any tmem there is no order between concurrent calls on one handle (rule 12): the front
 * end holds its page lock.
 */
#ifndef TMEM_SHIM_H
#define TMEM_SHIM_H

#include "shim_counters.h"
#include "tmem_abi.h"

#ifndef TMEM_CDEF
#include "platform.h"
#endif

struct tmem_shim;

/* ---- making one ----------------------------------------------------------------------- */

/* Every bound of the shim. 0 takes the default, which stands beside it; what is "0: none" says so
 * and is switched off by TMEM_SHIM_NONE. */
enum { TMEM_SHIM_NONE = 0xffffffff };

struct tmem_shim_config {
	uint32_t queue_entries; /* operations the host has not answered; a power of two; 1024 */
	uint32_t staged_pages;  /* of them, those with a page; at most queue_entries; 256 or that */
	uint32_t pools;         /* at a time, those being left included; 64 */
	uint32_t owed_objects;  /* owed flushes of each pool, before the whole pool is owed; 16 */
	uint32_t landing_pages; /* fetched ahead and not read yet; 128 (rule S) */
	uint32_t ahead_pages;   /* asked for with one get, at most TMEM_WIRE_AHEAD_MAX; 32. NONE: no
				   get runs ahead */
	uint32_t runs;          /* sequential readers that are recognised at a time; 16 */
	uint32_t summary_windows; /* of 128 pages each; 1024. NONE: every get asks the host (rule T)
				   */
	uint32_t summary_filter_bits; /* remembers windows that were ever put; a power of two; 2^20
				       */
	uint32_t hello_ms;            /* from one HELLO without an answer to the next; 500 */
	uint32_t get_ms;              /* a get or store without an answer fails after this; 2000 */
	uint32_t silent_ms; /* something unanswered for this long: the channel is broken; 4000 */
	uint32_t idle_ms;   /* nothing heard for this long: ask for a sign of life; 10000 */
	uint32_t giveup_ms; /* T_giveup until the host has said its own; 4000 (rule R) */
	/* Of what the transport's device reads, headers and pages: it can be in pieces of as many
	 * bytes, in a row each, of which tmem_shim_pieces() are needed. At least 8192, such that
	 * slots of 4168 leave 512 or more over. 0: in the shim's own memory, in a row */
	uint32_t piece_bytes;
	uint8_t boot_id[16];     /* random, the same for as long as this guest's memory lives */
	char implementation[64]; /* says to the host's people what this is */
};

/* What the shim tells its owner, for logs. Never with the lock held; atomic. */
enum tmem_shim_event {
	TMEM_SHIM_STARTED = 1,    /* a new epoch; code: its number */
	TMEM_SHIM_RESUMED = 2,    /* code: operations sent again */
	TMEM_SHIM_BROKEN = 3,     /* code: a negative errno */
	TMEM_SHIM_REFUSED = 4,    /* HELLO was refused; code: the verdict. It is tried again */
	TMEM_SHIM_GAVE_UP = 5,    /* after T_giveup; the session is over */
	TMEM_SHIM_EXPELLED = 6,   /* shared mounts stay out until their next mount */
	TMEM_SHIM_LOST = 7,       /* the host no longer has this guest's persistent pages */
	TMEM_SHIM_LOAD_WAITS = 8, /* a load found no session and waits (P) */
	TMEM_SHIM_BAD_MESSAGE = 9,
	TMEM_SHIM_DOWNGRADED = 10, /* a shared pool was asked for, a private one granted; code: pool
				    */
};

/* What becomes of a load whose page the host has lost (P). */
enum tmem_shim_verdict {
	TMEM_SHIM_WAIT = 0, /* wait for ever */
	TMEM_SHIM_FAIL = 1, /* the load returns TMEM_EUCLEAN; right only where nobody takes that for
			       "read the disk" */
};

struct tmem_shim_callbacks {
	void *context;
	/* Atomic; called without the shim's lock, but perhaps under the front end's. There is
	 * something for the pump to do: it calls tmem_shim_tick and tmem_shim_output soon. */
	void (*wake)(void *context);
	/* Pump. The stream is no good any more: reopen it where that is possible, then call
	 * tmem_shim_opened (at once, on a virtqueue). */
	void (*reopen)(void *context);
	/* Task. A load found its page gone: enum tmem_shim_verdict, or it does not return (panic:
	 * what the kernel does by default). NULL: TMEM_SHIM_FAIL. */
	int (*lost)(void *context, uint32_t pool, const struct tmem_oid *oid, uint64_t index);
	/* May be NULL. */
	void (*event)(void *context, int event, int64_t code);
	/* Atomic. NULL: tmem_platform_now_ns. For tests. */
	uint64_t (*now_ns)(void *context);
};

/* Bytes that a shim of @config needs beside its pieces, or 0 if the configuration is not possible.
 */
uint64_t tmem_shim_bytes(const struct tmem_shim_config *config);

/* Pieces that it needs: 0 if config.piece_bytes is, or the configuration is not possible. */
uint32_t tmem_shim_pieces(const struct tmem_shim_config *config);

/*
 * Makes a shim in the tmem_shim_bytes() bytes at @memory and the @pieces (zeroed or not; each at a
 * multiple of 64; @pieces itself is not used any more afterwards, and NULL where none are needed).
 * It has no session and no pools. Segments of output are in the pieces, so in the kernel those must
 * be memory of the linear map, or the transport copies. Returns it, or NULL for a configuration
 * that is not possible.
 */
struct tmem_shim *tmem_shim_init(void *memory, void *const *pieces,
				 const struct tmem_shim_config *config,
				 const struct tmem_shim_callbacks *callbacks);

/* Nobody calls the shim any more. What waits must have been ended by tmem_shim_end before. */
void tmem_shim_destroy(struct tmem_shim *shim);

/* ---- pools ---------------------------------------------------------------------------- */

/*
 * Names a new pool and returns its id (>= 0) at once; ids are not used again. The host is asked for
 * the pool as soon as there is a session, and again in every new epoch. Until it has answered, puts
 * and flushes do nothing and gets miss. @flags: TMEM_POOL_PERSISTENT, TMEM_POOL_SHARED or 0.
 * @uuid: 16 bytes, for shared pools. A shared pool is that of one mount: after a lapse (R-a) it
 * stays out, which ends with a new pool for the next mount. Atomic.
 *
 * TMEM_EINVAL (flags), TMEM_EPERM (shared and persistent), TMEM_EMFILE (config.pools are there).
 */
int tmem_shim_new_pool(struct tmem_shim *shim, uint32_t flags, const uint8_t *uuid);

/* The same for a mount that has been a member of the shared pool before, through a shim that is no
 * more or a pool of this one that was left: it joins only if the host can tell that this guest has
 * lived on since (R-a), else it stays out. Atomic. */
int tmem_shim_rejoin_pool(struct tmem_shim *shim, const uint8_t *uuid);

/* The id of the pool that follows @pool in the table; @pool < 0: of the first. -1: none follows.
 * Atomic. */
int64_t tmem_shim_pool_next(struct tmem_shim *shim, int64_t pool);

struct tmem_shim_pool_info {
	uint32_t id;
	uint32_t host_id; /* 0xffffffff: the host has not given one */
	uint32_t flags;   /* as granted once the host has answered; as asked for before */
	uint32_t state;   /* enum tmem_shim_pool_state */
	uint8_t uuid[16];
	int32_t refused; /* the host's last refusal to make it, 0: none */
	uint32_t owed_objects;
	uint32_t owed_pool;
	uint64_t owed_pages; /* of swap areas */
};

enum tmem_shim_pool_state {
	TMEM_SHIM_POOL_WANTED = 1,    /* the host is to be asked */
	TMEM_SHIM_POOL_ASKED = 2,     /* ... and was */
	TMEM_SHIM_POOL_READY = 3,     /* puts and gets go to the host */
	TMEM_SHIM_POOL_STAYS_OUT = 4, /* shared, until the next mount (R-a) */
	TMEM_SHIM_POOL_REFUSED = 5,   /* the host will not; asked again in the next epoch */
	TMEM_SHIM_POOL_LEAVING = 6,   /* destroyed here, not acknowledged yet */
};

/* 0 or TMEM_ENODEV. Atomic. */
int tmem_shim_pool_info(struct tmem_shim *shim, uint32_t pool, struct tmem_shim_pool_info *ret);

/* Waits until the pool is ready, refused or stays out: TMEM_DONE, the refusal, TMEM_ETIMEDOUT after
 * @timeout_ms, TMEM_ENODEV. Task. */
int tmem_shim_pool_wait(struct tmem_shim *shim, uint32_t pool, uint32_t timeout_ms);

/* ---- operations ----------------------------------------------------------------------- */

#ifndef TMEM_CDEF
/*
 * An operation whose outcome somebody wants. The caller's memory, untouched by him from start until
 * it is finished.
 */
struct tmem_shim_request {
	/* in */
	uint32_t op; /* PUT_PAGE, GET_PAGE, FLUSH_PAGE, FLUSH_OBJECT, FLUSH_RANGE, FLUSH_POOL,
			DESTROY_POOL or STAT */
	uint32_t pool;
	struct tmem_oid oid;
	uint64_t index;
	uint64_t count; /* FLUSH_RANGE: pages */
	void *page;     /* PUT_PAGE: read, until it is finished. GET_PAGE: written until then;
			   what it holds counts on a hit. STAT: the map, at most a page */
	/* out */
	int32_t result; /* enum tmem_result */
	uint32_t bytes; /* STAT: of the map */

	/* the shim's */
	uint32_t state;
	int32_t outcome; /* result of a put that became a flush; 0: as answered */
	uint32_t why;    /* of a put: where the counter of stores is that fail like it */
	uint32_t is_load;
	uint64_t deadline_ns; /* UINT64_MAX: none */
	uint64_t entry;
	struct tmem_shim_request *next;
	struct tmem_shim_request *active_next;
	struct tmem_shim_request *active_previous;
	struct tmem_platform_done done;
};
#else
struct tmem_shim_request;
#endif

enum { TMEM_SHIM_PENDING = 2 };

/*
 * Begins @request. Returns its result if it is known at once (then the request is finished), else
 * TMEM_SHIM_PENDING. Atomic. Unlike the calls below that do not wait, a started put or flush that
 * finds the queue full waits for room.
 *
 * How it ends when the channel breaks: gets on ephemeral pools miss, puts fail, gets on persistent
 * pools go on waiting (P), so do flushes until T_giveup (M, R), as pools being destroyed do.
 */
int tmem_shim_start(struct tmem_shim *shim, struct tmem_shim_request *request);

/* The result once there is one, TMEM_SHIM_PENDING before. Atomic. */
int tmem_shim_finished(struct tmem_shim *shim, struct tmem_shim_request *request);

/* Waits for the end of a started request and returns its result. Task. */
int tmem_shim_wait(struct tmem_shim *shim, struct tmem_shim_request *request);

/* Gives a started request up: it is finished when this returns, and its page is not written any
 * more (F11). TMEM_EAGAIN unless it had a result. A flush given up leaves the session as it is:
 * only for flushes whose outcome nobody relies on. Atomic. */
int tmem_shim_cancel(struct tmem_shim *shim, struct tmem_shim_request *request);

/*
 * Puts without waiting (L). TMEM_DONE: queued; whether the host takes it nobody is told. Else the
 * page is not, and nothing older of the handle will be, readable: TMEM_EAGAIN. TMEM_ENODEV: no such
 * pool. On a persistent pool use tmem_shim_put_wait. Atomic.
 */
int tmem_shim_put(struct tmem_shim *shim, uint32_t pool, const struct tmem_oid *oid, uint64_t index,
		  const void *page);

/* Puts and waits for the host's answer, which it returns (O). Task. */
int tmem_shim_put_wait(struct tmem_shim *shim, uint32_t pool, const struct tmem_oid *oid,
		       uint64_t index, const void *page);

/* TMEM_DONE with the page, else TMEM_MISS or a negative TMEM_E*; then @page may hold part of it. On
 * a persistent pool it does not come back before the host has answered (P). Task. */
int tmem_shim_get(struct tmem_shim *shim, uint32_t pool, const struct tmem_oid *oid, uint64_t index,
		  void *page);

/* Each: no later get of this guest returns what was there (N); what other guests get is settled
 * only by the *_wait form. TMEM_DONE or TMEM_ENODEV. On a persistent pool without an area they
 * return TMEM_EAGAIN, nothing done, when there is no room at all. Atomic. */
int tmem_shim_flush_page(struct tmem_shim *shim, uint32_t pool, const struct tmem_oid *oid,
			 uint64_t index);
int tmem_shim_flush_object(struct tmem_shim *shim, uint32_t pool, const struct tmem_oid *oid);
int tmem_shim_flush_pool(struct tmem_shim *shim, uint32_t pool);

/* Waits for the host, at most T_giveup; giving up ends the session (R-b). TMEM_DONE: no guest gets
 * anything older from now on, whether it was acknowledged or given up. Task. */
int tmem_shim_flush_page_wait(struct tmem_shim *shim, uint32_t pool, const struct tmem_oid *oid,
			      uint64_t index);
int tmem_shim_flush_object_wait(struct tmem_shim *shim, uint32_t pool, const struct tmem_oid *oid);

/* Destroys a private pool or leaves a shared one (S2), and waits for that like a flush. From the
 * call on puts are dropped and gets miss; flushes of the pool that are waited for wait for the
 * leave (docs/coherency.md). Task. */
int tmem_shim_destroy_pool(struct tmem_shim *shim, uint32_t pool);

/* What the host holds for this guest: its map (docs/protocol.md) into the page at @map. Returns its
 * bytes, TMEM_EAGAIN without a session, or TMEM_ETIMEDOUT. Task. */
int tmem_shim_stat(struct tmem_shim *shim, void *map);

/* From now on puts into persistent pools fail, or (non-zero @accept) are taken again. What was
 * stored stays and is loaded as ever: the first half of detaching (F1). Atomic. */
void tmem_shim_accept_stores(struct tmem_shim *shim, int accept);

/* ---- the transport's half (the pump alone) -------------------------------------------- */

/* The stream is there and nothing that was taken from tmem_shim_output before is still being sent
 * on it. Says HELLO. */
void tmem_shim_opened(struct tmem_shim *shim);

/* The stream is gone. Atomic. */
void tmem_shim_closed(struct tmem_shim *shim);

struct tmem_shim_segment {
	const void *data; /* whole messages, contiguous */
	uint64_t bytes;
};

/*
 * Takes what is to be sent next: up to @max segments into @segments, which are to be sent in this
 * order and stay as they are until they were given back. Returns how many; 0: nothing now, wake()
 * will be called. Atomic.
 */
uint32_t tmem_shim_output(struct tmem_shim *shim, struct tmem_shim_segment *segments, uint32_t max);

/* Gives the oldest @bytes back: written to the socket, or used by the device. A used buffer is not
 * a delivered one (V3), so the slot is free only once it was given back *and* answered. Atomic. */
void tmem_shim_sent(struct tmem_shim *shim, uint64_t bytes);

/* Takes the next @bytes of the stream, in pieces of any size. Finishes requests. Returns 0, or a
 * negative errno after which the stream is of no use: reopen() was called. Atomic. */
int tmem_shim_input(struct tmem_shim *shim, const void *data, size_t bytes);

/*
 * What falls due with time: echoes, deadlines, HELLO again, a silent host. Call it when its time
 * has come and after wake(). It is the only place that makes echoes, so the pump must be a task,
 * and a guest that has panicked falls silent (R-c). Returns when to call it next, on the shim's
 * clock.
 */
uint64_t tmem_shim_tick(struct tmem_shim *shim);

/* No echo from now on: for panic and reboot notifiers. Takes no lock. */
void tmem_shim_silence(struct tmem_shim *shim);

#ifndef TMEM_CDEF
/* For a transport whose bytes are moved by others, too. Neither takes the lock, so both may be a
 * moment old; what wake() was called for they say. Whether tmem_shim_tick is to be called since the
 * stream has to begin anew; whether somebody waits for room, which tmem_shim_sent makes. Atomic. */
bool tmem_shim_reopens(const struct tmem_shim *shim);
bool tmem_shim_lacks_room(const struct tmem_shim *shim);
#endif

/* Ends in order: every operation queued before is sent, then BYE. Ends every wait; nothing can be
 * started afterwards. The pump goes on until tmem_shim_output returns 0, or as long as it likes.
 * The host keeps persistent pages for as long as the boot id comes back. */
void tmem_shim_end(struct tmem_shim *shim);

/* ---- looking at it -------------------------------------------------------------------- */

enum tmem_shim_state {
	TMEM_SHIM_CLOSED = 0,  /* no stream */
	TMEM_SHIM_HELLO = 1,   /* asked for a session */
	TMEM_SHIM_START = 2,   /* taking the one that was offered */
	TMEM_SHIM_RUNNING = 3, /* operations flow */
	TMEM_SHIM_ENDED = 4,   /* tmem_shim_end was called */
};

struct tmem_shim_info {
	uint32_t state;    /* enum tmem_shim_state */
	uint32_t session;  /* to be resumed, or running; 0: none */
	uint64_t epoch;    /* as the host counts; 0: never had a session */
	uint32_t tag;      /* last used */
	int32_t last_code; /* why the channel broke or HELLO was refused last */
	uint32_t giveup_ms;
	uint32_t lease_ms;
	uint32_t queued;        /* operations in the queue */
	uint32_t staged;        /* page slots in use */
	uint32_t waiting;       /* unfinished requests */
	uint32_t waiting_loads; /* of them, gets on persistent pools */
	uint32_t landed;        /* pages fetched ahead and not read */
	uint32_t shared_pools;  /* that this guest is a member of */
	uint64_t owed;          /* flushes owed: swap pages, objects and pools */
	uint64_t token;         /* newest received */
	uint64_t confirmed;     /* newest whose echo the host has confirmed */
	uint64_t memory_bytes;
};

/* Atomic, both. */
void tmem_shim_info(struct tmem_shim *shim, struct tmem_shim_info *ret);
void tmem_shim_counters(struct tmem_shim *shim, struct tmem_shim_counters *ret);

#ifndef TMEM_CDEF
/* Page slots in use; operations that wait for tmem_shim_output; those that the host has not
 * answered; unfinished requests. None takes a lock, so each may be a moment old. Atomic. */
uint32_t tmem_shim_staged(const struct tmem_shim *shim);
uint32_t tmem_shim_backlog(const struct tmem_shim *shim);
uint32_t tmem_shim_unanswered(const struct tmem_shim *shim);
uint32_t tmem_shim_waiting(const struct tmem_shim *shim);
#endif

/* ---- a session that outlives its process ---------------------------------------------- */

/* What another shim with the same boot id needs to go on with this one's session. */
struct tmem_shim_saved {
	uint32_t session;
	uint32_t tag;
	uint64_t epoch;
	uint64_t digest;
	uint64_t confirmed;
};

/* Of a shim on which nothing is queued or owed: 0, else TMEM_EBUSY; TMEM_ENOENT without a session.
 * The shim must not send anything afterwards (do not call tmem_shim_end: that ends the session). */
int tmem_shim_save(struct tmem_shim *shim, struct tmem_shim_saved *ret);

#ifndef TMEM_CDEF
/* Whether a mount of a shared pool stays out (R-a), with a pool or, for the moment, without. Then
 * `confirmed` must not be handed to another shim, since there it would bring the mount back.
 * Atomic. */
bool tmem_shim_stays_out(struct tmem_shim *shim);
#endif

/* Before the first tmem_shim_opened. Of a session that has ended `confirmed` alone is of use: it
 * proves to the host that this guest was alive then (R-a). */
void tmem_shim_restore(struct tmem_shim *shim, const struct tmem_shim_saved *saved);

/* A pool of the saved session, as tmem_shim_pool_info of its last owner had it (READY). Returns its
 * id here. TMEM_EMFILE. */
int tmem_shim_adopt_pool(struct tmem_shim *shim, const struct tmem_shim_pool_info *info);

#endif
