// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Reclaim hands over pages with interrupts off, one after the other, faster than a host takes them;
 * it can not wait then, and what finds no room is lost (L). But after each pass over the page cache
 * it asks all shrinkers what they could free, and there it may wait. This one frees nothing. The
 * list of shrinkers is held meanwhile: who adds one, as a mount does, waits as long.
 */
#include <linux/atomic.h>
#include <linux/gfp.h>
#include <linux/list.h>
#include <linux/shrinker.h>

#include "transport.h"

static unsigned long nothing_to_free(struct shrinker *shrinker, struct shrink_control *control)
{
	tmem_pump_make_room();
	return 0;
}

static struct shrinker shrinker = {
	.count_objects = nothing_to_free,
	.seeks = DEFAULT_SEEKS,
};

int tmem_reclaim_register(void)
{
	return register_shrinker(&shrinker);
}

void tmem_reclaim_unregister(void)
{
	unregister_shrinker(&shrinker);
}
