/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Extents: reserved, given a class, made idle, given back to the host. */
#include "arena.h"

static uint64_t extent_heap_bytes(const struct tmem_extent *extent)
{
	return extent->slots * sizeof(struct tmem_links) + (extent->slots + 63) / 64 * 8;
}

void tmem_extent_forget(struct tmem_engine *engine, struct tmem_extent *extent)
{
	tmem_free(engine, extent->free_map, extent_heap_bytes(extent));
	extent->free_map = NULL;
	extent->links = NULL;
	tmem_free(engine, atomic_exchange(&extent->sharing, NULL),
		  extent->slots * sizeof(struct tmem_sharing));
}

/* Sets up the volatile side of @number for @class, all slots free. */
static int extent_init(struct tmem_engine *engine, uint32_t number, unsigned int class)
{
	struct tmem_extent *extent = &engine->extents[number];
	char *block;

	extent->base = engine->window + tmem_extent_offset_bytes(engine, number);
	extent->class = (uint8_t) class;
	extent->slots = (uint16_t)tmem_class_slots(class, engine->header.extent_bytes);
	extent->slot_bytes = tmem_class_slot_bytes(class);
	extent->contents_offset = tmem_class_contents_offset(class, engine->header.extent_bytes);
	extent->free = extent->slots;
	extent->cursor = 0;
	extent->closed = false;
	extent->prev = TMEM_REF_NONE;
	extent->next = TMEM_REF_NONE;
	block = tmem_alloc(engine, extent_heap_bytes(extent));
	if (block == NULL)
		return -ENOMEM;
	extent->free_map = (uint64_t *)block;
	extent->links = (struct tmem_links *)(block + (extent->slots + 63) / 64 * 8);
	for (uint32_t slot = 0; slot < extent->slots; slot++)
		extent->free_map[slot / 64] |= 1ull << slot % 64;
	return 0;
}

static void push_idle(struct tmem_engine *engine, uint32_t number)
{
	engine->extents[number].next = engine->idle;
	engine->idle = number;
	engine->idle_count++;
}

static int claim_unreserved(struct tmem_engine *engine, uint32_t *ret)
{
	uint64_t words = (engine->header.max_extents + 63) / 64;

	for (uint64_t word = engine->unreserved_cursor; word < words; word++) {
		if (engine->unreserved_map[word] == 0)
			continue;
		*ret = (uint32_t)(word * 64) +
		       (uint32_t)__builtin_ctzll(engine->unreserved_map[word]);
		engine->unreserved_map[word] &= engine->unreserved_map[word] - 1;
		engine->unreserved_cursor = (uint32_t)word;
		return 0;
	}
	engine->unreserved_cursor = (uint32_t)words;
	return -ENOMEM;
}

static void unclaim(struct tmem_engine *engine, uint32_t number)
{
	engine->unreserved_map[number / 64] |= 1ull << number % 64;
	if (number / 64 < engine->unreserved_cursor)
		engine->unreserved_cursor = number / 64;
}

int tmem_arena_reserve_table(struct tmem_engine *engine, uint32_t number)
{
	uint64_t page_bytes = engine->backing->page_bytes;
	uint64_t end = tmem_round_up(TMEM_TABLE_OFFSET_BYTES + (number + 1ull) * 8, page_bytes);
	uint64_t start = engine->table_reserved_bytes;
	int code;

	if (end <= start)
		return 0;
	code = engine->backing->ops->reserve(engine->backing, start, end - start);
	if (code != 0)
		return code;
	engine->table_reserved_bytes = end;
	atomic_fetch_add(&engine->resident_bytes, end - start);
	return 0;
}

bool tmem_arena_has_room(struct tmem_engine *engine)
{
	bool room;

	tmem_lock(&engine->arena_lock);
	room = engine->idle != TMEM_REF_NONE ||
	       atomic_load(&engine->resident_bytes) + engine->header.extent_bytes <=
		       atomic_load(&engine->budget_bytes);
	tmem_unlock(&engine->arena_lock);
	return room;
}

