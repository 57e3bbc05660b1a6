/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The server's side of one client: its session, the pools it shares, its connections.
 *
 * THREADS. A client belongs to one worker for as long as the server runs, and so do its channels
 * and connections. Only that worker's thread touches what is not said to be shared here, so that
 * the data path takes no lock of the server's, and one session's connection taking over from
 * another's is nothing that two threads do. Before the workers run, and in tests that have none,
 * the caller is that thread.
 *
 * LOCK ORDER: that of starting and ending a trace, server (channels, sessions), shares, then one
 * of: a session's, the state file's, the events'. None is held while the engine is called or a
 * socket is used.
 */
#ifndef TMEM_SESSION_H
#define TMEM_SESSION_H

#include "event.h"
#include "lease.h"
#include "state.h"

struct tmem_connection;
struct tmem_worker;

/* A token is given out for so long at most; those of the longest T_expel are kept. */
enum { TMEM_TOKENS_A_LEASE = 16, TMEM_EXPEL_LEASES_MAX = 48 };
_Static_assert(TMEM_TOKENS >= TMEM_TOKENS_A_LEASE * (TMEM_EXPEL_LEASES_MAX + 1), "all are kept");

/* A mount that is more than these is treated as one of before the session. */
enum { TMEM_NEW_MOUNTS = 16 };

struct tmem_times {
	uint64_t lease_ns;
	uint64_t expel_ns;
	uint64_t giveup_ns;
};

struct tmem_server {
	struct tmem_engine *engine;
	struct tmem_state *state;
	struct tmem_times times;
	struct tmem_events events;
	struct tmem_shares shares;
	struct tmem_worker *workers;
	uint32_t worker_count;

	_Atomic bool tracing;       /* workers have tracers */
	pthread_mutex_t trace_lock; /* starting and ending a recording; no worker takes it */
	struct tmem_recording *recording;
	uint64_t trace_generation;

	pthread_mutex_t lock; /* what follows */
	struct tmem_session *sessions;
	struct tmem_channel *channels;
	int64_t next_channel;
	uint32_t next_worker;
};

/* A pool id of the client that names a shared pool. */
struct tmem_join {
	uint32_t pool;
	struct tmem_share *share;
};

/* Written by the worker, read by any thread. */
struct tmem_session_counters {
	_Atomic uint64_t bytes_in;
	_Atomic uint64_t bytes_out;
	_Atomic uint64_t requests;
	_Atomic uint64_t turns;
	_Atomic uint64_t most_turn_requests;
	_Atomic uint64_t most_waited_requests;
	_Atomic uint64_t reply_writes;
	_Atomic uint64_t damaged_streams;
	_Atomic uint64_t refused_messages;
	_Atomic uint64_t stalled_ns;
	_Atomic uint64_t unserved_gets;
	_Atomic uint64_t presence_bitmaps;
	_Atomic uint64_t ahead_pages;
	_Atomic uint64_t buffered_bytes;
};

struct tmem_session {
	struct tmem_server *server;
	struct tmem_worker *worker;
	struct tmem_session *next; /* in the server's list; fixed */
	char name[TMEM_CLIENT_NAME_MAX + 1];
	int64_t slot; /* of the state file */

	struct tmem_client *client; /* a reference */
	struct tmem_connection *active;
	uint64_t generation; /* offers made before it last changed are void */
	struct tmem_state_progress progress;
	bool progress_changed;   /* since it was written to the state file */
	struct tmem_join *joins; /* by pool id */
	uint32_t join_count;
	uint32_t join_room;
	uint64_t token_sent; /* the newest that the guest was sent */
	/* what mounts that were made in this session have joined: who stays out is not they */
	uint8_t new_mounts[TMEM_NEW_MOUNTS][TMEM_UUID_BYTES];
	uint32_t new_mount_count;
	struct tmem_event_rate rate;
	bool has_unsent_bye;
	uint64_t trace_generation; /* of the recording in which it has a number */
	uint64_t trace_introduced; /* ... and its pools are known */
	uint16_t trace_client;     /* that number */

	pthread_mutex_t lock; /* held to write, and by other threads to read */
	struct tmem_state_session durable;

	struct tmem_sharer sharer;
	struct tmem_session_counters counters;
	_Atomic uint32_t connected; /* its session, that is */
	_Atomic uint32_t tag;
	_Atomic uint32_t shared_pools;
	_Atomic uint64_t echo_ns;
};

static inline void tmem_add(_Atomic uint64_t *counter, uint64_t by)
{
	/* one writer: no locked instruction is needed */
	atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + by,
			      memory_order_relaxed);
}

static inline void tmem_raise(_Atomic uint64_t *counter, uint64_t to)
{
	if (to > atomic_load_explicit(counter, memory_order_relaxed))
		atomic_store_explicit(counter, to, memory_order_relaxed);
}

/* tmem_server_start without starting threads; without @threads, without workers: then sessions and
 * connections are the caller's to drive. */
int tmem_server_make(struct tmem_engine *engine, const char *state_path,
		     const struct tmem_server_options *options, bool threads,
		     struct tmem_server **ret, struct tmem_error *error);

