/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is written in an arena: checks that notice every flipped bit, and geometry that fits. */
#include <errno.h>
#include <string.h>

#include "check.h"
#include "error.h"
#include "random.h"
#include "record.h"

static void scramble(void *memory, size_t bytes, uint64_t seed)
{
	struct random random = {.state = seed};
	unsigned char *at = memory;

	for (size_t i = 0; i < bytes; i++)
		at[i] = (unsigned char)random_next(&random);
}

static void flip(void *memory, size_t bit)
{
	((unsigned char *)memory)[bit / 8] ^= (unsigned char)(1U << bit % 8);
}

static void record_check_covers_every_bit(void)
{
	enum { FIRST_STAMP_BIT = (TMEM_RECORD_BYTES - 4) * 8 };
	struct tmem_record record;
	uint64_t commit;

	for (uint64_t seed = 0; seed < 20; seed++) {
		scramble(&record, sizeof(record), seed);
		commit = tmem_record_commit(&record, TMEM_MARK_PAGE, TMEM_ENCODING_RAW,
					    TMEM_PAGE_BYTES);
		atomic_store(&record.commit, commit);
		CHECK(tmem_record_sound(&record, commit, TMEM_CLASS_RAW));
		CHECK_EQ(tmem_commit_mark(commit), TMEM_MARK_PAGE);
		CHECK_EQ(tmem_commit_encoding(commit), TMEM_ENCODING_RAW);
		CHECK_EQ(tmem_commit_length(commit), TMEM_PAGE_BYTES);
		for (size_t bit = 0; bit < TMEM_RECORD_BYTES * 8; bit++) {
			flip(&record, bit);
			/* The stamp changes while a record is live; all else is covered. */
			CHECK_EQ(tmem_record_sound(&record, atomic_load(&record.commit),
						   TMEM_CLASS_RAW),
				 bit >= FIRST_STAMP_BIT);
			flip(&record, bit);
		}
	}
}

static bool sound(enum tmem_mark mark, uint8_t encoding, uint16_t length_bytes, unsigned int class)
{
	struct tmem_record record;

	scramble(&record, sizeof(record), 5);
	return tmem_record_sound(&record, tmem_record_commit(&record, mark, encoding, length_bytes),
				 class);
}

static void record_must_fit_its_class(void)
{
	CHECK(sound(TMEM_MARK_PAGE, TMEM_ENCODING_LZ4, 100, 1));
	CHECK(!sound(TMEM_MARK_PAGE, TMEM_ENCODING_LZ4, 200, 1));
	CHECK(!sound(TMEM_MARK_CONTENTS, TMEM_ENCODING_LZ4, 200, 1));
	CHECK(!sound(TMEM_MARK_PAGE, TMEM_ENCODING_RAW, 4095, TMEM_CLASS_RAW));
	CHECK(!sound(TMEM_MARK_PAGE, TMEM_ENCODING_RAW, TMEM_PAGE_BYTES, TMEM_CLASS_RAW - 1));
	CHECK(!sound(TMEM_MARK_PAGE, TMEM_ENCODING_LZ4, UINT16_MAX, TMEM_CLASS_RAW));
	CHECK(!sound(TMEM_MARK_PAGE, TMEM_ENCODING_ZSTD + 1, 100, 1));
	CHECK(sound(TMEM_MARK_PAGE, TMEM_ENCODING_SAME, 0, TMEM_CLASS_EMPTY));
	CHECK(!sound(TMEM_MARK_PAGE, TMEM_ENCODING_SAME, 8, 1));
	CHECK(!sound(TMEM_MARK_ROW, TMEM_ENCODING_RAW, TMEM_PAGE_BYTES, TMEM_CLASS_RAW));
	CHECK(!sound((enum tmem_mark)0, TMEM_ENCODING_RAW, TMEM_PAGE_BYTES, TMEM_CLASS_RAW));
}

static void row_check_covers_every_bit(void)
{
	struct tmem_row row;

	scramble(&row, sizeof(row), 7);
	atomic_store(&row.commit, tmem_row_commit(&row));
	CHECK(tmem_row_sound(&row, atomic_load(&row.commit)));
	for (size_t bit = 0; bit < sizeof(row) * 8; bit++) {
		flip(&row, bit);
		CHECK(!tmem_row_sound(&row, atomic_load(&row.commit)));
		flip(&row, bit);
	}
}

