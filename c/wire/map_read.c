// SPDX-License-Identifier: GPL-2.0-or-later
#ifdef __KERNEL__
#include <linux/errno.h>
#else
#include <errno.h>
#include <stdbool.h>
#endif

#include "bytes.h"
#include "map.h"

static size_t left(const struct tmem_map_reader *reader)
{
	return reader->end - reader->at;
}

/* A number of @bytes, high byte first. */
static bool take_number(struct tmem_map_reader *reader, int bytes, uint64_t *ret)
{
	if (left(reader) < (size_t)bytes)
		return false;
	*ret = 0;
	for (int i = 0; i < bytes; i++)
		*ret = *ret << 8 | *reader->at++;
	return true;
}

static bool take_data(struct tmem_map_reader *reader, uint64_t bytes, struct tmem_map_value *value)
{
	if (left(reader) < bytes)
		return false;
	value->data = reader->at;
	value->bytes = (uint32_t)bytes;
	reader->at += bytes;
	return true;
}

static bool take_sized(struct tmem_map_reader *reader, int size_bytes, struct tmem_map_value *value)
{
	uint64_t bytes;

	return take_number(reader, size_bytes, &bytes) && take_data(reader, bytes, value);
}

static bool take_value(struct tmem_map_reader *reader, struct tmem_map_value *value, int depth);

static bool take_nested(struct tmem_map_reader *reader, uint64_t values, int depth)
{
	struct tmem_map_value inner;

	if (depth >= TMEM_MAP_DEPTH_MAX || values > left(reader))
		return false;
	while (values--)
		if (!take_value(reader, &inner, depth + 1))
			return false;
	return true;
}

static bool take_signed(struct tmem_map_reader *reader, int bytes, struct tmem_map_value *value)
{
	int unused_bits = 64 - 8 * bytes;

	if (!take_number(reader, bytes, &value->number))
		return false;
	value->number = (uint64_t)((int64_t)(value->number << unused_bits) >> unused_bits);
	value->kind = (int64_t)value->number < 0 ? TMEM_MAP_INT : TMEM_MAP_UINT;
	return true;
}

static bool take_value(struct tmem_map_reader *reader, struct tmem_map_value *value, int depth)
{
	uint64_t count;
	uint8_t type;

	*value = (struct tmem_map_value){.kind = TMEM_MAP_OTHER};
	if (!left(reader))
		return false;
	type = *reader->at++;
	switch (type) {
	case 0x00 ... 0x7f:
		value->kind = TMEM_MAP_UINT;
		value->number = type;
		return true;
	case 0xe0 ... 0xff:
		value->kind = TMEM_MAP_INT;
		value->number = (uint64_t)(int64_t)(int8_t)type;
		return true;
	case 0xcc ... 0xcf:
		value->kind = TMEM_MAP_UINT;
		return take_number(reader, 1 << (type - 0xcc), &value->number);
	case 0xd0 ... 0xd3:
		return take_signed(reader, 1 << (type - 0xd0), value);
	case 0xc2:
	case 0xc3:
		value->kind = TMEM_MAP_BOOL;
		value->number = type & 1;
		return true;
	case 0xa0 ... 0xbf:
		value->kind = TMEM_MAP_TEXT;
		return take_data(reader, type & 0x1f, value);
	case 0xd9 ... 0xdb:
		value->kind = TMEM_MAP_TEXT;
		return take_sized(reader, 1 << (type - 0xd9), value);
	case 0xc4 ... 0xc6:
		value->kind = TMEM_MAP_BYTES;
		return take_sized(reader, 1 << (type - 0xc4), value);
	case 0xc0: /* nil */
		return true;
	case 0xca: /* floats */
		return take_data(reader, 4, value);
	case 0xcb:
		return take_data(reader, 8, value);
	case 0xd4 ... 0xd8: /* extensions have a byte of type before their data */
		return take_data(reader, 1 + (1 << (type - 0xd4)), value);
	case 0xc7 ... 0xc9:
		return take_number(reader, 1 << (type - 0xc7), &count) &&
		       take_data(reader, 1 + count, value);
	case 0x80 ... 0x8f:
		return take_nested(reader, 2 * (type & 0x0f), depth);
	case 0x90 ... 0x9f:
		return take_nested(reader, type & 0x0f, depth);
	case 0xdc:
	case 0xdd:
		return take_number(reader, type == 0xdc ? 2 : 4, &count) &&
		       take_nested(reader, count, depth);
	case 0xde:
	case 0xdf:
		return take_number(reader, type == 0xde ? 2 : 4, &count) &&
		       take_nested(reader, 2 * count, depth);
	default: /* 0xc1 is never used */
		return false;
	}
}

int tmem_map_open(struct tmem_map_reader *reader, const void *untrusted_data, size_t bytes)
{
	uint64_t entries;
	uint8_t type;

	if (!bytes)
		return -EINVAL;
	reader->at = untrusted_data;
	reader->end = reader->at + bytes;
	type = *reader->at++;
	if ((type & 0xf0) == 0x80)
		entries = type & 0x0f;
	else if ((type != 0xde && type != 0xdf) ||
		 !take_number(reader, type == 0xde ? 2 : 4, &entries))
		return -EINVAL;
	if (entries > TMEM_MAP_ENTRIES_MAX)
		return -EINVAL;
	reader->left = (uint32_t)entries;
	return 0;
}

int tmem_map_next(struct tmem_map_reader *reader, char *key, struct tmem_map_value *value)
{
	struct tmem_map_value name;
	uint32_t bytes = 0;

	if (!reader->left)
		return left(reader) ? -EINVAL : 0;
	reader->left--;
	if (!take_value(reader, &name, 0) || !take_value(reader, value, 0))
		return -EINVAL;
	if (name.kind == TMEM_MAP_TEXT) {
		bytes = name.bytes < TMEM_MAP_KEY_MAX ? name.bytes : TMEM_MAP_KEY_MAX;
		memcpy(key, name.data, bytes);
	}
	key[bytes] = 0;
	return 1;
}
