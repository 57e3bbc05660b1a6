/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The data plane: streams of messages in, calls of the engine, streams of replies out.
 *
 * Worker threads of the server serve channels. A channel is a stream socket that belongs to one
 * client, known by name before a byte is read: who a client is follows from the socket, never from
 * what it says (guarantee H). A client has at most one session at a time, over one of its channels.
 *
 * Promises:
 *   - The operations of a session take effect in the order in which they were sent (K).
 *   - A connection costs a bounded amount of memory, whatever it sends and however slowly it reads:
 *     while its replies are not taken, its requests are not read.
 *   - Between two turns of one connection every other one of the same worker has had its turn, of
 *     at most TMEM_SERVER_TURN_REQUESTS requests and TMEM_SERVER_TURN_BYTES bytes.
 *   - Bad input ends its session (resumable where nothing was lost) and is reported with what,
 * where and why; no other client notices.
 *   - A session survives its connection, and the server's process: what is needed to resume it is
 * in the state file beside the arena, written before a reply that depends on it.
 *   - A shared pool is served only while every member's newest echo is younger than lease_ms; who
 *     lapses for expel_ms is expelled, which empties the pools it shared (R). Times are the
 *     host's CLOCK_BOOTTIME.
 *
 * Every function may be called from any thread, but for tmem_server_stop, after which the server is
 * gone.
 */
#ifndef TMEM_SERVER_H
#define TMEM_SERVER_H

#include "engine.h"
#include "wire.h"

enum {
	TMEM_SERVER_TURN_REQUESTS = 64,
	TMEM_SERVER_TURN_BYTES = TMEM_SERVER_TURN_REQUESTS * TMEM_WIRE_MESSAGE_MAX,
	TMEM_SERVER_PATH_MAX = 107, /* bytes of a unix socket's path */
};

struct tmem_server;

struct tmem_server_options {
	uint32_t workers;   /* threads; 0: one for each two processors, at least one */
	uint32_t lease_ms;  /* T_lease, at most 1000; 0: 1000 */
	uint32_t expel_ms;  /* T_expel, 1 to 48 leases; 0: 2 leases. At most
				the cluster's dead time less its fence time */
	uint32_t giveup_ms; /* T_giveup, told to the guests; 0: 4 x lease_ms */
};

/* Starts the workers. @state_path is the state file (made when absent; one of another arena is
 * refused). Returns 0 or a negative errno with @error filled in. */
int tmem_server_start(struct tmem_engine *engine, const char *state_path,
		      const struct tmem_server_options *options, struct tmem_server **ret,
		      struct tmem_error *error);

/*
 * Stops: takes no more requests, answers what was accepted, tells each guest (BYE, -ESHUTDOWN) that
 * it can resume later, closes everything. Replies that a peer does not read within @patience_ms are
 * dropped with the connection; their operations are replayed on resume. Not to be called twice;
 * events stop.
 */
void tmem_server_stop(struct tmem_server *server, uint32_t patience_ms);

/* ---- channels --------------------------------------------------------------------------- */

struct tmem_channel_options {
	char client[128]; /* made if there is none of this name */
	char path[108];   /* of the socket */
	uint32_t mode;    /* listening: rights of the socket, 0: 0600 */
	int32_t peer_pid; /* 0: any; else a peer of another process id is refused (SO_PEERCRED) */
	int64_t peer_uid; /* -1: any; else a peer of another user is refused */
};

/* Listens at path; each connection is one of the client's. A stale socket file is replaced, one
 * that somebody listens at is -EADDRINUSE. Returns the channel's number (> 0) or a negative errno,
 * with
 * @error filled in. */
int64_t tmem_server_listen(struct tmem_server *server, const struct tmem_channel_options *options,
			   struct tmem_error *error);

/* Connects to path, where QEMU listens, and again whenever the connection is lost, until the
 * channel is removed: at once, then after 10 ms, doubling up to 1 s. A connection that lasted less
 * than a second counts as a try. One over which nothing has come for 10 s is replaced, without an
 * event: QEMU may look at the port only then. Returns as above; that nobody listens yet is no
 * error. */
int64_t tmem_server_connect(struct tmem_server *server, const struct tmem_channel_options *options,
			    struct tmem_error *error);

/* Serves a connected stream socket (path is not used). Takes @fd, also when it fails. The channel
 * goes with its connection. */
int64_t tmem_server_adopt(struct tmem_server *server, int fd,
			  const struct tmem_channel_options *options, struct tmem_error *error);

/* Closes the channel and its connections; sessions stay resumable. 0 or -ENOENT. */
int tmem_server_remove_channel(struct tmem_server *server, int64_t channel);

/* ---- clients ---------------------------------------------------------------------------- */

/*
 * Ends the session of @client, in order or not; which of both makes no difference to the others:
 * the shared pools it was in are left and so emptied (R). @reason is what its BYE says: -ECONNRESET
 * the guest was reset, crashed or died: its next HELLO is a new epoch -ESTALE      it was put back
 * to an earlier moment (snapshot, restore): no resume, and its persistent pages are not given to it
 * (R-e) -EUCLEAN     the operator says that its pages are gone; waiting loads learn it (P) -ENODEV
 * the client is being removed 0; -ENOENT: no such client or no session.
 */
