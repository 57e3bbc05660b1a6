/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "workload.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "check.h"
#include "page.h"
#include "workload_area.h"

__attribute__((format(printf, 2, 3))) static bool fail(struct work_log *log, const char *format,
						       ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(log->failure, sizeof(log->failure), format, arguments);
	va_end(arguments);
	return false;
}

/* ---- the log ---------------------------------------------------------------------------- */

static void begin(struct work_log *log, enum work_action action, uint32_t area, uint32_t first,
		  uint32_t count, uint32_t new_value)
{
	log->area = area;
	log->first = first;
	log->count = count;
	log->new_value = new_value;
	log->action = action;
}

static void end(struct work_log *log, uint32_t value)
{
	for (uint32_t i = log->first; i < log->first + log->count; i++)
		log->value[log->area][i] = value;
	log->action = WORK_IDLE;
}

/* ---- calls ------------------------------------------------------------------------------ */

/* Of fresh contents, or of contents that many pages have. */
static uint32_t choose_value(unsigned int actor, struct random *random)
{
	enum { COMMON_CONTENTS = 8 };
	enum page_fill fill = random_below(random, PAGE_FILLS);
	uint32_t number = (uint32_t)(random_next(random) & 0x7fffff);

	if (random_below(random, 4) == 0)
		return page_value(fill, 1 + random_below(random, COMMON_CONTENTS));
	return page_value(fill, (actor + 1) << 23 | number);
}

static bool refusal(int result)
{
	return result == TMEM_ENOMEM || result == TMEM_ENOSPC || result == TMEM_EDQUOT ||
	       result == TMEM_EFROZEN || result == TMEM_EAGAIN;
}

static bool act_put(struct work *work, const struct work_place *place, struct work_log *log,
		    unsigned int actor, uint32_t area, uint32_t page, struct random *random)
{
	uint32_t value = choose_value(actor, random);
	unsigned char contents[TMEM_PAGE_BYTES];
	int result;

	page_make(contents, value);
	begin(log, WORK_PUT, area, page, 1, value);
	result = tmem_put(place->client, place->pool, &place->oid, place->first_index + page,
			  contents);
	end(log, result == TMEM_DONE ? value : 0);
	log->puts++;
	if (result != TMEM_DONE && !refusal(result))
		return fail(log, "put in area %u gives %d", area, result);
	if (result != TMEM_DONE && place->persistent && !work->may_refuse)
		return fail(log, "put in area %u is refused with %d", area, result);
	return true;
}

static bool act_get(const struct work_place *place, struct work_log *log, uint32_t area,
		    uint32_t page)
{
	uint32_t expected = log->value[area][page];
	unsigned char contents[TMEM_PAGE_BYTES];
	uint32_t value;
	int result;

	begin(log, place->persistent ? WORK_IDLE : WORK_TAKE, area, page, 1, 0);
	result = tmem_get(place->client, place->pool, &place->oid, place->first_index + page,
			  contents);
	value = result == TMEM_DONE ? page_read(contents) : 0;
	/* A miss is for good (C), and a private ephemeral page is gone once it was had (D). */
	end(log, place->persistent || (place->shared && value != 0) ? expected : 0);
	log->gets++;
	if (result != TMEM_DONE && result != TMEM_MISS && result != TMEM_EEMPTY)
		return fail(log, "get in area %u gives %d", area, result);
	if (result == TMEM_DONE && value == 0)
		return fail(log, "get in area %u returns a torn page", area);
	if (value != expected && (value != 0 || place->persistent))
		return fail(log, "get in area %u returns %#x, not %#x", area, value, expected);
	return true;
}

static bool act_flush(const struct work_place *place, struct work_log *log, uint32_t area,
		      uint32_t page, struct random *random)
{
	uint32_t count = 1 + random_below(random, WORK_AREA_PAGES - page);
	int result;

	switch (random_below(random, place->own_object ? 4 : 3)) {
	case 0:
		begin(log, WORK_FLUSH, area, page, count, 0);
		result = tmem_flush_range(place->client, place->pool, &place->oid,
					  place->first_index + page, count);
		log->range_flushes++;
		break;
	case 3:
		begin(log, WORK_FLUSH, area, 0, WORK_AREA_PAGES, 0);
		result = tmem_flush_object(place->client, place->pool, &place->oid);
		log->object_flushes++;
		break;
	default:
		begin(log, WORK_FLUSH, area, page, 1, 0);
		result = tmem_flush_page(place->client, place->pool, &place->oid,
					 place->first_index + page);
		log->page_flushes++;
	}
	end(log, 0);
	return result == TMEM_DONE || fail(log, "flush in area %u gives %d", area, result);
}

/* ---- the actor's own pool --------------------------------------------------------------- */

static bool make_own_pool(struct work *work, unsigned int actor)
{
	struct work_log *log = &work->logs[actor];
	uint32_t granted;
	uint32_t id;
	int result;

	begin(log, WORK_POOL, WORK_OWN, 0, WORK_AREA_PAGES, 0);
	result = tmem_pool_new(work->clients[actor % WORK_CLIENTS], NULL,
			       (work_own_persistent(actor) ? TMEM_POOL_PERSISTENT : 0) |
				       TMEM_ABI_VERSION << TMEM_POOL_VERSION_SHIFT,
			       &id, &granted);
	if (result == 0)
		log->own_pool = id;
	end(log, 0);
	if (result != 0 && !(work->may_refuse && refusal(result)))
		return fail(log, "a new pool gives %d", result);
	return true;
}

static bool drop_own_pool(struct work *work, unsigned int actor, bool destroy)
{
	struct work_log *log = &work->logs[actor];
	struct tmem_client *client = work->clients[actor % WORK_CLIENTS];
	uint32_t id = (uint32_t)log->own_pool;
	int result;

	begin(log, destroy ? WORK_POOL : WORK_FLUSH, WORK_OWN, 0, WORK_AREA_PAGES, 0);
	result = destroy ? tmem_pool_destroy(client, id) : tmem_pool_flush(client, id);
	if (destroy)
		log->own_pool = -1;
	end(log, 0);
	return result == TMEM_DONE || fail(log, "pool %u: destroy or flush gives %d", id, result);
}

bool work_act(struct work *work, unsigned int actor, struct random *random)
{
	struct work_log *log = &work->logs[actor];
	uint32_t area = random_below(random, WORK_AREAS);
	uint32_t page = random_below(random, WORK_AREA_PAGES);
	uint32_t choice = random_below(random, 100);
	struct work_place place;

	if (area == WORK_OWN && log->own_pool < 0)
		return make_own_pool(work, actor);
	if (area == WORK_OWN && choice >= 90)
		return drop_own_pool(work, actor, choice >= 95);
	place = work_place(work, actor, area, random);
	if (choice < 50)
		return act_put(work, &place, log, actor, area, page, random);
	if (choice < 85)
		return act_get(&place, log, area, page);
	return act_flush(&place, log, area, page, random);
}

struct work_log work_totals(const struct work *work)
{
	struct work_log totals = {.own_pool = -1};

	for (unsigned int i = 0; i <= WORK_ACTORS; i++) {
		totals.puts += work->logs[i].puts;
		totals.gets += work->logs[i].gets;
		totals.page_flushes += work->logs[i].page_flushes;
		totals.range_flushes += work->logs[i].range_flushes;
		totals.object_flushes += work->logs[i].object_flushes;
	}
	return totals;
}
