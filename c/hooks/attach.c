// SPDX-License-Identifier: GPL-2.0-or-later
#include "hooks_table.h"

/* ---- attach ---------------------------------------------------------------------------- */

/* A mount that comes before this gets its pool here, one that comes later finds the backend. */
static void offer_mounts(struct tmem_hooks *hooks, const struct tmem_backend *backend)
{
	unsigned long flags = tmem_seam_lock(&hooks->lock);
	struct tmem_mount *mount;

	TMEM_SEAM_STORE(&hooks->backend, backend);
	for (mount = hooks->first; mount; mount = mount->next)
		tmem_mount_need_pool(hooks, mount);
	tmem_seam_unlock(&hooks->lock, flags);
}

int tmem_hooks_attach(struct tmem_hooks *hooks, const struct tmem_backend *backend)
{
	int result = 0;

	tmem_seam_mutex_lock(&hooks->attaching);
	if (hooks->backend && TMEM_HOOKS_RULE(BUSY)) {
		TMEM_SEAM_COUNT(&hooks->counters, attach_busy);
		result = -EBUSY;
	} else {
		tmem_seam_mutex_lock(&hooks->areas_lock);
		tmem_areas_offer(hooks, backend);
		offer_mounts(hooks, backend);
		tmem_seam_mutex_unlock(&hooks->areas_lock);
		TMEM_SEAM_COUNT(&hooks->counters, attached);
	}
	tmem_seam_mutex_unlock(&hooks->attaching);
	return result;
}

/* ---- detach ---------------------------------------------------------------------------- */

/*
 * No store comes any more, and the backend holds no page: then no load comes either. Whoever waits
 * for a broken channel in a load holds a page, so while there are any nothing is waited for.
 */
static bool stop_stores(struct tmem_hooks *hooks, uint64_t *pages)
{
	TMEM_SEAM_STORE(&hooks->stores_stopped, true);
	*pages = tmem_areas_held(hooks);
	if (!*pages) {
		tmem_seam_readers_wait(&hooks->swaps);
		*pages = tmem_areas_held(hooks);
	}
	if (!*pages || !TMEM_HOOKS_RULE(F1))
		return true;
	TMEM_SEAM_STORE(&hooks->stores_stopped, false);
	return false;
}

/* From here on no mount gets a pool, and none that it has is used for anything but to wait for its
 * end. */
static void close_pools(struct tmem_hooks *hooks)
{
	unsigned long flags = tmem_seam_lock(&hooks->lock);
	struct tmem_mount *mount;

	hooks->detaching = true;
	hooks->poolless = 0;
	for (mount = hooks->first; mount; mount = mount->next) {
		mount->refused = false;
		if (mount->pool < 0 || mount->leaving)
			continue;
		tmem_mount_close(hooks, mount);
		mount->by_detach = true;
	}
	tmem_seam_unlock(&hooks->lock, flags);
	tmem_seam_readers_wait(&hooks->calls);
}

/* One pool after the other; a mount stays in the table until it is no longer being left. */
static void destroy_pools(struct tmem_hooks *hooks)
{
	unsigned long flags = tmem_seam_lock(&hooks->lock);
	struct tmem_mount *mount, *next;

	for (mount = hooks->first; mount; mount = next) {
		if (mount->by_detach) {
			tmem_seam_unlock(&hooks->lock, flags);
			tmem_mount_destroy_pool(hooks, mount);
			flags = tmem_seam_lock(&hooks->lock);
			mount->by_detach = false;
			tmem_mount_closed(hooks, mount);
		}
		next = mount->next;
	}
	while (hooks->leaving)
		flags = tmem_seam_sleep(&hooks->lock, flags);
	tmem_seam_unlock(&hooks->lock, flags);
}

/* Who called before has returned, who calls from now on finds no backend. */
static void forget(struct tmem_hooks *hooks)
{
	unsigned long flags;

	tmem_seam_mutex_lock(&hooks->areas_lock);
	flags = tmem_seam_lock(&hooks->lock);
	TMEM_SEAM_STORE(&hooks->backend, NULL);
	hooks->detaching = false;
	tmem_seam_unlock(&hooks->lock, flags);
	tmem_areas_forget_backend(hooks);
	tmem_seam_mutex_unlock(&hooks->areas_lock);
	tmem_seam_readers_wait(&hooks->calls);
	tmem_seam_readers_wait(&hooks->swaps);
	TMEM_SEAM_STORE(&hooks->stores_stopped, false);
}

static int detach(struct tmem_hooks *hooks, const struct tmem_backend *backend, uint64_t *pages)
{
	if (hooks->backend != backend)
		return -ENOENT;
	if (!stop_stores(hooks, pages)) {
		TMEM_SEAM_COUNT(&hooks->counters, detach_busy);
		return -EBUSY;
	}
	if (TMEM_HOOKS_RULE(NEW_POOLS)) {
		close_pools(hooks);
		destroy_pools(hooks);
	}
	forget(hooks);
	TMEM_SEAM_COUNT(&hooks->counters, detached);
	return 0;
}

int tmem_hooks_detach(struct tmem_hooks *hooks, const struct tmem_backend *backend, uint64_t *pages)
{
	uint64_t held = 0;
	int result;

	tmem_seam_mutex_lock(&hooks->attaching);
	result = detach(hooks, backend, &held);
	tmem_seam_mutex_unlock(&hooks->attaching);
	if (pages)
		*pages = held;
	return result;
}
