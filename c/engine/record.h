/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is written in an arena: its header, its extent table, the record of each page and the rows
 * of the client and pool tables. This file is the format; everything else is rebuilt from it.
 *
 * File:    header | second copy of it at 4 KiB | extent table at 8 KiB | extents
 * Extent:  header (64 bytes) | records | contents        (page classes)
 *          header (64 bytes) | rows                      (the row class)
 *
 * COMMIT. A record or row counts from the moment its commit word is stored, one aligned 64-bit
 * store, after everything it covers is in place; it is dead once the word is zero. A process that
 * is killed at any instruction thus leaves it whole or absent (the kernel keeps the stores it had
 * made; an arena is not meant to survive the host). The word carries a check over the record, so
 * that damage is noticed before the record is believed.
 *
 * REPLACEMENT writes the new record beside the old one with the next generation, then clears the
 * old one. Recovery that finds both keeps the newer generation. Moving a page keeps the
 * generation: both copies are equal and either will do.
 *
 * A record names its pool by number and the pool's epoch. Raising the epoch in the pool's row, one
 * commit, removes every page of the pool at once.
 */
#ifndef TMEM_RECORD_H
#define TMEM_RECORD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "engine.h"

#define TMEM_ARENA_MAGIC 0x414d454d544d564bull /* "KVMTMEMA", little-endian */
enum {
	TMEM_FORMAT_VERSION = 1,
	TMEM_FEATURES_INCOMPAT_KNOWN = 0,
	TMEM_HEADER_COPY_BYTES = 4096,
	TMEM_TABLE_OFFSET_BYTES = 8192,
	TMEM_EXTENT_HEADER_BYTES = 64,
	TMEM_EXTENT_BYTES_MIN = 16 << 10,
	TMEM_EXTENT_BYTES_MAX = 2 << 20,
	TMEM_SECRET_BYTES = 192,
};

struct tmem_arena_header {
	uint64_t magic;
	uint32_t version;
	uint32_t features_incompat; /* unknown bits: do not open */
	uint64_t features_compat;   /* unknown bits: may be ignored */
	uint64_t extent_bytes;
	uint64_t max_extents;
	uint8_t key[32]; /* random: hashing and checksums of this arena are keyed by it */
	uint64_t check;  /* XXH3 of all before it */
};

/* Size classes. Class 0 holds pages without contents of their own. */
enum {
	TMEM_CLASS_EMPTY = 0,
	TMEM_CLASS_STEP_BYTES = 128,
	TMEM_ENCODED_MAX_BYTES = 3584, /* 7/8 of a page: what does not shrink to this is kept raw */
	TMEM_CLASS_RAW = TMEM_ENCODED_MAX_BYTES / TMEM_CLASS_STEP_BYTES + 1,
	TMEM_CLASS_ROW,
	TMEM_CLASSES,
	TMEM_SLOT_BITS = 12,
	TMEM_SLOTS_MAX = 1 << TMEM_SLOT_BITS, /* of one extent */
	TMEM_EXTENTS_MAX = (1 << (32 - TMEM_SLOT_BITS)) - 1,
	TMEM_RECORD_BYTES = 64,
	TMEM_ROW_BYTES = 256,
};

/* What a commit word says of its record, in its lowest byte. */
enum tmem_mark {
	TMEM_MARK_PAGE = 0xa5,      /* a page with contents of its own (or same-filled) */
	TMEM_MARK_SHARING = 0xa4,   /* such a page, and references may point to its contents */
	TMEM_MARK_REFERENCE = 0xa6, /* a page whose contents another record holds */
	TMEM_MARK_CONTENTS = 0xa7,  /* contents without a page, kept for references */
	TMEM_MARK_ROW = 0xb1,
};

struct tmem_record {
	_Atomic uint64_t commit; /* mark:8 encoding:8 length:16 check:32 */
	uint32_t pool;           /* number of the pool's row */
	uint16_t epoch;          /* of the pool when the page was put */
	uint16_t generation;     /* of the handle; compared modulo 2^16 */
	struct tmem_oid oid;
	uint64_t index;
	uint64_t checksum; /* of the plain page, keyed by trust group; of a same-filled page: its
			      word */
	uint32_t client;   /* uid of the client that put it */
	uint32_t stamp;    /* engine's clock when last put or hit; not covered by the check */
};

#define TMEM_STAMP_MASK 0x7fffffffu   /* the clock; compared modulo 2^31 */
#define TMEM_STAMP_SPARED 0x80000000u /* eviction has passed it over once */

_Static_assert(sizeof(struct tmem_record) == TMEM_RECORD_BYTES, "a record is one cache line");

enum tmem_row_kind {
	TMEM_ROW_CLIENT = 1,
	TMEM_ROW_POOL,
	TMEM_ROW_MEMBER,
	TMEM_ROW_AUTH,
	TMEM_ROW_HOST,
};

