// SPDX-License-Identifier: GPL-2.0-or-later
#include "hooks_table.h"

/* What frontswap calls between swapon and swapoff, in read sections of swaps. */

static struct tmem_area *area_of(struct tmem_hooks *hooks, uint32_t type)
{
	return type < TMEM_HOOKS_AREAS ? TMEM_SEAM_LOAD(&hooks->areas[type]) : NULL;
}

static bool holds(const struct tmem_area *area, uint64_t offset)
{
	return area && offset < area->pages && tmem_seam_test_bit(area->stored, offset);
}

/* Whether the backend held the slot; it is asked to flush it. It is there: a detach is refused
 * while a bit is set. */
static bool flush(struct tmem_hooks *hooks, struct tmem_area *area, uint32_t type, uint64_t offset)
{
	const struct tmem_backend *backend = TMEM_SEAM_LOAD(&hooks->backend);

	if (!area || offset >= area->pages || !tmem_seam_take_bit(area->stored, offset))
		return false;
	/* before the count falls, since a detach that finds 0 goes on */
	if (backend)
		backend->flush_slot(backend->context, type, offset);
	tmem_seam_add(&area->held, -1);
	return true;
}

static int store(struct tmem_hooks *hooks, struct tmem_area *area, uint32_t type, uint64_t offset,
		 struct page *page)
{
	const struct tmem_backend *backend = TMEM_SEAM_LOAD(&hooks->backend);
	int result;

	if (!backend) {
		TMEM_SEAM_COUNT(&hooks->counters, stores_no_backend);
		return -ENOENT;
	}
	if (TMEM_SEAM_LOAD(&hooks->stores_stopped) && TMEM_HOOKS_RULE(F1)) {
		TMEM_SEAM_COUNT(&hooks->counters, stores_stopped);
		return -ENOENT;
	}
	if (!area) {
		TMEM_SEAM_COUNT(&hooks->counters, stores_no_area);
		return -ENOENT;
	}
	if (offset >= area->pages) {
		TMEM_SEAM_COUNT(&hooks->counters, stores_beyond);
		return -ENOENT;
	}
	if (!TMEM_SEAM_LOAD(&area->taken)) {
		TMEM_SEAM_COUNT(&hooks->counters, stores_area_refused);
		return -ENOENT;
	}
	result = backend->store(backend->context, type, offset, page);
	if (result) {
		TMEM_SEAM_COUNT(&hooks->counters, stores_refused);
		return result;
	}
	TMEM_SEAM_COUNT(&hooks->counters, stores);
	tmem_seam_set_bit(area->stored, offset);
	tmem_seam_add(&area->held, 1);
	return 0;
}

int tmem_hooks_store(struct tmem_hooks *hooks, uint32_t type, uint64_t offset, struct page *page)
{
	int at = tmem_seam_enter(&hooks->swaps);
	struct tmem_area *area = area_of(hooks, type);
	int result;

	/* frontswap has flushed a slot that it stores again; nothing older stays in any case (B) */
	flush(hooks, area, type, offset);
	result = store(hooks, area, type, offset, page);
	tmem_seam_leave(&hooks->swaps, at);
	return result;
}

void tmem_hooks_refuse_store(struct tmem_hooks *hooks, uint32_t type, uint64_t offset,
			     uint64_t count)
{
	int at = tmem_seam_enter(&hooks->swaps);
	struct tmem_area *area = area_of(hooks, type);

	TMEM_SEAM_COUNT(&hooks->counters, stores_compound);
	for (; count; offset++, count--)
		flush(hooks, area, type, offset);
	tmem_seam_leave(&hooks->swaps, at);
}

static int load(struct tmem_hooks *hooks, struct tmem_area *area, uint32_t type, uint64_t offset,
		struct page *page)
{
	const struct tmem_backend *backend;
	int result;

	if (!holds(area, offset)) {
		TMEM_SEAM_COUNT(&hooks->counters, loads_not_ours);
		return -ENOENT;
	}
	backend = TMEM_SEAM_LOAD(&hooks->backend);
	result = backend ? backend->load(backend->context, type, offset, page) : -EIO;
	if (result)
		TMEM_SEAM_COUNT(&hooks->counters, loads_failed);
	else
		TMEM_SEAM_COUNT(&hooks->counters, loads);
	return result == -ENOENT ? -EIO : result;
}

int tmem_hooks_load(struct tmem_hooks *hooks, uint32_t type, uint64_t offset, struct page *page)
{
	int at = tmem_seam_enter(&hooks->swaps);
	int result = load(hooks, area_of(hooks, type), type, offset, page);

	tmem_seam_leave(&hooks->swaps, at);
	return result;
}

void tmem_hooks_invalidate_slot(struct tmem_hooks *hooks, uint32_t type, uint64_t offset)
{
	int at = tmem_seam_enter(&hooks->swaps);

	if (flush(hooks, area_of(hooks, type), type, offset))
		TMEM_SEAM_COUNT(&hooks->counters, slot_flushes);
	else
		TMEM_SEAM_COUNT(&hooks->counters, slot_flushes_not_ours);
	tmem_seam_leave(&hooks->swaps, at);
}
