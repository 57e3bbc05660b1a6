// SPDX-License-Identifier: GPL-2.0-or-later
#include "hooks_table.h"

struct tmem_mount *tmem_mount_find(struct tmem_hooks *hooks, int id)
{
	unsigned int bucket = (unsigned int)id % TMEM_HOOKS_BUCKETS;
	struct tmem_mount *mount = TMEM_SEAM_LOAD(&hooks->buckets[bucket]);

	while (mount && mount->id != id)
		mount = TMEM_SEAM_LOAD(&mount->chain);
	return mount;
}

/* ---- in and out of the table, under the lock ------------------------------------------ */

static void insert(struct tmem_hooks *hooks, struct tmem_mount *mount)
{
	unsigned int bucket = (unsigned int)mount->id % TMEM_HOOKS_BUCKETS;

	mount->previous = hooks->last;
	if (hooks->last)
		hooks->last->next = mount;
	else
		hooks->first = mount;
	hooks->last = mount;
	mount->chain = hooks->buckets[bucket];
	TMEM_SEAM_STORE(&hooks->buckets[bucket], mount);
	hooks->mounts++;
}

/* Whoever is on it in a read section still finds the rest of the chain. */
static void take_out(struct tmem_hooks *hooks, struct tmem_mount *mount)
{
	struct tmem_mount **at = &hooks->buckets[(unsigned int)mount->id % TMEM_HOOKS_BUCKETS];

	while (*at != mount)
		at = &(*at)->chain;
	TMEM_SEAM_STORE(at, mount->chain);
	*(mount->previous ? &mount->previous->next : &hooks->first) = mount->next;
	*(mount->next ? &mount->next->previous : &hooks->last) = mount->previous;
	hooks->mounts--;
}

static void put_back(struct tmem_hooks *hooks, struct tmem_mount *mount)
{
	if (--mount->users == 0)
		tmem_seam_free_later(&hooks->calls, &mount->later);
}

/* Never one that was used (IDS): a call that is under way may come with it. */
static int new_id(struct tmem_hooks *hooks)
{
	int id = 1;

	if (TMEM_HOOKS_RULE(IDS))
		return hooks->last_id == TMEM_HOOKS_ID_MAX ? -ENOSPC : ++hooks->last_id;
	while (tmem_mount_find(hooks, id))
		id++;
	return id;
}

/* ---- pools, under the lock ------------------------------------------------------------ */

static void count_refusal(struct tmem_hooks *hooks, struct tmem_mount *mount, bool refused)
{
	hooks->poolless += refused - mount->refused;
	mount->refused = refused;
}

/* What the backend has said. */
static void take_pool(struct tmem_hooks *hooks, struct tmem_mount *mount, int pool)
{
	count_refusal(hooks, mount, pool < 0);
	if (pool < 0) {
		TMEM_SEAM_COUNT(&hooks->counters, pools_refused);
		return;
	}
	TMEM_SEAM_COUNT(&hooks->counters, pools_made);
	hooks->pools++;
	mount->was_member |= mount->shared;
	TMEM_SEAM_STORE(&mount->pool, pool);
	TMEM_SEAM_STORE(&mount->open, true);
}

#ifdef TMEM_DEBUG
/* As the model makes pools, in its three steps, so that what its rules are for can happen. */
static void make_in_the_open(struct tmem_hooks *hooks, struct tmem_mount *mount)
{
	const struct tmem_backend *backend = hooks->backend;
	int pool;

	if (mount->making && TMEM_HOOKS_RULE(ONE_MAKER))
		return;
	mount->making = true;
	mount->users++;
	tmem_seam_unlock(&hooks->lock, 0);
	pool = backend->new_pool(backend->context, mount->shared ? mount->uuid : NULL,
				 mount->was_member);
	tmem_seam_lock(&hooks->lock);
	mount->making = false;
	if (!TMEM_HOOKS_RULE(RECHECK) || (!mount->gone && hooks->backend == backend))
		take_pool(hooks, mount, pool);
	else
		backend->destroy_pool(backend->context, pool);
	put_back(hooks, mount);
}
#endif

/*
 * Making a pool is atomic, so it is done under the lock: there is one maker (ONE_MAKER), and what
 * it was made for can not go meanwhile (RECHECK).
 */
void tmem_mount_need_pool(struct tmem_hooks *hooks, struct tmem_mount *mount)
{
	const struct tmem_backend *backend = hooks->backend;
	int pool;

	if (!backend || hooks->detaching || mount->gone || mount->leaving || mount->pool >= 0)
		return;
#ifdef TMEM_DEBUG
	if (!TMEM_HOOKS_RULE(ONE_MAKER) || !TMEM_HOOKS_RULE(RECHECK)) {
		make_in_the_open(hooks, mount);
		return;
	}
#endif
	pool = backend->new_pool(backend->context, mount->shared ? mount->uuid : NULL,
				 mount->was_member);
	take_pool(hooks, mount, pool);
}