/* A row of the client, pool, member, authorisation or host table. */
struct tmem_row {
	_Atomic uint64_t commit; /* mark:8 zero:24 check:32 */
	uint32_t kind;
	uint32_t generation; /* of (kind, key); compared modulo 2^32 */
	uint64_t key;        /* client uid | pool number | uid and pool id | serial | 0 */
	union {
		struct {
			char name[TMEM_CLIENT_NAME_MAX + 1];
			struct tmem_client_settings settings;
			uint32_t next_serial; /* of pool ids: never below one given out */
		} client;
		struct {
			uint8_t uuid[TMEM_UUID_BYTES];
			uint32_t flags;
			uint32_t owner; /* client uid */
			uint32_t group_kind;
			uint32_t group;
			uint16_t epoch;
		} pool;
		struct {
			uint32_t client;
			uint32_t id;
			uint32_t pool;
			uint32_t joined; /* order among the members of a pool */
		} member;
		struct {
			uint32_t client;
			uint8_t uuid[TMEM_UUID_BYTES];
		} auth;
		struct {
			uint32_t shared_auth_all;
		} host;
		uint8_t bytes[TMEM_ROW_BYTES - 24];
	};
};

_Static_assert(sizeof(struct tmem_row) == TMEM_ROW_BYTES, "rows tile an extent");

/* ---- geometry ---- */

static inline uint32_t tmem_class_slot_bytes(unsigned int class)
{
	if (class == TMEM_CLASS_RAW)
		return TMEM_PAGE_BYTES;
	return class == TMEM_CLASS_ROW ? 0 : class * TMEM_CLASS_STEP_BYTES;
}

static inline unsigned int tmem_class_of(uint32_t length_bytes)
{
	if (length_bytes > TMEM_ENCODED_MAX_BYTES)
		return TMEM_CLASS_RAW;
	return (length_bytes + TMEM_CLASS_STEP_BYTES - 1) / TMEM_CLASS_STEP_BYTES;
}

static inline uint32_t tmem_class_record_bytes(unsigned int class)
{
	return class == TMEM_CLASS_ROW ? TMEM_ROW_BYTES : TMEM_RECORD_BYTES;
}

static inline uint32_t tmem_class_slots(unsigned int class, uint64_t extent_bytes)
{
	uint64_t slots = (extent_bytes - TMEM_EXTENT_HEADER_BYTES) /
			 (tmem_class_record_bytes(class) + tmem_class_slot_bytes(class));

	return slots < TMEM_SLOTS_MAX ? (uint32_t)slots : TMEM_SLOTS_MAX;
}

/* Where an extent's contents start: they end with it, which puts raw pages on page boundaries. */
static inline uint32_t tmem_class_contents_offset(unsigned int class, uint64_t extent_bytes)
{
	return (uint32_t)extent_bytes -
	       tmem_class_slots(class, extent_bytes) * tmem_class_slot_bytes(class);
}

/* What a page whose encoded contents have @length_bytes costs its client. */
static inline uint32_t tmem_charge_bytes(uint32_t length_bytes)
{
	return TMEM_RECORD_BYTES + tmem_class_slot_bytes(tmem_class_of(length_bytes));
}

/* ---- commit words ---- */

static inline uint8_t tmem_commit_mark(uint64_t commit)
{
	return commit & 0xff;
}

static inline uint8_t tmem_commit_encoding(uint64_t commit)
{
	return commit >> 8 & 0xff;
}

static inline uint16_t tmem_commit_length(uint64_t commit)
{
	return commit >> 16 & 0xffff;
}

/* The word that makes @record, complete but for it, count. */
uint64_t tmem_record_commit(const struct tmem_record *record, enum tmem_mark mark, uint8_t encoding,
			    uint16_t length_bytes);
/* Whether @commit, read from @record, is whole and possible in a slot of @class. */
bool tmem_record_sound(const struct tmem_record *record, uint64_t commit, unsigned int class);

uint64_t tmem_row_commit(const struct tmem_row *row);
bool tmem_row_sound(const struct tmem_row *row, uint64_t commit);

/* The word in the extent table, and at the start of the extent, of extent @extent in @class. */
uint64_t tmem_extent_word(uint32_t extent, unsigned int class);
/* The class @word gives extent @extent, or -1 if it is damaged (never call with 0: free). */
int tmem_extent_class(uint32_t extent, uint64_t word);

uint64_t tmem_header_check(const struct tmem_arena_header *header);
/* 0, or a negative errno with the sentence in @error. */
int tmem_header_sound(const struct tmem_arena_header *header, struct tmem_error *error);

static inline uint64_t tmem_table_end_bytes(const struct tmem_arena_header *header)
{
	return TMEM_TABLE_OFFSET_BYTES + header->max_extents * sizeof(uint64_t);
}

/* Where extent 0 starts. */
static inline uint64_t tmem_extents_offset_bytes(const struct tmem_arena_header *header)
{
	return (tmem_table_end_bytes(header) + header->extent_bytes - 1) &
	       ~(header->extent_bytes - 1);
}

#endif
