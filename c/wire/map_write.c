// SPDX-License-Identifier: GPL-2.0-or-later
#include "bytes.h"
#include "map.h"

/* The most that a value needs before its data: a type byte and eight of a number. */
enum { HEAD_MAX = 9 };

static void append(struct tmem_map_writer *writer, const void *data, size_t bytes)
{
	if (writer->overflow || bytes > writer->size - writer->bytes) {
		writer->overflow = 1;
		return;
	}
	memcpy(writer->start + writer->bytes, data, bytes);
	writer->bytes += bytes;
}

/* msgpack's numbers have their high byte first. */
static void append_number(struct tmem_map_writer *writer, uint8_t type, uint64_t value, int bytes)
{
	uint8_t head[HEAD_MAX] = {type};

	for (int i = 0; i < bytes; i++)
		head[1 + i] = (uint8_t)(value >> (8 * (bytes - 1 - i)));
	append(writer, head, 1 + bytes);
}

static void append_uint(struct tmem_map_writer *writer, uint64_t value)
{
	if (value < 0x80)
		append_number(writer, (uint8_t)value, 0, 0);
	else if (value <= 0xff)
		append_number(writer, 0xcc, value, 1);
	else if (value <= 0xffff)
		append_number(writer, 0xcd, value, 2);
	else if (value <= 0xffffffff)
		append_number(writer, 0xce, value, 4);
	else
		append_number(writer, 0xcf, value, 8);
}

static void append_text(struct tmem_map_writer *writer, const char *text)
{
	size_t bytes = strlen(text);

	if (bytes > 0xff) {
		writer->overflow = 1;
		return;
	}
	if (bytes < 32)
		append_number(writer, 0xa0 | (uint8_t)bytes, 0, 0);
	else
		append_number(writer, 0xd9, bytes, 1);
	append(writer, text, bytes);
}

static void append_key(struct tmem_map_writer *writer, const char *key)
{
	writer->entries++;
	append_text(writer, key);
}

void tmem_map_begin(struct tmem_map_writer *writer, void *to, size_t size)
{
	*writer = (struct tmem_map_writer){.start = to, .size = size};
	append_number(writer, 0xde, 0, 2); /* the number of entries is known at the end */
}

void tmem_map_uint(struct tmem_map_writer *writer, const char *key, uint64_t value)
{
	append_key(writer, key);
	append_uint(writer, value);
}

void tmem_map_int(struct tmem_map_writer *writer, const char *key, int64_t value)
{
	append_key(writer, key);
	if (value >= 0)
		append_uint(writer, (uint64_t)value);
	else
		append_number(writer, 0xd3, (uint64_t)value, 8);
}

void tmem_map_bool(struct tmem_map_writer *writer, const char *key, int value)
{
	append_key(writer, key);
	append_number(writer, value ? 0xc3 : 0xc2, 0, 0);
}

void tmem_map_text(struct tmem_map_writer *writer, const char *key, const char *value)
{
	append_key(writer, key);
	append_text(writer, value);
}

void tmem_map_bytes(struct tmem_map_writer *writer, const char *key, const void *value,
		    uint8_t bytes)
{
	append_key(writer, key);
	append_number(writer, 0xc4, bytes, 1);
	append(writer, value, bytes);
}

size_t tmem_map_end(struct tmem_map_writer *writer)
{
	if (writer->overflow || writer->entries > TMEM_MAP_ENTRIES_MAX)
		return 0;
	writer->start[1] = (uint8_t)(writer->entries >> 8);
	writer->start[2] = (uint8_t)writer->entries;
	return writer->bytes;
}