/*
 * A huge page is several extents. One more than is needed at the moment is not much for an arena
 * that holds this many; a smaller one takes memory by the extent.
 */
enum { HUGE_PAGES_MIN = 16 };

static bool all_unreserved(const struct tmem_engine *engine, uint64_t first, uint64_t count)
{
	if (first + count > engine->header.max_extents)
		return false;
	for (uint64_t number = first; number < first + count; number++)
		if ((engine->unreserved_map[number / 64] >> number % 64 & 1) == 0)
			return false;
	return true;
}

/* Reserves a huge page that begins with the claimed extent @number, if there is one to be had and
 * budget for it. Its other extents become idle. Arena lock. */
static bool reserve_huge(struct tmem_engine *engine, uint32_t number)
{
	uint64_t extent_bytes = engine->header.extent_bytes;
	uint64_t huge_bytes = engine->backing->huge_bytes;
	uint64_t offset = tmem_extent_offset_bytes(engine, number);
	uint64_t resident_bytes = atomic_load(&engine->resident_bytes);
	uint32_t others;

	if (huge_bytes < extent_bytes || offset % huge_bytes != 0 ||
	    resident_bytes < HUGE_PAGES_MIN * huge_bytes ||
	    resident_bytes + huge_bytes > atomic_load(&engine->budget_bytes))
		return false;
	others = (uint32_t)(huge_bytes / extent_bytes) - 1;
	if (!all_unreserved(engine, number + 1ull, others) ||
	    tmem_arena_reserve_table(engine, number + others) != 0 ||
	    engine->backing->ops->reserve_huge(engine->backing, offset) != 0)
		return false;
	for (uint32_t other = number + others; other > number; other--) {
		engine->unreserved_map[other / 64] &= ~(1ull << other % 64);
		push_idle(engine, other);
	}
	atomic_fetch_add(&engine->resident_bytes, huge_bytes);
	return true;
}

/* Reserves the claimed extent @number. Arena lock. */
static int reserve_extent(struct tmem_engine *engine, uint32_t number)
{
	int code = tmem_arena_reserve_table(engine, number);

	if (code != 0 || reserve_huge(engine, number))
		return code;
	code = engine->backing->ops->reserve(engine->backing,
					     tmem_extent_offset_bytes(engine, number),
					     engine->header.extent_bytes);
	if (code == 0)
		atomic_fetch_add(&engine->resident_bytes, engine->header.extent_bytes);
	return code;
}

/* An idle extent, or a fresh one from the host. @fresh: it reads as zeros. */
static int take_memory(struct tmem_engine *engine, uint32_t *ret, bool *fresh)
{
	uint64_t extent_bytes = engine->header.extent_bytes;
	int code = -ENOMEM;

	tmem_lock(&engine->arena_lock);
	*fresh = engine->idle == TMEM_REF_NONE;
	if (!*fresh) {
		*ret = engine->idle;
		engine->idle = engine->extents[*ret].next;
		engine->idle_count--;
		code = 0;
	} else if (atomic_load(&engine->resident_bytes) + extent_bytes <=
			   atomic_load(&engine->budget_bytes) &&
		   claim_unreserved(engine, ret) == 0) {
		code = reserve_extent(engine, *ret);
		if (code != 0) {
			unclaim(engine, *ret);
			code = -ENOSPC;
		}
	}
	tmem_unlock(&engine->arena_lock);
	return code;
}

int tmem_extent_take(struct tmem_engine *engine, unsigned int class, uint32_t *ret)
{
	struct tmem_extent *extent;
	_Atomic uint64_t *header_word;
	bool fresh;
	int code = take_memory(engine, ret, &fresh);

	if (code != 0)
		return code;
	extent = &engine->extents[*ret];
	code = extent_init(engine, *ret, class);
	if (code != 0) {
		tmem_lock(&engine->arena_lock);
		push_idle(engine, *ret);
		tmem_unlock(&engine->arena_lock);
		return code;
	}
	/* Left-over contents of another class must not be read as records. */
	if (!fresh)
		memset(extent->base, 0, extent->contents_offset);
	header_word = (_Atomic uint64_t *)extent->base;
	atomic_store_explicit(header_word, tmem_extent_word(*ret, class), memory_order_relaxed);
	atomic_store_explicit(&engine->extent_table[*ret], tmem_extent_word(*ret, class),
			      memory_order_release);
	return 0;
}

