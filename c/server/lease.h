/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Shared pools and the lease on them (rule R): which sessions share which pool, and until when the
 * pool may be served.
 *
 * Every member's newest echo says until when its lease holds; a pool is served until the first of
 * its members' ends. That moment is one atomic number, computed when a member comes, goes or
 * echoes, so that a get needs one clock and one load, and no lock.
 */
#ifndef TMEM_LEASE_H
#define TMEM_LEASE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "server.h"

/* What a session brings to the pools it shares; part of it (session.h). */
struct tmem_sharer {
	const char *client;
	_Atomic uint64_t until_ns; /* of the lease; 0: it has not echoed since it came (back) */
};

struct tmem_share;

struct tmem_shares {
	pthread_mutex_t lock;
	struct tmem_share *first;
};

void tmem_shares_init(struct tmem_shares *shares);
void tmem_shares_deinit(struct tmem_shares *shares);

/* @sharer is a member, once more if it was one: NULL when there is no memory. Keep what is
 * returned until leaving. */
struct tmem_share *tmem_share_join(struct tmem_shares *shares, const uint8_t *uuid,
				   struct tmem_sharer *sharer);
/* One join ends: after the engine's pool was left, and so emptied. */
void tmem_share_leave(struct tmem_shares *shares, struct tmem_share *share,
		      struct tmem_sharer *sharer);
/* The lease of a member has changed. */
void tmem_share_update(struct tmem_shares *shares, struct tmem_share *share);

/* To be asked before the page is looked for (R-d). */
bool tmem_share_served(const struct tmem_share *share, uint64_t now_ns);

/* See tmem_server_waited_for. */
int tmem_shares_waited_for(struct tmem_shares *shares, const uint8_t *uuid, uint64_t now_ns,
			   char *waited_for, uint32_t max);

/* Calls @changed for each pool that is served, or no longer served, since the last call. Holds the
 * lock; @waited_for is the first member it waits for. */
void tmem_shares_changes(struct tmem_shares *shares, uint64_t now_ns,
			 void (*changed)(void *context, const uint8_t *uuid,
					 const char *waited_for),
			 void *context);

#endif
