/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "trace_read.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "error.h"
#include "trace_block.h"

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

static void name_clients(struct tmem_trace_reading *reading)
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

static int check_header(struct tmem_trace_reading *reading, const char *path,
			struct tmem_error *error)
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
	struct tmem_trace_reading *reading = calloc(1, sizeof(*reading));
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
		code = tmem_trace_take_blocks(reading);
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
