/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Policies: which ephemeral page goes when room is needed, and which put is worth taking. Each is
 * a table of functions; the mechanism (reclaim.c, put.c) knows nothing of how they decide.
 */
#ifndef TMEM_POLICY_H
#define TMEM_POLICY_H

#include "pages.h"

struct tmem_policy_eviction {
	const char *name;
	/*
	 * The pool to evict the oldest page of, or NULL when no ephemeral page is left. @requester:
	 * whose put needs the room, NULL for the host. Holds the owners lock for reading.
	 */
	struct tmem_pool *(*choose)(struct tmem_engine *engine, struct tmem_client *requester);
	/* Whether a page that was chosen is spared this once, and becomes the newest. Holds its
	 * shard lock. */
	bool (*spare)(struct tmem_engine *engine, const struct tmem_handle *handle, tmem_ref ref);
};

struct tmem_policy_admission {
	const char *name;
	/* Whether to take an ephemeral put of the handle. No lock. */
	bool (*admit)(struct tmem_engine *engine, const struct tmem_handle *handle);
	bool uses_ghosts;
};

extern const struct tmem_policy_eviction tmem_eviction_lru;
extern const struct tmem_policy_admission tmem_admission_always;
extern const struct tmem_policy_admission tmem_admission_second_chance;

enum { TMEM_GHOSTS = 1 << 16 }; /* pages the second-chance policy remembers */

static inline bool tmem_admit(struct tmem_engine *engine, const struct tmem_handle *handle)
{
	return atomic_load_explicit(&engine->admission, memory_order_acquire)
		->admit(engine, handle);
}

/* The ephemeral pool charged to @client whose oldest page is the oldest, or NULL. Holds the owners
 * lock. */
struct tmem_pool *tmem_oldest_pool(struct tmem_engine *engine, const struct tmem_client *client);

/* The bytes of @client's share by weight of all ephemeral memory in use. Holds control, so that no
 * weight changes, and the owners lock. */
uint64_t tmem_share_bytes(struct tmem_engine *engine, const struct tmem_client *client);

#endif