static void need_pools(struct tmem_hooks *hooks)
{
	struct tmem_mount *mount;

	/* who is refused now is refused for the same reason as those behind him */
	for (mount = hooks->first; mount && hooks->poolless; mount = mount->next) {
		tmem_mount_need_pool(hooks, mount);
		if (mount->refused)
			return;
	}
}

void tmem_mount_close(struct tmem_hooks *hooks, struct tmem_mount *mount)
{
	mount->leaving = true;
	hooks->leaving++;
	TMEM_SEAM_STORE(&mount->open, false);
}

void tmem_mount_destroy_pool(struct tmem_hooks *hooks, struct tmem_mount *mount)
{
	/* stays attached: a detach waits until nobody is leaving */
	const struct tmem_backend *backend = hooks->backend;

	backend->destroy_pool(backend->context, mount->pool);
	TMEM_SEAM_COUNT(&hooks->counters, pools_destroyed);
}

void tmem_mount_closed(struct tmem_hooks *hooks, struct tmem_mount *mount)
{
	TMEM_SEAM_STORE(&mount->pool, -1);
	mount->leaving = false;
	hooks->leaving--;
	hooks->pools--;
	tmem_seam_wake(&hooks->lock);
	need_pools(hooks);
}

/* ---- mount and umount ----------------------------------------------------------------- */

static int record(struct tmem_hooks *hooks, struct tmem_mount *mount)
{
	unsigned long flags = tmem_seam_lock(&hooks->lock);
	int id = new_id(hooks);

	if (id > 0) {
		mount->id = id;
		insert(hooks, mount);
		tmem_mount_need_pool(hooks, mount);
	}
	tmem_seam_unlock(&hooks->lock, flags);
	return id;
}

int tmem_hooks_init_fs(struct tmem_hooks *hooks, uint64_t page_bytes, const uint8_t *uuid,
		       int renewed)
{
	struct tmem_mount *mount;
	int id;

	if (page_bytes != TMEM_PAGE_BYTES) {
		TMEM_SEAM_COUNT(&hooks->counters, mounts_page_size);
		return -EOPNOTSUPP;
	}
	mount = tmem_seam_allocate(sizeof(*mount));
	if (!mount) {
		TMEM_SEAM_COUNT(&hooks->counters, mounts_no_memory);
		return -ENOMEM;
	}
	mount->pool = -1;
	mount->users = 1;
	if (uuid) {
		mount->shared = true;
		mount->was_member = renewed;
		memcpy(mount->uuid, uuid, sizeof(mount->uuid));
	}
	id = record(hooks, mount);
	if (id < 0) {
		TMEM_SEAM_COUNT(&hooks->counters, mounts_no_id);
		tmem_seam_free(mount);
		return id;
	}
	TMEM_SEAM_COUNT(&hooks->counters, mounts);
	return id;
}

/* Waits while somebody else gives the pool up. */
static unsigned long sleep_while_leaving(struct tmem_hooks *hooks, struct tmem_mount *mount,
					 unsigned long flags)
{
	while (mount->leaving)
		flags = tmem_seam_sleep(&hooks->lock, flags);
	return flags;
}

/* By the first who umounts: nobody else makes @mount a pool any more, or frees it. */
static unsigned long leave(struct tmem_hooks *hooks, struct tmem_mount *mount, unsigned long flags)
{
	flags = sleep_while_leaving(hooks, mount, flags);
	if (mount->pool < 0)
		return flags;
	tmem_mount_close(hooks, mount);
	tmem_seam_unlock(&hooks->lock, flags);
	if (TMEM_HOOKS_RULE(GRACE))
		tmem_seam_readers_wait(&hooks->calls);
	tmem_mount_destroy_pool(hooks, mount);
	flags = tmem_seam_lock(&hooks->lock);
	tmem_mount_closed(hooks, mount);
	return flags;
}

void tmem_hooks_invalidate_fs(struct tmem_hooks *hooks, int id)
{
	unsigned long flags = tmem_seam_lock(&hooks->lock);
	struct tmem_mount *mount = tmem_mount_find(hooks, id);

	if (!mount) {
		TMEM_SEAM_COUNT(&hooks->counters, umounts_unknown);
	} else if (mount->gone) {
		TMEM_SEAM_COUNT(&hooks->counters, umounts_waited);
		mount->users++;
		while (!mount->left)
			flags = tmem_seam_sleep(&hooks->lock, flags);
		put_back(hooks, mount);
	} else {
		mount->gone = true;
		count_refusal(hooks, mount, false);
		flags = leave(hooks, mount, flags);
		take_out(hooks, mount);
		mount->left = true;
		tmem_seam_wake(&hooks->lock);
		put_back(hooks, mount);
		TMEM_SEAM_COUNT(&hooks->counters, umounts);
	}
	tmem_seam_unlock(&hooks->lock, flags);
}
