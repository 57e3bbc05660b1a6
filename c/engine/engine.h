/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The tmem engine: clients, pools, objects and pages, kept in one arena.
 *
 * The engine has no sockets and no threads of its own; whoever embeds it brings both. Every
 * function here may be called from any thread at any time unless its comment says otherwise.
 *
 * Guarantees (the letters are used by tests and by docs/semantics.md):
 *   A  After put A then put B on one handle, a get never returns A.
 *   B  A put that fails, for whatever reason, leaves no older copy of its handle readable.
 *   C  After a miss a handle misses until it is put again.
 *   D  A hit on a private ephemeral pool removes the page; on a shared one it keeps and promotes
 *      it; on a persistent pool it keeps it.
 *   E  Once a flush has returned, no get by any client returns older data.
 *   F  A persistent put that was acknowledged is returned bit for bit until it is flushed, across
 *      kill -9 at any instruction and reopening of the arena.
 *   G  An ephemeral page may vanish at any time, but only whole, and never comes back older.
 *   H  A client reaches its own pools and the shared pools it was authorised for, nothing else.
 *   I  A shared join without authorisation yields a private pool, and the answer says so.
 *   J  Weight, cap and quota do what they say; a page of a shared pool is charged to the pool's
 *      owner at every moment.
 * There is no order between concurrent calls on one handle (rule 12): the guest holds its page
 * lock. Calls on one object are serialised, calls on different objects run in parallel.
 *
 * Lock order and lifetimes of what is inside: internal.h.
 *
 * Units: *_bytes are bytes, *_pages are pages of TMEM_PAGE_BYTES. Sizes an operator sets are
 * bytes of arena: a page costs its slot (its size class) plus a record of 64 bytes.
 */
#ifndef TMEM_ENGINE_H
#define TMEM_ENGINE_H

#include "counters.h"
#include "tmem_abi.h"

#ifndef TMEM_CDEF
#include <stddef.h>
#endif

struct tmem_engine;
struct tmem_client;

/* Limits of the engine that no guest sees. */
enum {
	TMEM_CLIENT_NAME_MAX = 127, /* bytes, without the terminating zero */
	TMEM_ERROR_BYTES = 256,
	TMEM_POLICY_NAME_MAX = 31,
};

/* What went wrong with an arena: a negative errno, and one sentence an operator can act on. */
struct tmem_error {
	int code;
	char message[256];
};

/* ---- the arena ------------------------------------------------------------------------- */

struct tmem_options {
	uint64_t budget_bytes; /* arena memory the engine may hold at once; 0: 256 MiB */
	uint64_t max_bytes;    /* fixed when the arena is formatted: budget can be raised to this;
				  0: 256 GiB. Address space and a sparse table, not memory */
	uint32_t extent_bytes; /* fixed when formatted: unit of growing, shrinking and size class;
				  a power of two, 16 KiB to 2 MiB; 0: 512 KiB (the page size of a
				  hugetlbfs if that is larger) */
	uint32_t create;       /* non-zero: make and format the file when absent */
};

/* Names an arena, whatever file holds it. */
enum { TMEM_IDENTITY_BYTES = 16 };

/*
 * Opens the arena at @path, which must be on tmpfs or hugetlbfs for speed but may be any file,
 * recovers what it holds and returns the engine in *@ret. One engine at a time may have an arena
 * open (-EBUSY in @error). A damaged record costs its page, a newer format is refused with a
 * sentence. After recovery every shared pool is unserved until each member has resumed.
 * Returns 0 or a negative errno, with @error filled in (never NULL).
 */
int tmem_engine_open(const char *path, const struct tmem_options *options, struct tmem_engine **ret,
		     struct tmem_error *error);

/* Closes the arena; pages and tables stay in the file. No call may be running or follow, all
 * client references must have been released. NULL is allowed. */
void tmem_engine_close(struct tmem_engine *engine);

/* What names the arena that is open: the same for as long as it is not formatted anew, another one
 * for every other arena. Puts TMEM_IDENTITY_BYTES at @ret. */
void tmem_engine_identity(struct tmem_engine *engine, uint8_t *ret);

/* What the host holds and could have back. One consistent-enough reading: each field is exact when
 * no operation runs. */
struct tmem_usage {
	uint64_t budget_bytes;
	uint64_t max_bytes;
	uint64_t extent_bytes;
	uint64_t resident_bytes; /* reserved from the host: extents and tables */
	uint64_t idle_bytes;     /* of these, extents that hold nothing */
	uint64_t record_bytes;   /* records of live pages and rows */
	uint64_t payload_bytes;  /* stored contents, encoded */
	uint64_t slot_bytes;     /* slots those contents occupy (payload + rounding to a class) */
	uint64_t heap_bytes;     /* index, lists and tables outside the arena */
	uint64_t ephemeral_pages;
	uint64_t persistent_pages;
	uint64_t objects;
	uint64_t freeable_bytes; /* what tmem_engine_shrink could return at most: all but what
				    persistent pages and tables need, packed as tightly as whole
				    extents allow */
	uint32_t clients;
	uint32_t pools;
	uint32_t shared_pools;
	uint32_t unserved_pools;
};