static void extent_words_name_extent_and_class(void)
{
	for (uint32_t extent = 0; extent < 1000; extent++)
		for (unsigned int class = 0; class < TMEM_CLASSES; class ++) {
			uint64_t word = tmem_extent_word(extent, class);

			CHECK(word != 0);
			CHECK_EQ(tmem_extent_class(extent, word), class);
			CHECK_EQ(tmem_extent_class(extent + 1, word), -1);
			for (size_t bit = 0; bit < 64; bit++)
				CHECK_EQ(tmem_extent_class(extent, word ^ 1ull << bit), -1);
		}
}

static void classes_waste_little_and_fit(void)
{
	for (uint32_t length = 1; length <= TMEM_PAGE_BYTES; length++) {
		unsigned int class = tmem_class_of(length);
		uint32_t slot_bytes = tmem_class_slot_bytes(class);

		CHECK(slot_bytes >= length);
		if (length <= TMEM_ENCODED_MAX_BYTES)
			CHECK(slot_bytes - length < TMEM_CLASS_STEP_BYTES);
		CHECK_EQ(tmem_charge_bytes(length), slot_bytes + TMEM_RECORD_BYTES);
	}
	CHECK_EQ(tmem_class_of(0), TMEM_CLASS_EMPTY);
	for (uint64_t extent_bytes = TMEM_EXTENT_BYTES_MIN; extent_bytes <= TMEM_EXTENT_BYTES_MAX;
	     extent_bytes *= 2)
		for (unsigned int class = 0; class < TMEM_CLASSES; class ++) {
			uint64_t slots = tmem_class_slots(class, extent_bytes);
			uint64_t each =
				tmem_class_record_bytes(class) + tmem_class_slot_bytes(class);

			CHECK(slots >= 1 && slots <= TMEM_SLOTS_MAX);
			CHECK(TMEM_EXTENT_HEADER_BYTES + slots * each <= extent_bytes);
		}
}

static struct tmem_arena_header good_header(void)
{
	struct tmem_arena_header header = {
		.magic = TMEM_ARENA_MAGIC,
		.version = TMEM_FORMAT_VERSION,
		.extent_bytes = 256 << 10,
		.max_extents = 1000,
	};

	scramble(header.key, sizeof(header.key), 9);
	header.check = tmem_header_check(&header);
	return header;
}

static int refusal(struct tmem_arena_header header, bool sealed)
{
	struct tmem_error error = {0};
	int code;

	if (sealed)
		header.check = tmem_header_check(&header);
	code = tmem_header_sound(&header, &error);
	CHECK_EQ(error.code, code);
	CHECK((error.message[0] != '\0') == (code != 0));
	return code;
}

static void header_refuses_with_a_reason(void)
{
	struct tmem_arena_header header = good_header();

	CHECK_EQ(refusal(header, false), 0);
	for (size_t bit = 0; bit < sizeof(header) * 8; bit++) {
		flip(&header, bit);
		CHECK(refusal(header, false) != 0);
		flip(&header, bit);
	}
	header.version++;
	CHECK_EQ(refusal(header, false), -EPROTONOSUPPORT);
	header = good_header();
	header.features_incompat = 1U << 31;
	CHECK_EQ(refusal(header, true), -EPROTONOSUPPORT);
	header = good_header();
	header.features_compat = ~0ull;
	CHECK_EQ(refusal(header, true), 0);
	header = good_header();
	header.extent_bytes = 5000;
	CHECK(refusal(header, true) != 0);
	header.extent_bytes = 1ull << 40;
	CHECK(refusal(header, true) != 0);
	header = good_header();
	header.max_extents = 0;
	CHECK(refusal(header, true) != 0);
	header.max_extents = UINT64_MAX;
	CHECK(refusal(header, true) != 0);
}

int main(int argc, char **argv)
{
	static const struct test tests[] = {
		{"record_check_covers_every_bit", record_check_covers_every_bit},
		{"record_must_fit_its_class", record_must_fit_its_class},
		{"row_check_covers_every_bit", row_check_covers_every_bit},
		{"extent_words_name_extent_and_class", extent_words_name_extent_and_class},
		{"classes_waste_little_and_fit", classes_waste_little_and_fit},
		{"header_refuses_with_a_reason", header_refuses_with_a_reason},
	};

	return RUN_TESTS(tests, argc, argv);
}
