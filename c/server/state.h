/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the server must still know when its process was killed: a file beside the arena, mapped.
 *
 * It holds, for each client, which session it has and how far that got, and the tokens given out
 * lately with their times, so that a token keeps its age across a restart (R-a, R-d). Everything in
 * it is written twice, into the older of two copies, and a copy counts once its sequence number is
 * stored behind it: a kill at any instruction leaves the old or the new. What is in the mapping
 * outlives the process; a host that goes down takes its guests with it, so nothing is synced.
 *
 * One slot is written by one thread at a time; adding, removing and tokens take the file's lock.
 */
#ifndef TMEM_STATE_H
#define TMEM_STATE_H

#include <stdbool.h>

#include "engine.h"

enum {
	TMEM_IMPLEMENTATION_BYTES = 64,
	TMEM_TOKENS = 1024,
};

enum tmem_state_flags {
	TMEM_STATE_RESUMABLE = 1 << 0,
	TMEM_STATE_EXPELLED = 1 << 1,  /* until the next epoch */
	TMEM_STATE_REWOUND = 1 << 2,   /* put back to an earlier moment (R-e): never resumed */
	TMEM_STATE_LOST = 1 << 3,      /* its pages are gone, says the operator (P) */
	TMEM_STATE_REMOVED = 1 << 4,   /* the client is being removed */
	TMEM_STATE_STAYS_OUT = 1 << 5, /* in this epoch only new mounts join shared pools (R-a) */
};

/* Changes when a session begins or ends. */
struct tmem_state_session {
	char client[TMEM_CLIENT_NAME_MAX + 1];
	char implementation[TMEM_IMPLEMENTATION_BYTES];
	uint8_t boot_id[TMEM_BOOT_ID_BYTES];
	uint64_t epoch; /* 0: the client never had a session */
	uint64_t since_ns;
	uint32_t session; /* 0: none yet */
	uint32_t before;  /* the session that the guest named when this one began */
	uint32_t flags;   /* enum tmem_state_flags */
	uint32_t reserved;
};

/* Changes with every batch of requests. */
struct tmem_state_progress {
	uint64_t chain;
	uint64_t echo_ns; /* when the newest token that came back was given out; 0: none */
	uint32_t session; /* of tmem_state_session; of another one: nothing has been applied yet */
	uint32_t tag;     /* the last applied */
};

struct tmem_state;

/*
 * Opens the file at @path, or makes it, for the arena that @identity names. One of another arena,
 * of another format or in use is refused, with @error filled in. One of an earlier boot of the
 * host is taken over without its sessions and tokens: no guest of then is alive. Returns 0 or a
 * negative errno.
 */
int tmem_state_open(const char *path, const uint8_t *identity, struct tmem_state **ret,
		    struct tmem_error *error);
void tmem_state_close(struct tmem_state *state); /* NULL is allowed */

/* A slot for the client of @session, which is written into it: its number, or -ENOSPC when the
 * host has no room, -ENOMEM when there are as many as there can be. */
int64_t tmem_state_add(struct tmem_state *state, const struct tmem_state_session *session);
void tmem_state_remove(struct tmem_state *state, int64_t slot);

/* The slot in use after @slot (start with -1), or -ENOENT; what is in it. */
int64_t tmem_state_next(struct tmem_state *state, int64_t slot, struct tmem_state_session *session,
			struct tmem_state_progress *progress);

void tmem_state_set_session(struct tmem_state *state, int64_t slot,
			    const struct tmem_state_session *session);
void tmem_state_set_progress(struct tmem_state *state, int64_t slot,
			     const struct tmem_state_progress *progress);

/* A token that is at most @age_ns old at @now_ns: the newest one, or a new one. Never 0. */
uint64_t tmem_state_token(struct tmem_state *state, uint64_t now_ns, uint64_t age_ns);

/* When @untrusted_token was given out, or 0 when it was not, or too long ago. */
uint64_t tmem_state_token_ns(struct tmem_state *state, uint64_t untrusted_token);

#endif
