/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The msgpack maps in messages: text keys to unsigned and signed integers, booleans, text and
 * bytes. No allocation, also in the kernel. What a peer sends is checked as it is read: nothing is
 * read beyond its bytes, and nesting, which nobody here sends, is passed over to a depth of
 * TMEM_MAP_DEPTH_MAX.
 */
#ifndef TMEM_MAP_H
#define TMEM_MAP_H

#ifndef TMEM_CDEF
#ifdef __KERNEL__
#include <linux/types.h>
#else
#include <stddef.h>
#include <stdint.h>
#endif
#endif

enum { TMEM_MAP_ENTRIES_MAX = 64, TMEM_MAP_DEPTH_MAX = 8, TMEM_MAP_KEY_MAX = 31 };

/* ---- writing ---------------------------------------------------------------------------- */

struct tmem_map_writer {
	uint8_t *start;
	size_t bytes;
	size_t size;
	uint32_t entries;
	uint32_t overflow; /* non-zero: it did not fit */
};

/* @size bytes at @to, at least 3. */
void tmem_map_begin(struct tmem_map_writer *writer, void *to, size_t size);
void tmem_map_uint(struct tmem_map_writer *writer, const char *key, uint64_t value);
void tmem_map_int(struct tmem_map_writer *writer, const char *key, int64_t value);
void tmem_map_bool(struct tmem_map_writer *writer, const char *key, int value);
void tmem_map_text(struct tmem_map_writer *writer, const char *key, const char *value);
void tmem_map_bytes(struct tmem_map_writer *writer, const char *key, const void *value,
		    uint8_t bytes);
/* Returns the bytes of the map, or 0 when it did not fit or has too many entries. */
size_t tmem_map_end(struct tmem_map_writer *writer);

/* ---- reading ---------------------------------------------------------------------------- */

enum tmem_map_kind {
	TMEM_MAP_OTHER = 0, /* nil, a float, an array, a map, an extension: passed over */
	TMEM_MAP_UINT = 1,  /* number */
	TMEM_MAP_INT = 2,   /* below zero: number, as two's complement */
	TMEM_MAP_BOOL = 3,  /* number */
	TMEM_MAP_TEXT = 4,  /* data, bytes; not terminated, any bytes */
	TMEM_MAP_BYTES = 5, /* data, bytes */
};

struct tmem_map_value {
	enum tmem_map_kind kind;
	uint64_t number;
	const void *data;
	uint32_t bytes;
};

struct tmem_map_reader {
	const uint8_t *at;
	const uint8_t *end;
	uint32_t left;
};

/* The map in @bytes at @untrusted_data. 0, or -EINVAL when it is no map or has more than
 * TMEM_MAP_ENTRIES_MAX. */
int tmem_map_open(struct tmem_map_reader *reader, const void *untrusted_data, size_t bytes);

/* The next entry: its key at @key (room for TMEM_MAP_KEY_MAX + 1), cut to TMEM_MAP_KEY_MAX bytes
 * and terminated (empty when it is no text). 1; 0 at the end of the map, which must be that of its
 * bytes, too; -EINVAL. */
int tmem_map_next(struct tmem_map_reader *reader, char *key, struct tmem_map_value *value);

#endif
