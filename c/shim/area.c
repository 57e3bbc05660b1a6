// SPDX-License-Identifier: GPL-2.0-or-later
#include "core.h"

/*
 * Owed flushes of swap areas. A process that exits frees its swap pages by the hundred thousand,
 * with interrupts off (F3): each is one bit here, and the pump pays runs of bits by one FLUSH_RANGE
 * each. The bits stand in the order of the sixteen objects that an area is spread over
 * (frontswap.c), so that neighbouring slots of an object are neighbouring bits. A second bitmap, a
 * bit a word, keeps the search short when few are left.
 */

enum { OBJECTS_MASK = 15 };

bool tmem_area_find(struct tmem_shim *shim, const struct tmem_oid *oid, uint64_t index,
		    struct tmem_area **area, uint64_t *bit)
{
	uint64_t type = oid->words[0] >> 4;

	if (type >= TMEM_SWAP_AREAS || oid->words[1] || oid->words[2])
		return false;
	*area = &shim->areas[type];
	if (!(*area)->owed || index >= (*area)->stripe_words * 64)
		return false;
	*bit = (oid->words[0] & OBJECTS_MASK) * (*area)->stripe_words * 64 + index;
	return true;
}

bool tmem_area_owes(const struct tmem_area *area, uint64_t bit)
{
	return area->owed[bit >> 6] >> (bit & 63) & 1 ||
	       area->owed_objects >> (bit / 64 / area->stripe_words) & 1;
}

bool tmem_area_owes_page(const struct tmem_area *area, uint64_t bit)
{
	return !(area->owed_objects >> (bit / 64 / area->stripe_words) & 1);
}

void tmem_area_owe(struct tmem_shim *shim, struct tmem_area *area, uint64_t bit)
{
	uint64_t word = bit >> 6;

	if (tmem_area_owes(area, bit))
		return;
	TMEM_COUNT(shim, flushes_owed);
	area->owed[word] |= 1ull << (bit & 63);
	area->owed_words[word >> 6] |= 1ull << (word & 63);
	area->owed_pages++;
	shim->owing_areas |= 1u << (area - shim->areas);
	shim->owed_pages++;
	if (shim->pump_idle)
		shim->wake_wanted = true;
}

void tmem_area_settle(struct tmem_shim *shim, struct tmem_area *area, uint64_t bit)
{
	uint64_t word = bit >> 6;

	if (!(area->owed[word] >> (bit & 63) & 1))
		return;
	area->owed[word] &= ~(1ull << (bit & 63));
	if (!area->owed[word])
		area->owed_words[word >> 6] &= ~(1ull << (word & 63));
	area->owed_pages--;
	shim->owed_pages--;
}

void tmem_area_settle_all(struct tmem_shim *shim, struct tmem_area *area)
{
	uint64_t words = 16 * area->stripe_words;

	if (area->owed_pages) {
		memset(area->owed, 0, words * sizeof(*area->owed));
		memset(area->owed_words, 0, (words + 63) / 64 * sizeof(*area->owed_words));
	}
	shim->owed_pages -= area->owed_pages;
	area->owed_pages = 0;
	area->owed_objects = 0;
}

/* The first word from @from on with a bit set; there is one somewhere. */
static uint64_t next_word(const struct tmem_area *area, uint64_t from)
{
	uint64_t words = 16 * area->stripe_words, summaries = (words + 63) / 64;
	uint64_t summary = from >> 6;
	uint64_t bits = area->owed_words[summary] & ~0ull << (from & 63);

	while (!bits) {
		summary = (summary + 1) % summaries;
		bits = area->owed_words[summary];
	}
	return summary * 64 + (uint64_t)__builtin_ctzll(bits);
}

/* Takes the next run of bits away: its first bit in *@first; returns its length. */
static uint32_t take_run(struct tmem_shim *shim, struct tmem_area *area, uint64_t *first)
{
	uint64_t word = next_word(area, area->cursor), bit;
	uint64_t end = (word / area->stripe_words + 1) * area->stripe_words * 64;
	uint32_t count = 0;

	*first = bit = word * 64 + (uint64_t)__builtin_ctzll(area->owed[word]);
	while (bit < end && count < TMEM_WIRE_RANGE_MAX && area->owed[bit >> 6] >> (bit & 63) & 1) {
		tmem_area_settle(shim, area, bit++);
		count++;
	}
	area->cursor = word;
	return count;
}

static void pay_run(struct tmem_shim *shim, uint32_t type)
{
	struct tmem_area *area = &shim->areas[type];
	struct tmem_entry *entry;
	struct tmem_oid oid = {{0}};
	uint64_t first, stripe_bits = area->stripe_words * 64;
	uint32_t count = take_run(shim, area, &first);

	oid.words[0] = (uint64_t)type << 4 | first / stripe_bits;
	entry = tmem_queue_append(shim, count == 1 ? TMEM_OP_FLUSH_PAGE : TMEM_OP_FLUSH_RANGE,
				  shim->swap_pool, &oid, first % stripe_bits, false);
	entry->count = (uint16_t)count;
	TMEM_COUNT(shim, flushes);
	TMEM_COUNT(shim, owed_paid);
}

static void pay_object(struct tmem_shim *shim, uint32_t type)
{
	struct tmem_area *area = &shim->areas[type];
	struct tmem_oid oid = {{0}};
	uint32_t object = (uint32_t)__builtin_ctz(area->owed_objects);

	area->owed_objects &= area->owed_objects - 1;
	oid.words[0] = (uint64_t)type << 4 | object;
	tmem_queue_append(shim, TMEM_OP_FLUSH_OBJECT, shim->swap_pool, &oid, 0, false);
	TMEM_COUNT(shim, flushes);
	TMEM_COUNT(shim, owed_paid);
}

bool tmem_areas_owe(const struct tmem_shim *shim)
{
	for (uint32_t type = 0; type < TMEM_SWAP_AREAS; type++)
		if (shim->areas[type].owed_pages || shim->areas[type].owed_objects)
			return true;
	return false;
}

void tmem_areas_pay(struct tmem_shim *shim)
{
	uint32_t left = TMEM_BATCH_ENTRIES;

	if (shim->swap_pool == shim->config.pools ||
	    shim->pools[shim->swap_pool].state != TMEM_SHIM_POOL_READY)
		return;
	for (uint32_t owing = shim->owing_areas; owing; owing &= owing - 1) {
		uint32_t type = (uint32_t)__builtin_ctz(owing);
		struct tmem_area *area = &shim->areas[type];

		for (; left && area->owed_objects && tmem_queue_room(shim, false, false); left--)
			pay_object(shim, type);
		for (; left && area->owed_pages && tmem_queue_room(shim, false, false); left--)
			pay_run(shim, type);
		if (!area->owed_pages && !area->owed_objects)
			shim->owing_areas &= ~(1u << type);
	}
}