void tmem_engine_usage(struct tmem_engine *engine, struct tmem_usage *ret);

/* Why a shrink returned less than asked. */
struct tmem_shrink_report {
	uint64_t asked_bytes;
	uint64_t returned_bytes; /* given back to the host by this call */
	uint64_t evicted_pages;
	uint64_t moved_pages;
	uint64_t held_persistent_bytes; /* not returned: needed by persistent pages and tables */
	uint64_t held_busy_bytes;       /* not returned: pages in use by other calls; try again */
};

/* Sets the budget. Lowering it below what is resident shrinks first; @report may be NULL.
 * Returns 0, or -EINVAL if above max_bytes (nothing changed). A budget that persistent pages do
 * not allow is kept as the new target all the same: nothing new is reserved until it is met. */
int tmem_engine_set_budget(struct tmem_engine *engine, uint64_t budget_bytes,
			   struct tmem_shrink_report *report);

/* Gives @bytes back to the host now: idle extents first, then eviction and moving of pages out of
 * sparse extents. The budget stays. */
void tmem_engine_shrink(struct tmem_engine *engine, uint64_t bytes,
			struct tmem_shrink_report *report);

/* Lets every client join every shared pool it names (durable). Off in a new arena. */
int tmem_engine_set_shared_auth_all(struct tmem_engine *engine, int allow);
int tmem_engine_shared_auth_all(struct tmem_engine *engine);

/* What recovery found, and what scrubbing found since. */
struct tmem_recovery {
	uint64_t pages;           /* pages taken back */
	uint64_t stale_records;   /* superseded copies and pages of pools that were going */
	uint64_t damaged_records; /* dropped: their check or their place is wrong */
	uint64_t damaged_rows;    /* dropped entries of the client and pool tables */
	uint64_t damaged_extents; /* extents whose class could not be told */
	uint64_t scrubbed_pages;  /* pages whose contents tmem_engine_scrub has verified */
	uint64_t scrub_damaged_pages;
	uint32_t scrub_done; /* non-zero: every page found at opening has been verified */
};

void tmem_engine_recovery(struct tmem_engine *engine, struct tmem_recovery *ret);

/* Verifies the contents of @max_pages pages (and of the rest of the last one's extent), going
 * on where the last call stopped; damaged pages are dropped and counted. Returns the pages looked
 * at, 0 once the whole arena was seen. */
uint64_t tmem_engine_scrub(struct tmem_engine *engine, uint64_t max_pages);

/* Sets the policies by name: "lru" is the only eviction policy; admission is "always" or
 * "second-chance", which refuses an ephemeral put of a page that the engine does not remember
 * having refused lately. -EINVAL for an unknown name. NULL leaves one as it is. */
int tmem_engine_set_policy(struct tmem_engine *engine, const char *eviction, const char *admission);

/* ---- clients --------------------------------------------------------------------------- */

enum tmem_encoding {
	TMEM_ENCODING_RAW = 0,
	TMEM_ENCODING_SAME = 1, /* one 64-bit word repeated: no contents stored */
	TMEM_ENCODING_LZ4 = 2,
	TMEM_ENCODING_ZSTD = 3,
};

struct tmem_client_settings {
	uint32_t weight; /* share of ephemeral memory relative to other clients; 0: no limit and no
			    claim (rule 42, 43) */
	uint32_t trust_group; /* 0: this client alone; else dedup with clients of the same number.
				 -EBUSY to change while the client holds pools */
	uint64_t cap_bytes;   /* most arena bytes charged to the client; 0: none */
	uint64_t persistent_quota_bytes; /* most of them in persistent pages; 0: none */
	uint32_t encoding; /* for pages put from now on: RAW, LZ4 or ZSTD (same-filled pages are
			      always recognised) */
	int32_t zstd_level;
	uint32_t dedup;  /* non-zero: pages put from now on may share contents in the group */
	uint32_t frozen; /* non-zero: no new pages, no new pools */
};

struct tmem_client_info {
	char name[128];
	uint32_t uid; /* number in the arena; of a later client once this one is destroyed */
	uint32_t pools;
	struct tmem_client_settings settings;
	uint64_t ephemeral_pages; /* charged to this client */
	uint64_t persistent_pages;
	uint64_t ephemeral_bytes;
	uint64_t persistent_bytes;
	uint64_t share_bytes; /* of the budget by weight; 0 while the weight is 0 */
	uint32_t resumed; /* zero: known from the arena, has not come back since it was opened */
};

