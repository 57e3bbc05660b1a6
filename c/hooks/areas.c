// SPDX-License-Identifier: GPL-2.0-or-later
#include "hooks_table.h"

/*
 * Swap areas. Frontswap may have other implementations beside this one, and its own bits are set
 * only after a store has returned. So each area has a bit for every slot that the backend holds:
 * their number is exact, and loads and flushes of other slots do not go to the backend.
 */

enum { BITS = 8 * sizeof(unsigned long) };

uint64_t tmem_areas_held(struct tmem_hooks *hooks)
{
	int at = tmem_seam_enter(&hooks->swaps);
	uint64_t held = 0;
	uint32_t type;

	for (type = 0; type < TMEM_HOOKS_AREAS; type++) {
		struct tmem_area *area = TMEM_SEAM_LOAD(&hooks->areas[type]);

		held += area ? tmem_seam_read(&area->held) : 0;
	}
	tmem_seam_leave(&hooks->swaps, at);
	return held;
}

int tmem_hooks_area_info(struct tmem_hooks *hooks, uint32_t type, struct tmem_hooks_area_info *ret)
{
	int at = tmem_seam_enter(&hooks->swaps);
	struct tmem_area *area = NULL;

	if (type < TMEM_HOOKS_AREAS)
		area = TMEM_SEAM_LOAD(&hooks->areas[type]);
	if (area) {
		ret->pages = area->pages;
		ret->held = tmem_seam_read(&area->held);
		ret->taken = TMEM_SEAM_LOAD(&area->taken);
	}
	tmem_seam_leave(&hooks->swaps, at);
	return area ? 0 : -ENOENT;
}

/* ---- swapon, swapoff, backends: under areas_lock -------------------------------------- */

static void offer(struct tmem_hooks *hooks, const struct tmem_backend *backend, uint32_t type)
{
	struct tmem_area *area = hooks->areas[type];
	bool taken = backend->area_new(backend->context, type, area->pages) == 0;

	if (!taken)
		TMEM_SEAM_COUNT(&hooks->counters, areas_refused);
	TMEM_SEAM_STORE(&area->taken, taken);
}

void tmem_areas_offer(struct tmem_hooks *hooks, const struct tmem_backend *backend)
{
	uint32_t type;

	for (type = 0; type < TMEM_HOOKS_AREAS; type++)
		if (hooks->areas[type])
			offer(hooks, backend, type);
}

void tmem_areas_forget_backend(struct tmem_hooks *hooks)
{
	uint32_t type;

	for (type = 0; type < TMEM_HOOKS_AREAS; type++)
		if (hooks->areas[type])
			TMEM_SEAM_STORE(&hooks->areas[type]->taken, false);
}

static int area_init(struct tmem_hooks *hooks, uint32_t type, uint64_t pages)
{
	struct tmem_area *area;

	if (hooks->areas[type])
		return 0;
	area = tmem_seam_allocate(sizeof(*area) + (pages + BITS - 1) / BITS * sizeof(long));
	if (!area) {
		TMEM_SEAM_COUNT(&hooks->counters, areas_no_memory);
		return -ENOMEM;
	}
	area->pages = pages;
	TMEM_SEAM_STORE(&hooks->areas[type], area);
	TMEM_SEAM_COUNT(&hooks->counters, areas);
	if (hooks->backend)
		offer(hooks, hooks->backend, type);
	return 0;
}

int tmem_hooks_area_init(struct tmem_hooks *hooks, uint32_t type, uint64_t pages)
{
	int result;

	if (type >= TMEM_HOOKS_AREAS || !pages)
		return -EINVAL;
	tmem_seam_mutex_lock(&hooks->areas_lock);
	result = area_init(hooks, type, pages);
	tmem_seam_mutex_unlock(&hooks->areas_lock);
	return result;
}

void tmem_hooks_area_gone(struct tmem_hooks *hooks, uint32_t type)
{
	const struct tmem_backend *backend;
	struct tmem_area *area = NULL;

	tmem_seam_mutex_lock(&hooks->areas_lock);
	if (type < TMEM_HOOKS_AREAS)
		area = hooks->areas[type];
	if (area) {
		backend = hooks->backend;
		TMEM_SEAM_STORE(&hooks->areas[type], NULL);
		if (backend && area->taken)
			backend->area_gone(backend->context, type);
		TMEM_SEAM_COUNT(&hooks->counters, areas_gone);
		tmem_seam_free_later(&hooks->swaps, &area->later);
	}
	tmem_seam_mutex_unlock(&hooks->areas_lock);
}
