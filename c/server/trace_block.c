/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "trace_block.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>
#include <zstd.h>

#include "wire.h"

/* Makes room for @more elements at @array: false without memory. */
static bool fit(void *array, uint64_t *room, uint64_t used, uint64_t more, size_t element_bytes)
{
	uint64_t wanted = *room != 0 ? *room : 1024;
	void *grown;

	while (wanted < used + more)
		wanted *= 2;
	if (wanted == *room)
		return true;
	grown = realloc(*(void **)array, wanted * element_bytes);
	if (grown == NULL)
		return false;
	*(void **)array = grown;
	*room = wanted;
	return true;
}

static uint64_t raw_bytes(const struct tmem_trace_block *block)
{
	switch (block->kind) {
	case TMEM_TRACE_BLOCK_IS_CLIENTS:
		return block->records * sizeof(struct tmem_trace_client);
	case TMEM_TRACE_BLOCK_IS_RECORDS:
		return (uint64_t)block->records * TMEM_TRACE_RECORD_BYTES +
		       (uint64_t)block->pages * TMEM_PAGE_BYTES;
	default:
		return sizeof(struct tmem_trace_end);
	}
}

/* Whether a block begins at @at; its header is then at @ret. */
static bool is_block(const struct tmem_trace_reading *reading, size_t at,
		     struct tmem_trace_block *ret)
{
	if (reading->bytes - at < sizeof(*ret))
		return false;
	memcpy(ret, reading->data + at, sizeof(*ret));
	return ret->magic == TMEM_TRACE_BLOCK_MAGIC &&
	       ret->check == XXH64(ret, offsetof(struct tmem_trace_block, check), 0) &&
	       ret->kind >= TMEM_TRACE_BLOCK_IS_CLIENTS && ret->kind <= TMEM_TRACE_BLOCK_IS_END &&
	       ret->records <= TMEM_TRACE_BLOCK_RECORDS && ret->pages <= TMEM_TRACE_BLOCK_PAGES &&
	       raw_bytes(ret) <= TMEM_TRACE_RAW_MAX;
}

static void take_clients(struct tmem_trace_reading *reading, uint32_t count)
{
	struct tmem_trace *trace = reading->trace;

	for (uint32_t i = 0; i < count; i++) {
		struct tmem_trace_client client;

		memcpy(&client, reading->raw + i * sizeof(client), sizeof(client));
		if (client.number >= TMEM_TRACE_CLIENTS_MAX || client.name_bytes == 0 ||
		    client.name_bytes >= sizeof(client.name) ||
		    strnlen(client.name, sizeof(client.name)) != client.name_bytes) {
			trace->bad_records++;
			continue;
		}
		trace->clients[client.number] = client;
		reading->named[client.number] = true;
		if (client.number >= trace->client_count)
			trace->client_count = client.number + 1;
	}
}

static bool is_possible(const struct tmem_trace_record *record)
{
	switch (record->op) {
	case TMEM_OP_GET_PAGE:
		return record->count >= 0 && record->count <= TMEM_WIRE_AHEAD_MAX;
	case TMEM_OP_FLUSH_RANGE:
		return record->count > 0;
	case TMEM_OP_NEW_POOL:
	case TMEM_OP_DESTROY_POOL:
	case TMEM_OP_PUT_PAGE:
	case TMEM_OP_FLUSH_PAGE:
	case TMEM_OP_FLUSH_OBJECT:
	case TMEM_OP_FLUSH_POOL:
	case TMEM_OP_START:
	case TMEM_OP_ECHO:
	case TMEM_OP_BYE:
	case TMEM_OP_STAT:
	case TMEM_OP_POOLS:
	case TMEM_TRACE_OP_POOL:
		return true;
	default:
		return false;
	}
}