int tmem_server_end_session(struct tmem_server *server, const char *client, int reason);

enum tmem_session_state {
	TMEM_SESSION_NONE = 0,     /* never was one, or it ended */
	TMEM_SESSION_ACTIVE = 1,   /* connected */
	TMEM_SESSION_AWAITED = 2,  /* resumable: the connection or the service went */
	TMEM_SESSION_EXPELLED = 3, /* lapsed for expel_ms */
};

struct tmem_session_info {
	char client[128];
	uint32_t state; /* enum tmem_session_state */
	uint32_t session;
	uint64_t epoch;
	uint8_t boot_id[16];
	char implementation[64]; /* what the guest says it is; printable characters only */
	uint32_t tag;            /* the last applied */
	uint32_t shared_pools;   /* it is a member of */
	uint64_t since_ns;       /* CLOCK_BOOTTIME of the last change of state */
	uint64_t echo_age_ns;    /* of the newest echo; UINT64_MAX: none */
	uint64_t bytes_in;
	uint64_t bytes_out;
	uint64_t requests;
	uint64_t turns;                /* of its connections; requests / turns is the batch */
	uint64_t most_turn_requests;   /* served in one turn */
	uint64_t most_waited_requests; /* of others, served while one of its connections, known to
					  have something to be served, waited for its turn */
	uint64_t reply_writes;
	uint64_t damaged_streams;
	uint64_t refused_messages; /* sound, but not to be served: unknown op, wrong payload, tag
				      out of turn */
	uint64_t stalled_ns;       /* not read because replies were not taken */
	uint64_t unserved_gets;    /* missed because a shared pool was not served */
	uint64_t presence_bitmaps;
	uint64_t ahead_pages;
	uint64_t buffered_bytes; /* memory of its connection now */
};

/* The session of @client. 0 or -ENOENT. */
int tmem_server_session(struct tmem_server *server, const char *client,
			struct tmem_session_info *ret);

/* A shared pool and who keeps it from being served: copies up to @max names of members that it
 * waits for, 128 bytes each, to @waited_for; returns how many there are (0: it is served), or
 * -ENODEV. */
int tmem_server_waited_for(struct tmem_server *server, const uint8_t *uuid, char *waited_for,
			   uint32_t max);

/* ---- events ----------------------------------------------------------------------------- */

enum tmem_event_kind {
	TMEM_EVENT_CONNECTED = 1,
	TMEM_EVENT_DISCONNECTED = 2,
	TMEM_EVENT_REFUSED_PEER = 3,    /* pid or user is not the one expected: detail */
	TMEM_EVENT_SESSION_STARTED = 4, /* a new epoch */
	TMEM_EVENT_SESSION_RESUMED = 5,
	TMEM_EVENT_SESSION_ENDED = 6, /* code: the reason */
	TMEM_EVENT_EXPELLED = 7,
	TMEM_EVENT_BAD_INPUT = 8, /* detail says what and where */
	TMEM_EVENT_POOL_SERVED = 9,
	TMEM_EVENT_POOL_UNSERVED = 10, /* detail: for whom it waits */
	TMEM_EVENT_LOST = 11,          /* events were dropped before this one: code of them */
};

struct tmem_event {
	uint64_t time_ns; /* CLOCK_BOOTTIME */
	uint32_t kind;
	int32_t code;
	char client[128];
	char detail[256]; /* one sentence */
};

/* Waits up to @timeout_ms for the oldest event nobody has taken. 1 with *@ret, or 0. At most 4096
 * are kept. A guest can cause at most ten a second; the rest of them are counted in
 * TMEM_EVENT_LOST. */
int tmem_server_next_event(struct tmem_server *server, uint32_t timeout_ms, struct tmem_event *ret);

/* ---- the trace of operations (docs/trace.md) -------------------------------------------- */

enum tmem_trace_flags { TMEM_TRACE_CONTENTS = 1 << 0 /* the pages that are put, too */ };

struct tmem_trace_status {
	uint32_t recording; /* zero: nothing is being recorded */
	uint32_t flags;
	uint32_t clients; /* seen so far */
	int32_t code;     /* negative errno: nothing more is written; message says why */
	uint64_t duration_ns;
	uint64_t records; /* written to the file */
	uint64_t dropped; /* not written: the disk was too slow, full, or at its limit */
	uint64_t file_bytes;
	char message[128];
};

/*
 * Records what is served from now on in a new file at @path, of at most @max_bytes (0: any number).
 * One recording at a time. 0, or a negative errno with @error filled in: -EEXIST the path is taken,
 * -EBUSY there is a recording, else what the system says. Workers never wait for the disk.
 */
int tmem_server_trace_start(struct tmem_server *server, const char *path, uint32_t flags,
			    uint64_t max_bytes, struct tmem_error *error);
/* Ends it: what was served before this call is in the file, or counted as dropped. Waits for the
 * disk. 0 with *@ret, or -ENOENT. tmem_server_stop does this, too. */
int tmem_server_trace_stop(struct tmem_server *server, struct tmem_trace_status *ret);
/* How far it is; all zero when there is none. */
void tmem_server_trace_status(struct tmem_server *server, struct tmem_trace_status *ret);

#endif
