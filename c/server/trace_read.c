/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "trace_read.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>
#include <zstd.h>

#include "error.h"
#include "wire.h"

enum {
	RECORD_BYTES = sizeof(struct tmem_trace_record),
	RAW_MAX =
		TMEM_TRACE_BLOCK_RECORDS * RECORD_BYTES + TMEM_TRACE_BLOCK_PAGES * TMEM_PAGE_BYTES,
};

struct reading {
	struct tmem_trace *trace;
	const uint8_t *data;
	size_t bytes;
	uint64_t operation_room;
	uint64_t page_room;
	uint64_t blocks;
	uint64_t next_number; /* after the highest that was seen */
	uint8_t raw[RAW_MAX];
	bool named[TMEM_TRACE_CLIENTS_MAX];
};

/* ---- blocks ----------------------------------------------------------------------------- */

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
		return (uint64_t)block->records * RECORD_BYTES +
		       (uint64_t)block->pages * TMEM_PAGE_BYTES;
	default:
		return sizeof(struct tmem_trace_end);
	}
}

/* Whether a block begins at @at; its header is then at @ret. */
static bool is_block(const struct reading *reading, size_t at, struct tmem_trace_block *ret)
{
	if (reading->bytes - at < sizeof(*ret))
		return false;
	memcpy(ret, reading->data + at, sizeof(*ret));
	return ret->magic == TMEM_TRACE_BLOCK_MAGIC &&
	       ret->check == XXH64(ret, offsetof(struct tmem_trace_block, check), 0) &&
	       ret->kind >= TMEM_TRACE_BLOCK_IS_CLIENTS && ret->kind <= TMEM_TRACE_BLOCK_IS_END &&
	       ret->records <= TMEM_TRACE_BLOCK_RECORDS && ret->pages <= TMEM_TRACE_BLOCK_PAGES &&
	       raw_bytes(ret) <= RAW_MAX;
}

static void take_clients(struct reading *reading, uint32_t count)
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
	for (uint32_t byte = 0; byte < RECORD_BYTES; byte++)
		((uint8_t *)ret)[byte] = from[(size_t)byte * count + i];
	ret->time_ns += before->time_ns;
	ret->index += before->index;
}

static int take_records(struct reading *reading, const struct tmem_trace_block *block)
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
		       reading->raw + (size_t)block->records * RECORD_BYTES,
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

static int take_block(struct reading *reading, const struct tmem_trace_block *block,
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

static int take_blocks(struct reading *reading)
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

/* ---- the whole -------------------------------------------------------------------------- */

static int by_time(const void *a, const void *b)
{
	const struct tmem_trace_record *one = &((const struct tmem_trace_operation *)a)->record;
	const struct tmem_trace_record *other = &((const struct tmem_trace_operation *)b)->record;

	return (one->time_ns > other->time_ns) - (one->time_ns < other->time_ns);
}

/* Blocks of several workers lie in any order. Times of one worker differ, so no client's operations
 * change places. */
static void sort(struct tmem_trace *trace)
{
	for (uint64_t i = 1; i < trace->operation_count; i++)
		if (by_time(&trace->operations[i - 1], &trace->operations[i]) > 0) {
			qsort(trace->operations, trace->operation_count, sizeof(*trace->operations),
			      by_time);
			return;
		}
}

static void name_clients(struct reading *reading)
{
	struct tmem_trace *trace = reading->trace;

	for (uint64_t i = 0; i < trace->client_count; i++) {
		struct tmem_trace_client *client = &trace->clients[i];

		if (reading->named[i])
			continue;
		client->number = (uint32_t)i;
		client->encoding = TMEM_ENCODING_LZ4;
		snprintf(client->name, sizeof(client->name), "client-%llu", (unsigned long long)i);
		client->name_bytes = (uint32_t)strlen(client->name);
		trace->nameless_clients++;
	}
}

static int read_file(const char *path, uint8_t **ret, size_t *bytes, struct tmem_error *error)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat status;
	size_t at = 0;
	int code = 0;

	if (fd < 0 || fstat(fd, &status) != 0) {
		code = tmem_fail(error, -errno, "%s: %s", path, strerror(errno));
	} else if (!S_ISREG(status.st_mode)) {
		code = tmem_fail(error, -EINVAL, "%s: not a file", path);
	} else {
		*bytes = (size_t)status.st_size;
		*ret = malloc(*bytes + 1);
		if (*ret == NULL)
			code = tmem_fail(error, -ENOMEM, "%s: too large for the memory there is",
					 path);
	}
	while (code == 0 && at < *bytes) {
		ssize_t got = read(fd, *ret + at, *bytes - at);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			code = tmem_fail(error, -errno, "%s: %s", path, strerror(errno));
		if (got == 0)
			*bytes = at;
		at += got > 0 ? (size_t)got : 0;
	}
	if (fd >= 0)
		close(fd);
	return code;
}

static int check_header(struct reading *reading, const char *path, struct tmem_error *error)
{
	struct tmem_trace_header header;

	if (reading->bytes < sizeof(header) ||
	    memcmp(reading->data, "TMEMTRC\n", TMEM_TRACE_MAGIC_BYTES) != 0)
		return tmem_fail(error, -EINVAL, "%s: this is no trace of tmem operations", path);
	memcpy(&header, reading->data, sizeof(header));
	if (header.check != XXH64(&header, offsetof(struct tmem_trace_header, check), 0)) {
		/* the blocks say the rest */
		reading->trace->damaged_bytes += sizeof(header);
		return 0;
	}
	if (header.version != TMEM_TRACE_VERSION)
		return tmem_fail(error, -EPROTO,
				 "%s: a trace of version %u, which a newer tmem reads; this one "
				 "reads version %d",
				 path, header.version, TMEM_TRACE_VERSION);
	reading->trace->flags = header.flags;
	reading->trace->started_ns = header.started_ns;
	return 0;
}

int tmem_trace_load(const char *path, struct tmem_trace **ret, struct tmem_error *error)
{
	struct reading *reading = calloc(1, sizeof(*reading));
	struct tmem_trace *trace = calloc(1, sizeof(*trace));
	uint8_t *data = NULL;
	int code = 0;

	if (trace != NULL)
		trace->clients = calloc(TMEM_TRACE_CLIENTS_MAX, sizeof(*trace->clients));
	if (reading == NULL || trace == NULL || trace->clients == NULL)
		code = tmem_fail(error, -ENOMEM, "out of memory");
	if (code == 0) {
		reading->trace = trace;
		code = read_file(path, &data, &reading->bytes, error);
		reading->data = data;
	}
	if (code == 0)
		code = check_header(reading, path, error);
	if (code == 0) {
		trace->file_bytes = reading->bytes;
		code = take_blocks(reading);
		if (code != 0)
			(void)tmem_fail(error, code, "%s: too large for the memory there is", path);
	}
	if (code == 0) {
		sort(trace);
		name_clients(reading);
		if (!trace->ended && trace->operation_count != 0)
			trace->duration_ns =
				trace->operations[trace->operation_count - 1].record.time_ns;
		*ret = trace;
	} else {
		tmem_trace_free(trace);
	}
	free(data);
	free(reading);
	return code;
}

void tmem_trace_free(struct tmem_trace *trace)
{
	if (trace == NULL)
		return;
	free(trace->operations);
	free(trace->contents);
	free(trace->clients);
	free(trace);
}