/*
 * Creates the client @name (1..TMEM_CLIENT_NAME_MAX bytes), durable until destroyed. Defaults:
 * weight 0, no cap, LZ4, no dedup, thawed. Returns 0 and a reference in *@ret, -EEXIST,
 * -ENAMETOOLONG, -EINVAL (empty name) or -ENOMEM.
 */
int tmem_client_create(struct tmem_engine *engine, const char *name, struct tmem_client **ret);

/* Finds a client by name, for instance after recovery. -ENOENT. Takes a reference. */
int tmem_client_find(struct tmem_engine *engine, const char *name, struct tmem_client **ret);

/* The client after @uid in the order of numbers (start with -1); -ENOENT at the end. Takes a
 * reference. */
int tmem_client_next(struct tmem_engine *engine, int64_t uid, struct tmem_client **ret);

/* Gives a reference back. A destroyed client's memory lives until its last reference goes, its
 * calls return -ENODEV. NULL is allowed. */
void tmem_client_release(struct tmem_client *client);

/* Destroys the client: leaves its shared pools, destroys the others (rule 26), then the name is
 * free. Running calls of it end first. Returns 0, or -ENODEV if it was destroyed before. */
int tmem_client_destroy(struct tmem_client *client);

/* Tells that the client's guest is there again after the arena was reopened (rule R). */
int tmem_client_resume(struct tmem_client *client);

void tmem_client_info(struct tmem_client *client, struct tmem_client_info *ret);
int tmem_client_set(struct tmem_client *client, const struct tmem_client_settings *settings);

/* The uuids the client may share (rule 30). Durable. Adding twice is once (defect B22); removing
 * one does not touch pools already joined (rule 32). 0, -EEXIST / -ENOENT, -ENODEV, -ENOMEM. */
int tmem_client_auth_add(struct tmem_client *client, const uint8_t *uuid);
int tmem_client_auth_remove(struct tmem_client *client, const uint8_t *uuid);
/* Copies up to @max uuids to @ret (16 bytes each), returns how many there are. */
uint32_t tmem_client_auth_list(struct tmem_client *client, uint8_t *ret, uint32_t max);

/* Evicts ephemeral pages charged to the client until @bytes are free or none is left; returns the
 * bytes freed (they stay in the arena as free slots). */
uint64_t tmem_client_reclaim(struct tmem_client *client, uint64_t bytes);

/* ---- pools ------------------------------------------------------------------------------ */

struct tmem_pool_info {
	uint32_t id;      /* the client's name for it */
	uint32_t flags;   /* TMEM_POOL_PERSISTENT, TMEM_POOL_SHARED as granted */
	uint8_t uuid[16]; /* of a shared pool; zeros otherwise */
	uint32_t members; /* joins counted, of all clients */
	uint32_t owner;   /* uid of the client that is charged */
	uint32_t served;  /* zero: a shared pool whose members have not all resumed */
	uint64_t pages;
	uint64_t objects;
	uint64_t bytes; /* charged */
};

/*
 * Makes a pool, or joins the shared pool of @uuid (RFC 4122 byte order; NULL allowed for private
 * pools). @flags as in enum tmem_pool_flags, from a guest and checked here. A shared request
 * without authorisation, or with a uuid of all ones (rule 28), yields a private ephemeral pool:
 * *@granted then lacks TMEM_POOL_SHARED. Ids of one client are not reused before 2^18 later pools.
 * Returns 0 with *@pool_id and *@granted set, or -EPROTO, -EOPNOTSUPP, -EINVAL, -EPERM, -EFROZEN,
 * -EMFILE, -ENODEV, -ENOMEM; then nothing was made.
 */
int tmem_pool_new(struct tmem_client *client, const uint8_t *uuid, uint32_t untrusted_flags,
		  uint32_t *pool_id, uint32_t *granted);

/*
 * Destroys a private pool or leaves a shared one. Leaving empties the pool for everyone before it
 * returns (R(1)); the last to leave destroys it; an owner that leaves with its last join hands
 * the pool to the member that joined first. TMEM_DONE, or TMEM_MISS if there is no such pool.
 */
int tmem_pool_destroy(struct tmem_client *client, uint32_t untrusted_pool_id);

/* Removes every page of the pool, for all its members. TMEM_DONE or -ENODEV. */
int tmem_pool_flush(struct tmem_client *client, uint32_t untrusted_pool_id);

int tmem_pool_info(struct tmem_client *client, uint32_t untrusted_pool_id,
		   struct tmem_pool_info *ret);

/* The client's pool with the lowest id above @after (start with -1): its id, or -ENOENT. */
int64_t tmem_pool_next(struct tmem_client *client, int64_t after);

