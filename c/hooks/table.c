// SPDX-License-Identifier: GPL-2.0-or-later
#include "hooks_table.h"

#ifdef TMEM_DEBUG
unsigned int tmem_hooks_without;
#endif

#define TEXT(name, meaning) {#name, meaning},
const struct tmem_hooks_counter_text tmem_hooks_counter_texts[] = {TMEM_HOOKS_COUNTERS(TEXT)};
const uint32_t tmem_hooks_counter_count =
	sizeof(tmem_hooks_counter_texts) / sizeof(tmem_hooks_counter_texts[0]);

int tmem_hooks_setup(struct tmem_hooks *hooks)
{
	tmem_seam_mutex_init(&hooks->attaching);
	tmem_seam_mutex_init(&hooks->areas_lock);
	tmem_seam_lock_init(&hooks->lock);
	if (tmem_seam_counters_init(&hooks->counters))
		return -ENOMEM;
	if (tmem_seam_readers_init(&hooks->calls))
		goto no_calls;
	if (tmem_seam_readers_init(&hooks->swaps))
		goto no_swaps;
	return 0;

no_swaps:
	tmem_seam_readers_destroy(&hooks->calls);
no_calls:
	tmem_seam_counters_destroy(&hooks->counters);
	return -ENOMEM;
}

void tmem_hooks_teardown(struct tmem_hooks *hooks)
{
	struct tmem_mount *mount, *next;
	uint32_t type;

	for (mount = hooks->first; mount; mount = next) {
		next = mount->next;
		tmem_seam_free(mount);
	}
	for (type = 0; type < TMEM_HOOKS_AREAS; type++)
		tmem_seam_free(hooks->areas[type]);
	tmem_seam_readers_destroy(&hooks->swaps);
	tmem_seam_readers_destroy(&hooks->calls);
	tmem_seam_counters_destroy(&hooks->counters);
	tmem_seam_lock_destroy(&hooks->lock);
	tmem_seam_mutex_destroy(&hooks->areas_lock);
	tmem_seam_mutex_destroy(&hooks->attaching);
}

static void describe(const struct tmem_mount *mount, struct tmem_hooks_mount_info *ret)
{
	ret->id = mount->id;
	ret->pool = mount->pool;
	ret->state = mount->pool < 0 ? TMEM_HOOKS_POOL_NONE
		     : mount->open   ? TMEM_HOOKS_POOL_OPEN
				     : TMEM_HOOKS_POOL_LEAVING;
	ret->shared = mount->shared;
	ret->was_member = mount->was_member;
	memcpy(ret->uuid, mount->uuid, sizeof(ret->uuid));
}

int tmem_hooks_mount_info(struct tmem_hooks *hooks, int after, struct tmem_hooks_mount_info *ret)
{
	unsigned long flags = tmem_seam_lock(&hooks->lock);
	struct tmem_mount *mount = after > 0 ? tmem_mount_find(hooks, after) : NULL;

	/* most often the one before is still there */
	mount = mount ? mount->next : hooks->first;
	while (mount && mount->id <= after)
		mount = mount->next;
	if (mount)
		describe(mount, ret);
	tmem_seam_unlock(&hooks->lock, flags);
	return mount ? 0 : -ENOENT;
}

void tmem_hooks_info(struct tmem_hooks *hooks, struct tmem_hooks_info *ret)
{
	unsigned long flags;
	uint32_t type;

	memset(ret, 0, sizeof(*ret));
	for (type = 0; type < TMEM_HOOKS_AREAS; type++)
		ret->areas += TMEM_SEAM_LOAD(&hooks->areas[type]) != NULL;
	ret->frontswap_pages = tmem_areas_held(hooks);
	flags = tmem_seam_lock(&hooks->lock);
	ret->mounts = hooks->mounts;
	ret->pools = hooks->pools;
	ret->attached = hooks->backend != NULL;
	ret->detaching = hooks->detaching;
	tmem_seam_unlock(&hooks->lock, flags);
}

void tmem_hooks_counters(struct tmem_hooks *hooks, struct tmem_hooks_counters *ret)
{
	tmem_seam_counters_read(&hooks->counters, ret);
}