/* The record @i of the @count whose bytes lie apart; @before is the one before it. */
static void gather(const uint8_t *from, uint32_t count, uint32_t i,
		   const struct tmem_trace_record *before, struct tmem_trace_record *ret)
{
	for (uint32_t byte = 0; byte < TMEM_TRACE_RECORD_BYTES; byte++)
		((uint8_t *)ret)[byte] = from[(size_t)byte * count + i];
	ret->time_ns += before->time_ns;
	ret->index += before->index;
}

static int take_records(struct tmem_trace_reading *reading, const struct tmem_trace_block *block)
{
	struct tmem_trace *trace = reading->trace;
	struct tmem_trace_record before = {0};
	uint64_t first_page = trace->page_count;
	uint32_t pages = 0;

	if (!fit(&trace->operations, &reading->operation_room, trace->operation_count,
		 block->records, sizeof(*trace->operations)) ||
	    !fit(&trace->contents, &reading->page_room, trace->page_count, block->pages,
		 TMEM_PAGE_BYTES))
		return -ENOMEM;
	if (block->pages != 0)
		memcpy(trace->contents + first_page * TMEM_PAGE_BYTES,
		       reading->raw + (size_t)block->records * TMEM_TRACE_RECORD_BYTES,
		       (size_t)block->pages * TMEM_PAGE_BYTES);
	trace->page_count += block->pages;
	for (uint32_t i = 0; i < block->records; i++) {
		struct tmem_trace_operation operation = {.page = 0};

		gather(reading->raw, block->records, i, &before, &operation.record);
		before = operation.record;
		if (operation.record.flags & TMEM_TRACE_HAS_PAGE && pages < block->pages)
			operation.page = first_page + ++pages;
		if (!is_possible(&operation.record)) {
			trace->bad_records++;
			continue;
		}
		if (operation.record.client >= trace->client_count)
			trace->client_count = operation.record.client + 1u;
		trace->operations[trace->operation_count++] = operation;
	}
	return 0;
}

static int take_block(struct tmem_trace_reading *reading, const struct tmem_trace_block *block,
		      const uint8_t *stored)
{
	struct tmem_trace *trace = reading->trace;
	struct tmem_trace_end end;
	uint64_t raw = raw_bytes(block);

	reading->blocks++;
	if (block->number >= reading->next_number && block->number != UINT64_MAX)
		reading->next_number = block->number + 1;
	trace->dropped += block->dropped;
	if (XXH64(stored, block->stored_bytes, block->number) != block->payload_check ||
	    ZSTD_decompress(reading->raw, sizeof(reading->raw), stored, block->stored_bytes) !=
		    raw) {
		trace->damaged_blocks++;
		if (block->kind == TMEM_TRACE_BLOCK_IS_RECORDS)
			trace->lost_records += block->records;
		return 0;
	}
	switch (block->kind) {
	case TMEM_TRACE_BLOCK_IS_CLIENTS:
		take_clients(reading, block->records);
		return 0;
	case TMEM_TRACE_BLOCK_IS_RECORDS:
		return take_records(reading, block);
	default:
		memcpy(&end, reading->raw, sizeof(end));
		trace->ended = 1;
		trace->duration_ns = end.duration_ns;
		trace->dropped = end.dropped;
		trace->end_code = (int32_t)end.code;
		return 0;
	}
}

int tmem_trace_take_blocks(struct tmem_trace_reading *reading)
{
	struct tmem_trace *trace = reading->trace;
	size_t at = sizeof(struct tmem_trace_header);
	int code = 0;

	while (at < reading->bytes && code == 0) {
		struct tmem_trace_block block;

		/* one that was cut short is none */
		if (!is_block(reading, at, &block) ||
		    block.stored_bytes > reading->bytes - at - sizeof(block)) {
			trace->damaged_bytes++;
			at++;
			continue;
		}
		code = take_block(reading, &block, reading->data + at + sizeof(block));
		at += sizeof(block) + block.stored_bytes;
	}
	if (reading->next_number > reading->blocks)
		trace->missing_blocks = reading->next_number - reading->blocks;
	return code;
}
