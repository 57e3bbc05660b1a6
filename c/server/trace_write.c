/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "trace_write.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <xxhash.h>
#include <zstd.h>

#include "error.h"
#include "trace_block.h"

enum {
	ZSTD_LEVEL = 1,
	END_ROOM = 256,
	FILE_MODE = 0640,
};

_Static_assert(TMEM_TRACE_RECORD_BYTES == 56, "as docs/trace.md says");
_Static_assert(sizeof(struct tmem_trace_client) == 176, "as docs/trace.md says");
_Static_assert(sizeof(struct tmem_trace_block) == 56, "as docs/trace.md says");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "structs are written as they are");

static const char magic[TMEM_TRACE_MAGIC_BYTES + 1] = "TMEMTRC\n";

static int write_all(int fd, const void *data, size_t bytes)
{
	while (bytes != 0) {
		ssize_t written = write(fd, data, bytes);

		if (written < 0 && errno == EINTR)
			continue;
		if (written < 0)
			return -errno;
		data = (const uint8_t *)data + written;
		bytes -= (size_t)written;
	}
	return 0;
}

int tmem_trace_file_create(struct tmem_trace_file *file, const char *path, uint32_t flags,
			   uint64_t max_bytes, struct tmem_error *error)
{
	struct tmem_trace_header header = {.version = TMEM_TRACE_VERSION, .flags = flags};
	struct timespec now;
	int code;

	memset(file, 0, sizeof(*file));
	file->max_bytes = max_bytes;
	file->fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, FILE_MODE);
	if (file->fd < 0 && errno == EEXIST)
		return tmem_fail(error, -EEXIST,
				 "%s: a file is there already, and is not written over", path);
	if (file->fd < 0)
		return tmem_fail(error, -errno, "%s: a trace cannot be written here: %s", path,
				 strerror(errno));
	file->stored_room = ZSTD_compressBound(TMEM_TRACE_RAW_MAX);
	file->zstd = ZSTD_createCCtx();
	file->raw = malloc(TMEM_TRACE_RAW_MAX);
	file->stored = malloc(file->stored_room);
	memcpy(header.magic, magic, sizeof(header.magic));
	clock_gettime(CLOCK_REALTIME, &now);
	header.started_ns = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
	header.check = XXH64(&header, offsetof(struct tmem_trace_header, check), 0);
	code = file->zstd != NULL && file->raw != NULL && file->stored != NULL
		       ? write_all(file->fd, &header, sizeof(header))
		       : -ENOMEM;
	if (code != 0) {
		unlink(path);
		tmem_trace_file_close(file);
		return tmem_fail(error, code, "%s: %s", path, strerror(-code));
	}
	(void)ZSTD_CCtx_setParameter(file->zstd, ZSTD_c_compressionLevel, ZSTD_LEVEL);
	file->bytes = sizeof(header);
	return 0;
}

void tmem_trace_file_close(struct tmem_trace_file *file)
{
	close(file->fd);
	ZSTD_freeCCtx(file->zstd);
	free(file->raw);
	free(file->stored);
}

/* Appends @block with the first @raw_bytes of file->raw. */
static int append(struct tmem_trace_file *file, struct tmem_trace_block *block, size_t raw_bytes)
{
	uint64_t most = file->max_bytes;
	size_t stored =
		ZSTD_compress2(file->zstd, file->stored, file->stored_room, file->raw, raw_bytes);
	int code;

	if (ZSTD_isError(stored))
		return -ENOMEM;
	if (block->kind != TMEM_TRACE_BLOCK_IS_END)
		most = most > END_ROOM ? most - END_ROOM : most;
	if (most != 0 && file->bytes + sizeof(*block) + stored > most)
		return -EFBIG;
	block->magic = TMEM_TRACE_BLOCK_MAGIC;
	block->stored_bytes = (uint32_t)stored;
	block->number = file->number;
	block->payload_check = XXH64(file->stored, stored, block->number);
	block->check = XXH64(block, offsetof(struct tmem_trace_block, check), 0);
	code = write_all(file->fd, block, sizeof(*block));
	if (code == 0)
		code = write_all(file->fd, file->stored, stored);
	if (code != 0) {
		/* else the reader says where the damage begins */
		if (ftruncate(file->fd, (off_t)file->bytes) == 0)
			(void)lseek(file->fd, (off_t)file->bytes, SEEK_SET);
		return code;
	}
	file->bytes += sizeof(*block) + stored;
	file->number++;
	return 0;
}

/* Byte by byte of all records: neighbours are then alike. Times and indexes as differences. */
static void shuffle(uint8_t *to, const struct tmem_trace_record *records, uint32_t count)
{
	struct tmem_trace_record before = {0};

	for (uint32_t i = 0; i < count; i++) {
		struct tmem_trace_record record = records[i];

		record.time_ns -= before.time_ns;
		record.index -= before.index;
		for (uint32_t byte = 0; byte < TMEM_TRACE_RECORD_BYTES; byte++)
			to[byte * count + i] = ((const uint8_t *)&record)[byte];
		before = records[i];
	}
}

int tmem_trace_file_records(struct tmem_trace_file *file, uint16_t worker, uint64_t dropped,
			    const struct tmem_trace_record *records, uint32_t record_count,
			    const uint8_t *pages, uint32_t page_count)
{
	struct tmem_trace_block block = {
		.kind = TMEM_TRACE_BLOCK_IS_RECORDS,
		.worker = worker,
		.records = record_count,
		.pages = page_count,
		.dropped = dropped,
	};
	size_t bytes = (size_t)record_count * TMEM_TRACE_RECORD_BYTES;

	shuffle(file->raw, records, record_count);
	if (page_count != 0)
		memcpy(file->raw + bytes, pages, (size_t)page_count * TMEM_PAGE_BYTES);
	return append(file, &block, bytes + (size_t)page_count * TMEM_PAGE_BYTES);
}

int tmem_trace_file_clients(struct tmem_trace_file *file, const struct tmem_trace_client *clients,
			    uint32_t client_count)
{
	struct tmem_trace_block block = {
		.kind = TMEM_TRACE_BLOCK_IS_CLIENTS,
		.records = client_count,
	};

	memcpy(file->raw, clients, client_count * sizeof(*clients));
	return append(file, &block, client_count * sizeof(*clients));
}

int tmem_trace_file_end(struct tmem_trace_file *file, const struct tmem_trace_end *end)
{
	struct tmem_trace_block block = {.kind = TMEM_TRACE_BLOCK_IS_END};

	memcpy(file->raw, end, sizeof(*end));
	return append(file, &block, sizeof(*end));
}
