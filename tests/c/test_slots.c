/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Slots and extents: no two slots overlap, extents come, change class and go back. */
#include <string.h>

#include "arena.h"
#include "check.h"
#include "setup.h"
#include "slots.h"

enum { ARENA_BYTES = 1 << 20, REFS_MAX = 1 << 14 };

static struct tmem_engine *engine;
static tmem_ref refs[REFS_MAX];

/* All that the arena holds of @class; each slot's contents are filled with its number. */
static uint32_t take_all(unsigned int class)
{
	uint32_t length_bytes = tmem_class_slot_bytes(class);
	uint32_t count = 0;
	int why = 0;

	while ((refs[count] = tmem_slot_alloc(engine, class, length_bytes, &why)) !=
	       TMEM_REF_NONE) {
		memset(tmem_ref_contents(engine, refs[count]), (int)(count & 0xff), length_bytes);
		count++;
		CHECK(count < REFS_MAX);
	}
	CHECK_EQ(why, -ENOMEM);
	return count;
}

static void check_contents(uint32_t count, unsigned int class)
{
	uint32_t length_bytes = tmem_class_slot_bytes(class);

	for (uint32_t i = 0; i < count; i++) {
		const unsigned char *contents = tmem_ref_contents(engine, refs[i]);
		const char *end = (const char *)contents + length_bytes;

		for (uint32_t at = 0; at < length_bytes; at++)
			CHECK_EQ(contents[at], i & 0xff);
		CHECK(end <= tmem_ref_extent(engine, refs[i])->base + engine->header.extent_bytes);
		CHECK((const char *)tmem_ref_record(engine, refs[i]) + TMEM_RECORD_BYTES <=
		      tmem_ref_extent(engine, refs[i])->base +
			      tmem_ref_extent(engine, refs[i])->contents_offset);
	}
}

static void free_all(uint32_t count, unsigned int class, uint32_t stride)
{
	for (uint32_t first = 0; first < stride; first++)
		for (uint32_t i = first; i < count; i += stride)
			tmem_slot_free(engine, refs[i], tmem_class_slot_bytes(class));
}

static uint64_t idle_bytes(void)
{
	struct tmem_usage usage;

	tmem_engine_usage(engine, &usage);
	return usage.idle_bytes;
}

/* One class after the other gets the whole arena: extents change their class. */
static void every_class_fills_the_arena(void)
{
	engine = setup_engine("slots", ARENA_BYTES);
	for (unsigned int class = 1; class <= TMEM_CLASS_RAW; class ++) {
		uint32_t count = take_all(class);
		uint64_t extents = count / tmem_class_slots(class, SETUP_EXTENT_BYTES);

		CHECK_EQ(count % tmem_class_slots(class, SETUP_EXTENT_BYTES), 0);
		/* the budget less header, table and rows */
		CHECK(extents >= ARENA_BYTES / SETUP_EXTENT_BYTES - 3);
		check_contents(count, class);
		CHECK_EQ(idle_bytes(), 0);
		free_all(count, class, 1 + class);
		CHECK_EQ(idle_bytes(), extents * SETUP_EXTENT_BYTES);
	}
	tmem_engine_close(engine);
}

static void freed_slots_come_back_first(void)
{
	uint32_t count;
	int why;

	engine = setup_engine("slots", ARENA_BYTES);
	count = take_all(7);
	for (uint32_t i = 0; i < count; i += 5)
		tmem_slot_free(engine, refs[i], 7 * TMEM_CLASS_STEP_BYTES);
	for (uint32_t i = 0; i < count; i += 5) {
		refs[i] = tmem_slot_alloc_existing(engine, 7, 7 * TMEM_CLASS_STEP_BYTES);
		CHECK(refs[i] != TMEM_REF_NONE);
		memset(tmem_ref_contents(engine, refs[i]), (int)(i & 0xff),
		       7 * TMEM_CLASS_STEP_BYTES);
	}
	CHECK_EQ(tmem_slot_alloc_existing(engine, 7, 1), TMEM_REF_NONE);
	CHECK_EQ(tmem_slot_alloc(engine, 8, 1, &why), TMEM_REF_NONE);
	check_contents(count, 7);
	free_all(count, 7, 1);
	tmem_engine_close(engine);
}

