/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "record.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "error.h"
#include "hash.h"

static uint32_t record_check(const struct tmem_record *record, uint64_t low_word)
{
	uint64_t words[7];

	words[0] = low_word;
	memcpy(words + 1, (const char *)record + 8, 48);
	/* client, without the stamp beside it */
	uint64_t hash = tmem_hash_words(words, 7, record->client);
	return (uint32_t)(hash >> 32 ^ hash);
}

uint64_t tmem_record_commit(const struct tmem_record *record, enum tmem_mark mark, uint8_t encoding,
			    uint16_t length_bytes)
{
	uint64_t low_word = (uint64_t)mark | (uint64_t)encoding << 8 | (uint64_t)length_bytes << 16;

	return low_word | (uint64_t)record_check(record, low_word) << 32;
}

bool tmem_record_sound(const struct tmem_record *record, uint64_t commit, unsigned int class)
{
	uint32_t length_bytes = tmem_commit_length(commit);
	uint8_t encoding = tmem_commit_encoding(commit);

	if (record_check(record, commit & 0xffffffff) != commit >> 32)
		return false;
	if (encoding > TMEM_ENCODING_ZSTD || length_bytes > TMEM_PAGE_BYTES)
		return false;
	switch (tmem_commit_mark(commit)) {
	case TMEM_MARK_PAGE:
	case TMEM_MARK_SHARING:
	case TMEM_MARK_CONTENTS:
		return length_bytes <= tmem_class_slot_bytes(class) &&
		       (encoding != TMEM_ENCODING_SAME || length_bytes == 0) &&
		       (encoding != TMEM_ENCODING_RAW || length_bytes == TMEM_PAGE_BYTES);
	case TMEM_MARK_REFERENCE:
		return true;
	default:
		return false;
	}
}

uint64_t tmem_row_commit(const struct tmem_row *row)
{
	uint64_t hash =
		tmem_hash_words((const uint64_t *)row + 1, TMEM_ROW_BYTES / 8 - 1, TMEM_MARK_ROW);

	return TMEM_MARK_ROW | (hash >> 32 ^ hash) << 32;
}

bool tmem_row_sound(const struct tmem_row *row, uint64_t commit)
{
	return commit == tmem_row_commit(row);
}

uint64_t tmem_extent_word(uint32_t extent, unsigned int class)
{
	uint64_t words[2] = {extent, class};
	uint64_t hash = tmem_hash_words(words, 2, TMEM_ARENA_MAGIC);

	return (uint64_t)(class + 1) | hash << 16;
}

int tmem_extent_class(uint32_t extent, uint64_t word)
{
	unsigned int class = (unsigned int)(word & 0xffff) - 1;

	if (class >= TMEM_CLASSES || word != tmem_extent_word(extent, class))
		return -1;
	return (int)class;
}

uint64_t tmem_header_check(const struct tmem_arena_header *header)
{
	return tmem_hash_words((const uint64_t *)header,
			       offsetof(struct tmem_arena_header, check) / 8, 0);
}

int tmem_header_sound(const struct tmem_arena_header *header, struct tmem_error *error)
{
	if (header->magic != TMEM_ARENA_MAGIC)
		return tmem_fail(error, -EINVAL, "not a tmem arena");
	/* The version is looked at first: a later format may check its header differently. */
	if (header->version != TMEM_FORMAT_VERSION)
		return tmem_fail(error, -EPROTONOSUPPORT,
				 "the arena has format %u, this program knows format %u: open it "
				 "with the version of tmem that wrote it",
				 header->version, TMEM_FORMAT_VERSION);
	if (header->check != tmem_header_check(header))
		return tmem_fail(error, -EUCLEAN, "the arena's header is damaged");
	if (header->features_incompat & ~(uint32_t)TMEM_FEATURES_INCOMPAT_KNOWN)
		return tmem_fail(error, -EPROTONOSUPPORT,
				 "the arena uses features %#x, unknown to this program: open it "
				 "with the version of tmem that wrote it",
				 header->features_incompat);
	if (header->extent_bytes < TMEM_EXTENT_BYTES_MIN ||
	    header->extent_bytes > TMEM_EXTENT_BYTES_MAX ||
	    (header->extent_bytes & (header->extent_bytes - 1)) != 0 || header->max_extents == 0 ||
	    header->max_extents > TMEM_EXTENTS_MAX)
		return tmem_fail(error, -EUCLEAN, "the arena's header makes no sense");
	return 0;
}
