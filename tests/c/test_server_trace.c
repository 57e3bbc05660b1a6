/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Recordings that begin and end while guests work: a file has every operation of its time in the
 * order of its client, or says how many it lacks.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"
#include "page.h"
#include "peer.h"
#include "random.h"
#include "scratch.h"
#include "setup.h"
#include "trace_read.h"

#ifdef __SANITIZE_THREAD__
enum { RECORDINGS = 40 };
#else
enum { RECORDINGS = 120 };
#endif

enum { ARENA_BYTES = 32 << 20, GUESTS = 4, PAGES = 64, SMALL_FILE_BYTES = 20000 };

static struct tmem_server *server;
static _Atomic bool stop;

/* Puts pages under numbers that only grow, and gets each. */
static void *be_a_guest(void *argument)
{
	unsigned int guest = (unsigned int)(uintptr_t)argument;
	struct peer peer;
	char name[32];
	uint32_t pool;

	snprintf(name, sizeof(name), "guest %u", guest);
	(void)peer_open(&peer, server, name, (uint8_t)guest);
	peer_begin(&peer);
	pool = peer_new_pool(&peer, guest % 2 != 0 ? TMEM_POOL_PERSISTENT : 0, NULL);
	for (uint32_t i = 0; !stop; i++) {
		uint32_t value = page_value(i % PAGE_FILLS, 1 + i);

		CHECK_EQ(peer_put(&peer, pool, i % PAGES, value), TMEM_DONE);
		CHECK_EQ(peer_get(&peer, pool, i % PAGES), value);
	}
	peer_close(&peer);
	return NULL;
}

static void check_file(const char *path, const struct tmem_trace_status *status)
{
	uint32_t last[GUESTS] = {0};
	uint64_t records = 0;
	struct tmem_error error;
	struct tmem_trace *trace;

	if (tmem_trace_load(path, &trace, &error) != 0)
		check_failed(__FILE__, __LINE__, "%s", error.message);
	CHECK(trace->ended);
	CHECK_EQ(trace->end_code, status->code);
	CHECK_EQ(trace->operation_count, status->records);
	CHECK_EQ(trace->dropped, status->dropped);
	CHECK_EQ(trace->file_bytes, status->file_bytes);
	CHECK_EQ(trace->missing_blocks + trace->damaged_blocks + trace->damaged_bytes +
			 trace->bad_records + trace->nameless_clients,
		 0);
	CHECK(status->code == 0 || status->dropped != 0);
	for (uint64_t i = 0; i < trace->operation_count; i++) {
		const struct tmem_trace_operation *operation = &trace->operations[i];
		uint32_t number;

		records++;
		CHECK(operation->record.client < trace->client_count);
		if (operation->record.op != TMEM_OP_PUT_PAGE)
			continue;
		CHECK_EQ(operation->page != 0, (status->flags & TMEM_TRACE_CONTENTS) != 0);
		if (operation->page == 0)
			continue;
		number = page_read(trace->contents + (operation->page - 1) * TMEM_PAGE_BYTES) &
			 0xfffffff;
		CHECK(number > last[operation->record.client]);
		CHECK_EQ((number - 1) % PAGES, operation->record.index);
		CHECK(status->dropped != 0 || last[operation->record.client] == 0 ||
		      number == last[operation->record.client] + 1);
		last[operation->record.client] = number;
	}
	CHECK_EQ(records, status->records);
	tmem_trace_free(trace);
}

static void record_once(int number)
{
	struct tmem_trace_status status;
	char path[SCRATCH_PATH_BYTES];
	struct tmem_error error;

	scratch_path(path, "trace");
	unlink(path);
	CHECK_EQ(tmem_server_trace_start(server, path, number % 3 != 0 ? TMEM_TRACE_CONTENTS : 0,
					 number % 5 == 0 ? SMALL_FILE_BYTES : 0, &error),
		 0);
	CHECK_EQ(tmem_server_trace_start(server, path, 0, 0, &error), -EBUSY);
	usleep((useconds_t)(number % 7) * 2000);
	tmem_server_trace_status(server, &status);
	CHECK(status.recording);
	CHECK_EQ(tmem_server_trace_stop(server, &status), 0);
	CHECK_EQ(tmem_server_trace_stop(server, &(struct tmem_trace_status){0}), -ENOENT);
	if (number % 5 == 0)
		CHECK(status.file_bytes <= SMALL_FILE_BYTES);
	check_file(path, &status);
}

static void recordings_under_load(void)
{
	const struct tmem_server_options options = {.workers = 2};
	pthread_t threads[GUESTS];
	struct tmem_engine *engine = setup_engine("trace-arena", ARENA_BYTES);
	char path[SCRATCH_PATH_BYTES];
	struct tmem_error error;

	scratch_path(path, "trace.state");
	if (tmem_server_start(engine, path, &options, &server, &error) != 0)
		check_failed(__FILE__, __LINE__, "%s", error.message);
	for (uintptr_t i = 0; i < GUESTS; i++)
		CHECK_EQ(pthread_create(&threads[i], NULL, be_a_guest, (void *)i), 0);
	for (int i = 0; i < RECORDINGS; i++)
		record_once(i);
	stop = true;
	for (int i = 0; i < GUESTS; i++)
		pthread_join(threads[i], NULL);
	tmem_server_stop(server, 100);
	tmem_engine_close(engine);
}

int main(int argc, char **argv)
{
	static const struct test tests[] = {
		{"recordings_under_load", recordings_under_load},
	};

	return RUN_TESTS(tests, argc, argv);
}