int tmem_extent_adopt(struct tmem_engine *engine, uint32_t number, unsigned int class)
{
	int code = extent_init(engine, number, class);

	if (code != 0)
		return code;
	engine->unreserved_map[number / 64] &= ~(1ull << number % 64);
	atomic_fetch_add(&engine->resident_bytes, engine->header.extent_bytes);
	return 0;
}

void tmem_extent_release(struct tmem_engine *engine, uint32_t number)
{
	struct tmem_extent *extent = &engine->extents[number];

	atomic_store_explicit(&engine->extent_table[number], 0, memory_order_release);
	tmem_extent_forget(engine, extent);
	tmem_lock(&engine->arena_lock);
	push_idle(engine, number);
	tmem_unlock(&engine->arena_lock);
	/* A budget that was lowered below what was held is met as soon as it can be. */
	if (atomic_load(&engine->resident_bytes) > atomic_load(&engine->budget_bytes))
		tmem_arena_return_idle(engine, engine->header.extent_bytes);
}

uint64_t tmem_arena_return_idle(struct tmem_engine *engine, uint64_t bytes)
{
	uint64_t extent_bytes = engine->header.extent_bytes;
	uint64_t returned = 0;

	while (returned < bytes) {
		uint32_t number;

		tmem_lock(&engine->arena_lock);
		number = engine->idle;
		if (number != TMEM_REF_NONE) {
			engine->idle = engine->extents[number].next;
			engine->idle_count--;
		}
		tmem_unlock(&engine->arena_lock);
		if (number == TMEM_REF_NONE)
			break;
		if (engine->backing->ops->give_back(engine->backing,
						    tmem_extent_offset_bytes(engine, number),
						    extent_bytes) != 0) {
			tmem_lock(&engine->arena_lock);
			push_idle(engine, number);
			tmem_unlock(&engine->arena_lock);
			break;
		}
		tmem_lock(&engine->arena_lock);
		unclaim(engine, number);
		atomic_fetch_sub(&engine->resident_bytes, extent_bytes);
		tmem_unlock(&engine->arena_lock);
		returned += extent_bytes;
		atomic_fetch_add(&engine->returned_bytes, extent_bytes);
	}
	return returned;
}

uint32_t tmem_arena_extents(struct tmem_engine *engine)
{
	uint64_t words;

	tmem_lock(&engine->arena_lock);
	words = (engine->table_reserved_bytes - TMEM_TABLE_OFFSET_BYTES) / sizeof(uint64_t);
	tmem_unlock(&engine->arena_lock);
	return (uint32_t)(words < engine->header.max_extents ? words : engine->header.max_extents);
}

void tmem_arena_return_unused(struct tmem_engine *engine)
{
	uint64_t end = engine->backing->ops->end_bytes(engine->backing);
	uint64_t extent_bytes = engine->header.extent_bytes;
	uint64_t run = 0;
	uint32_t number = 0;

	for (; number < engine->header.max_extents; number++) {
		uint64_t offset = tmem_extent_offset_bytes(engine, number);
		bool unused = (engine->unreserved_map[number / 64] >> number % 64 & 1) != 0;

		if (unused && offset < end) {
			run++;
			continue;
		}
		if (run > 0)
			(void)engine->backing->ops->give_back(
				engine->backing, offset - run * extent_bytes, run * extent_bytes);
		run = 0;
		if (offset >= end)
			break;
	}
	if (run > 0)
		(void)engine->backing->ops->give_back(engine->backing,
						      tmem_extent_offset_bytes(engine, number) -
							      run * extent_bytes,
						      run * extent_bytes);
}
