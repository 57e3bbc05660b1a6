/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "slots.h"

#include "arena.h"

void tmem_slots_init(struct tmem_engine *engine)
{
	for (unsigned int i = 0; i < TMEM_CLASSES; i++) {
		tmem_lock_init(&engine->classes[i].lock, TMEM_RANK_CLASS);
		engine->classes[i].partial = TMEM_REF_NONE;
		engine->classes[i].partial_tail = TMEM_REF_NONE;
	}
}

void tmem_slots_deinit(struct tmem_engine *engine)
{
	for (unsigned int i = 0; i < TMEM_CLASSES; i++)
		tmem_lock_deinit(&engine->classes[i].lock);
}

static void add(_Atomic uint32_t *counter, uint32_t by)
{
	atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + by,
			      memory_order_relaxed);
}

static void add64(_Atomic uint64_t *counter, uint64_t by)
{
	atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + by,
			      memory_order_relaxed);
}

static void partial_append(struct tmem_engine *engine, struct tmem_class *class, uint32_t number)
{
	struct tmem_extent *extent = &engine->extents[number];

	extent->next = TMEM_REF_NONE;
	extent->prev = class->partial_tail;
	if (class->partial_tail != TMEM_REF_NONE)
		engine->extents[class->partial_tail].next = number;
	else
		class->partial = number;
	class->partial_tail = number;
}

static void partial_remove(struct tmem_engine *engine, struct tmem_class *class, uint32_t number)
{
	struct tmem_extent *extent = &engine->extents[number];

	if (extent->prev != TMEM_REF_NONE)
		engine->extents[extent->prev].next = extent->next;
	else
		class->partial = extent->next;
	if (extent->next != TMEM_REF_NONE)
		engine->extents[extent->next].prev = extent->prev;
	else
		class->partial_tail = extent->prev;
}

/* Next fit: pages put one after the other lie one after the other. */
static uint32_t take_free_slot(struct tmem_extent *extent)
{
	uint32_t words = (extent->slots + 63u) / 64;

	while (extent->free_map[extent->cursor] == 0)
		extent->cursor = (uint16_t)((extent->cursor + 1u) % words);
	uint64_t word = extent->free_map[extent->cursor];
	extent->free_map[extent->cursor] = word & (word - 1);
	extent->free--;
	return extent->cursor * 64u + (uint32_t)__builtin_ctzll(word);
}

static tmem_ref alloc_locked(struct tmem_engine *engine, struct tmem_class *class,
			     uint32_t length_bytes)
{
	uint32_t number = class->partial;
	struct tmem_extent *extent;
	uint32_t slot;

	if (number == TMEM_REF_NONE)
		return TMEM_REF_NONE;
	extent = &engine->extents[number];
	slot = take_free_slot(extent);
	if (extent->free == 0)
		partial_remove(engine, class, number);
	add(&class->free_slots, -1u);
	add64(&class->used_slots, 1);
	add64(&class->payload_bytes, length_bytes);
	return number << TMEM_SLOT_BITS | slot;
}

static void join_class(struct tmem_engine *engine, struct tmem_class *class, uint32_t number)
{
	add(&class->extents, 1);
	add(&class->free_slots, engine->extents[number].free);
	if (engine->extents[number].free > 0)
		partial_append(engine, class, number);
}

/* The extent is empty and in no list. */
static void leave_class(struct tmem_engine *engine, struct tmem_class *class, uint32_t number)
{
	struct tmem_extent *extent = &engine->extents[number];

	add(&class->extents, -1u);
	if (!extent->closed)
		add(&class->free_slots, -(uint32_t)extent->slots);
	tmem_extent_release(engine, number);
}

tmem_ref tmem_slot_alloc(struct tmem_engine *engine, unsigned int class_number,
			 uint32_t length_bytes, int *why)
{
	struct tmem_class *class = &engine->classes[class_number];
	uint32_t number;
	tmem_ref ref;

	tmem_lock(&class->lock);
	ref = alloc_locked(engine, class, length_bytes);
	if (ref == TMEM_REF_NONE) {
		*why = tmem_extent_take(engine, class_number, &number);
		if (*why == 0) {
			join_class(engine, class, number);
			ref = alloc_locked(engine, class, length_bytes);
		}
	}
	tmem_unlock(&class->lock);
	return ref;
}

tmem_ref tmem_slot_alloc_existing(struct tmem_engine *engine, unsigned int class_number,
				  uint32_t length_bytes)
{
	struct tmem_class *class = &engine->classes[class_number];
	tmem_ref ref;

	tmem_lock(&class->lock);
	ref = alloc_locked(engine, class, length_bytes);
	tmem_unlock(&class->lock);
	return ref;
}