/* What tmem_server_make made; its workers have ended, or never were. */
void tmem_server_free(struct tmem_server *server);

/* ---- of all clients (sessions.c); any thread ---- */

/* Takes over what arena and state file know (before the workers run): sessions that can be resumed
 * are awaited, what is left of others is cleaned up. 0 or a negative errno. */
int tmem_sessions_load(struct tmem_server *server, struct tmem_error *error);
void tmem_sessions_free(struct tmem_server *server);

/* The first of all; those behind it stay where they are. */
struct tmem_session *tmem_session_first(struct tmem_server *server);

/* The session struct of the client @name; NULL when there is none. */
struct tmem_session *tmem_session_find(struct tmem_server *server, const char *name);
/* The same, and makes it, with the client, when there is none. 0 or a negative errno. */
int tmem_session_make(struct tmem_server *server, const char *name, struct tmem_session **ret,
		      struct tmem_error *error);

/* ---- one client's; its worker ---- */

/* Whether the client exists; takes a new reference when it was destroyed and made again. */
bool tmem_session_has_client(struct tmem_session *session);

struct tmem_hello {
	uint8_t boot_id[TMEM_BOOT_ID_BYTES];
	char implementation[TMEM_IMPLEMENTATION_BYTES];
	uint64_t session;
	uint64_t token;
};

enum tmem_verdict { TMEM_VERDICT_RESUME = 1, TMEM_VERDICT_NEW_EPOCH = 2 };

/* What HELLO was answered; START takes it. */
struct tmem_offer {
	struct tmem_hello hello;
	uint64_t key;
	uint64_t generation;
	uint64_t epoch;
	uint32_t session;
	uint32_t tag;
	int verdict; /* enum tmem_verdict, or a refusal */
	bool same_boot;
	bool rejoin;
	bool pools_kept;
};

/* Decides what to offer. Changes nothing but that a lapse is noticed. */
void tmem_session_offer(struct tmem_session *session, const struct tmem_hello *hello,
			struct tmem_offer *ret);

/* START of @offer on @connection: TMEM_DONE, -ESTALE or -EILSEQ. */
int tmem_session_start(struct tmem_session *session, const struct tmem_offer *offer,
		       struct tmem_connection *connection, uint32_t untrusted_tag,
		       uint64_t untrusted_digest);

/*
 * Ends the session for good, if it has one: leaves the shared pools, which empties them, and
 * destroys the ephemeral ones. Its connection, if there is one, is told @reason; 0: it knows.
 * @flags say what is remembered (enum tmem_state_flags).
 */
void tmem_session_end(struct tmem_session *session, int reason, uint32_t flags);

/* A client that was being removed has a channel again. */
void tmem_session_comes_back(struct tmem_session *session);

/* The connection is no longer its; it may resume over another one. */
void tmem_session_detach(struct tmem_session *session);

/* Makes what was applied durable, before a reply says so. */
void tmem_session_write_progress(struct tmem_session *session);

/* ---- its shared pools (session_shared.c); its worker ---- */

/* Whether its lapse is too long; then it has been expelled (R-a). */
bool tmem_session_lapsed(struct tmem_session *session, uint64_t now_ns);
/* When that will be, at the earliest; UINT64_MAX: never. */
uint64_t tmem_session_lapses_ns(const struct tmem_session *session);

/* An echo of @untrusted_token: whether it counts. */
bool tmem_session_echo(struct tmem_session *session, uint64_t untrusted_token);
/* A token to be sent. */
uint64_t tmem_session_token(struct tmem_session *session, uint64_t now_ns);

/* Whether gets of the pool may be answered. */
bool tmem_session_served(struct tmem_session *session, uint32_t untrusted_pool);
/* Before the client joins its first shared pool: the time in which it must echo runs from now on,
 * not from when it last shared one. It is not served before its first echo. */
void tmem_session_start_clock(struct tmem_session *session);
/* Whether a mount that was a member before may join the shared pool @uuid (R-a). */
bool tmem_session_may_rejoin(const struct tmem_session *session, const uint8_t *uuid,
			     uint64_t now_ns);
/* A mount that was made in this session has joined it. */
void tmem_session_new_mount(struct tmem_session *session, const uint8_t *uuid);
/* The client has joined the shared pool under @pool: 0 or -ENOMEM. */
int tmem_session_join(struct tmem_session *session, uint32_t pool);
/* The pool is gone. */
void tmem_session_left(struct tmem_session *session, uint32_t untrusted_pool);
/* Its lease holds until then; 0: it has none. */
void tmem_session_set_lease(struct tmem_session *session, uint64_t until_ns);
/* Whether the guest can prove that it was heard less than T_expel ago (R-a). */
bool tmem_session_proves_age(struct tmem_session *session, uint64_t untrusted_token,
			     uint64_t now_ns);

/* ---- for others (session_info.c); any thread ---- */

void tmem_session_fill_info(struct tmem_session *session, struct tmem_session_info *ret);

#endif