/* An extent that is being emptied gives out no slot, even those that become free meanwhile. */
static void closed_extents_stay_closed(void)
{
	uint32_t slots = tmem_class_slots(TMEM_CLASS_RAW, SETUP_EXTENT_BYTES);
	uint32_t count;
	uint32_t closed;
	tmem_ref elsewhere;
	tmem_ref kept[2];

	engine = setup_engine("slots", ARENA_BYTES);
	count = take_all(TMEM_CLASS_RAW);
	CHECK(count > 3 * slots && slots >= 3);
	/* Of the second extent one page stays, of the third all but one. */
	kept[0] = refs[slots];
	for (uint32_t i = slots + 1; i < 2 * slots; i++)
		tmem_slot_free(engine, refs[i], TMEM_PAGE_BYTES);
	tmem_slot_free(engine, refs[2 * slots], TMEM_PAGE_BYTES);
	CHECK_EQ(tmem_extent_close_sparsest(engine, TMEM_CLASS_RAW, 0), TMEM_REF_NONE);
	closed = tmem_extent_close_sparsest(engine, TMEM_CLASS_RAW, slots);
	CHECK_EQ(closed, kept[0] >> TMEM_SLOT_BITS);
	elsewhere = tmem_slot_alloc_existing(engine, TMEM_CLASS_RAW, TMEM_PAGE_BYTES);
	CHECK_EQ(elsewhere, refs[2 * slots]);
	CHECK_EQ(tmem_slot_alloc_existing(engine, TMEM_CLASS_RAW, TMEM_PAGE_BYTES), TMEM_REF_NONE);
	/* Not emptied after all: open again. */
	CHECK(!tmem_extent_finish(engine, TMEM_CLASS_RAW, closed));
	kept[1] = tmem_slot_alloc_existing(engine, TMEM_CLASS_RAW, TMEM_PAGE_BYTES);
	CHECK_EQ(kept[1] >> TMEM_SLOT_BITS, closed);
	tmem_slot_free(engine, kept[1], TMEM_PAGE_BYTES);
	tmem_slot_free(engine, elsewhere, TMEM_PAGE_BYTES);
	CHECK_EQ(tmem_extent_close_sparsest(engine, TMEM_CLASS_RAW, slots), closed);
	tmem_slot_free(engine, kept[0], TMEM_PAGE_BYTES);
	CHECK_EQ(idle_bytes(), 0);
	CHECK(tmem_extent_finish(engine, TMEM_CLASS_RAW, closed));
	CHECK_EQ(idle_bytes(), SETUP_EXTENT_BYTES);
	tmem_engine_close(engine);
}

/* Bytes given back are the host's again, and what comes instead reads as zeros. */
static void returned_extents_are_fresh(void)
{
	struct tmem_shrink_report report;
	uint32_t count;

	engine = setup_engine("fresh", ARENA_BYTES);
	count = take_all(TMEM_CLASS_RAW);
	free_all(count, TMEM_CLASS_RAW, 1);
	tmem_engine_shrink(engine, ARENA_BYTES, &report);
	CHECK(report.returned_bytes >=
	      count / tmem_class_slots(TMEM_CLASS_RAW, SETUP_EXTENT_BYTES) * SETUP_EXTENT_BYTES);
	CHECK_EQ(idle_bytes(), 0);
	count = 0;
	for (int why; (refs[count] = tmem_slot_alloc(engine, 1, 1, &why)) != TMEM_REF_NONE;
	     count++) {
		const unsigned char *contents = tmem_ref_contents(engine, refs[count]);

		CHECK_EQ(atomic_load(&tmem_ref_record(engine, refs[count])->commit), 0);
		CHECK_EQ(contents[0], 0);
		if (count + 1 == REFS_MAX - 1)
			break;
	}
	for (uint32_t i = 0; i < count; i++)
		tmem_slot_free(engine, refs[i], 1);
	tmem_engine_close(engine);
}

int main(int argc, char **argv)
{
	static const struct test tests[] = {
		{"every_class_fills_the_arena", every_class_fills_the_arena},
		{"freed_slots_come_back_first", freed_slots_come_back_first},
		{"closed_extents_stay_closed", closed_extents_stay_closed},
		{"returned_extents_are_fresh", returned_extents_are_fresh},
	};

	return RUN_TESTS(tests, argc, argv);
}