void tmem_slot_free(struct tmem_engine *engine, tmem_ref ref, uint32_t length_bytes)
{
	uint32_t number = ref >> TMEM_SLOT_BITS;
	uint32_t slot = tmem_ref_slot(ref);
	struct tmem_extent *extent = &engine->extents[number];
	struct tmem_class *class = &engine->classes[extent->class];

	tmem_lock(&class->lock);
	assert((extent->free_map[slot / 64] >> slot % 64 & 1) == 0);
	extent->free_map[slot / 64] |= 1ull << slot % 64;
	add64(&class->used_slots, -1ull);
	add64(&class->payload_bytes, -(uint64_t)length_bytes);
	extent->free++;
	if (!extent->closed) {
		add(&class->free_slots, 1);
		if (extent->free == 1)
			partial_append(engine, class, number);
		if (extent->free == extent->slots) {
			partial_remove(engine, class, number);
			leave_class(engine, class, number);
		}
	}
	tmem_unlock(&class->lock);
}

void tmem_slot_adopt(struct tmem_engine *engine, tmem_ref ref, uint32_t length_bytes)
{
	struct tmem_extent *extent = tmem_ref_extent(engine, ref);
	uint32_t slot = tmem_ref_slot(ref);

	extent->free_map[slot / 64] &= ~(1ull << slot % 64);
	extent->free--;
	add64(&engine->classes[extent->class].used_slots, 1);
	add64(&engine->classes[extent->class].payload_bytes, length_bytes);
}

void tmem_extent_settle(struct tmem_engine *engine, uint32_t number)
{
	struct tmem_extent *extent = &engine->extents[number];

	if (extent->free == extent->slots)
		tmem_extent_release(engine, number);
	else
		join_class(engine, &engine->classes[extent->class], number);
}

static void close_locked(struct tmem_engine *engine, struct tmem_class *class, uint32_t number)
{
	struct tmem_extent *extent = &engine->extents[number];

	if (extent->free > 0)
		partial_remove(engine, class, number);
	add(&class->free_slots, -(uint32_t)extent->free);
	extent->closed = true;
}

int tmem_extent_close(struct tmem_engine *engine, uint32_t number)
{
	_Atomic uint64_t *word = &engine->extent_table[number];
	int class_number = tmem_extent_class(number, atomic_load(word));
	struct tmem_class *class;

	if (class_number < 0 || class_number == TMEM_CLASS_ROW)
		return -1;
	class = &engine->classes[class_number];
	tmem_lock(&class->lock);
	/* An extent leaves its class with the class lock held: if the word still stands, it has
	 * not. */
	if (atomic_load(word) != tmem_extent_word(number, (unsigned int)class_number) ||
	    engine->extents[number].closed)
		class_number = -1;
	else
		close_locked(engine, class, number);
	tmem_unlock(&class->lock);
	return class_number;
}

uint32_t tmem_extent_close_sparsest(struct tmem_engine *engine, unsigned int class_number,
				    uint32_t max_used)
{
	struct tmem_class *class = &engine->classes[class_number];
	uint32_t best = TMEM_REF_NONE;
	uint32_t best_used = max_used + 1;

	tmem_lock(&class->lock);
	for (uint32_t number = class->partial; number != TMEM_REF_NONE;
	     number = engine->extents[number].next) {
		uint32_t used = engine->extents[number].slots - engine->extents[number].free;

		if (used < best_used) {
			best = number;
			best_used = used;
		}
	}
	if (best != TMEM_REF_NONE) {
		if (atomic_load(&class->free_slots) - engine->extents[best].free < best_used) {
			best = TMEM_REF_NONE;
		} else {
			close_locked(engine, class, best);
		}
	}
	tmem_unlock(&class->lock);
	return best;
}

bool tmem_extent_finish(struct tmem_engine *engine, unsigned int class_number, uint32_t number)
{
	struct tmem_class *class = &engine->classes[class_number];
	struct tmem_extent *extent = &engine->extents[number];
	bool empty;

	tmem_lock(&class->lock);
	empty = extent->free == extent->slots;
	if (empty) {
		leave_class(engine, class, number);
	} else {
		extent->closed = false;
		add(&class->free_slots, extent->free);
		if (extent->free > 0)
			partial_append(engine, class, number);
	}
	tmem_unlock(&class->lock);
	return empty;
}