/* The lowest @max ids above @after (start with -1) of the client's pools, ascending, at @ret;
 * returns how many there are. Costs what the client's pools cost to look at once. */
uint32_t tmem_pool_list(struct tmem_client *client, int64_t after, uint32_t *ret, uint32_t max);

/* Serves a recovered shared pool whose absent members will not come back: empties it first. A pool
 * that is served is left as it is. TMEM_DONE or -ENODEV. */
int tmem_pool_serve_empty(struct tmem_client *client, uint32_t untrusted_pool_id);

/* ---- pages ------------------------------------------------------------------------------ */

/*
 * Stores the TMEM_PAGE_BYTES at @page. TMEM_DONE; or a refusal, after which no copy of the handle
 * is left: -ENOMEM, -EDQUOT, -EFROZEN, -EAGAIN for a page that was not there, -ENOSPC for one that
 * was (rules 2, 4, 48); -ENODEV. Which reason it was: the counters.
 */
int tmem_put(struct tmem_client *client, uint32_t untrusted_pool_id, const struct tmem_oid *oid,
	     uint64_t index, const void *page);

/*
 * Fetches TMEM_PAGE_BYTES into @page. TMEM_DONE, TMEM_MISS, -EEMPTY (rule 21), -EIO if the page was
 * damaged (it is gone now; ephemeral pools answer TMEM_MISS instead), -ENODEV. @page is written
 * only on a hit (rule 14).
 */
int tmem_get(struct tmem_client *client, uint32_t untrusted_pool_id, const struct tmem_oid *oid,
	     uint64_t index, void *page);

/* Each returns TMEM_DONE whether or not anything was there (rule 9), or -ENODEV. */
int tmem_flush_page(struct tmem_client *client, uint32_t untrusted_pool_id,
		    const struct tmem_oid *oid, uint64_t index);
int tmem_flush_object(struct tmem_client *client, uint32_t untrusted_pool_id,
		      const struct tmem_oid *oid);
/* Pages @first .. @first + @count - 1 (cut at 2^64 - 1); costs the smaller of @count and what the
 * object holds. */
int tmem_flush_range(struct tmem_client *client, uint32_t untrusted_pool_id,
		     const struct tmem_oid *oid, uint64_t first, uint64_t count);

enum { TMEM_PRESENCE_PAGES_MAX = 128, TMEM_PRESENCE_WORDS = 2 };

/*
 * Which of the pages @first .. @first + @count - 1 (@count up to TMEM_PRESENCE_PAGES_MAX) a get
 * would find: bit i of the words at @bitmap, lowest first, is page @first + i; bits of pages beyond
 * 2^64 - 1 and beyond @count are zero. Of a pool that is not served too. Nothing is promoted or
 * counted. Costs the smaller of @count and the pages of the object. TMEM_DONE, or -ENODEV (@bitmap
 * is zero then).
 */
int tmem_presence(struct tmem_client *client, uint32_t untrusted_pool_id,
		  const struct tmem_oid *oid, uint64_t first, uint32_t count, uint64_t *bitmap);

/* ---- counters --------------------------------------------------------------------------- */

/* Sums since the engine was opened. A client's include those of its pools that are gone, the
 * engine's those of clients that are gone. Exact when no call is running. */
void tmem_engine_counters(struct tmem_engine *engine, struct tmem_counters *ret);
void tmem_client_counters(struct tmem_client *client, struct tmem_counters *ret);
/* Of the pool as this client uses it. 0 or -ENODEV. */
int tmem_pool_counters(struct tmem_client *client, uint32_t untrusted_pool_id,
		       struct tmem_counters *ret);

/* ---- looking at an arena from outside ---------------------------------------------------- */

struct tmem_arena_report {
	uint32_t format_version;
	uint32_t features_incompat;
	uint64_t features_compat;
	uint64_t file_bytes;
	uint64_t resident_bytes;
	uint64_t extent_bytes;
	uint64_t max_bytes;
	uint64_t extents;
	uint64_t clients;
	uint64_t pools;
	uint64_t shared_pools;
	uint64_t ephemeral_pages;
	uint64_t persistent_pages;
	uint64_t payload_bytes;
	uint64_t stale_records;
	uint64_t damaged_records;
	uint64_t damaged_rows;
	uint64_t damaged_extents;
	uint64_t damaged_contents; /* pages whose contents fail their checksum (full check only) */
	uint32_t header_damaged; /* the first copy of the header was unusable, the second served */
	uint32_t in_use; /* an engine has the arena open: numbers may be of different moments */
};

/* Reads the arena at @path without changing it. @contents: verify every page too. Returns 0 (with
 * damage, if any, in @ret) or a negative errno with a sentence: not an arena, a newer format. */
int tmem_arena_check(const char *path, int contents, struct tmem_arena_report *ret,
		     struct tmem_error *error);

#endif
