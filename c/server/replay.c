/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <xxhash.h>

#include "error.h"
#include "trace_replay.h"

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static bool is_of_pages(const struct tmem_trace_record *record)
{
	return record->op == TMEM_OP_PUT_PAGE || record->op == TMEM_OP_GET_PAGE ||
	       record->op == TMEM_OP_FLUSH_PAGE || record->op == TMEM_OP_FLUSH_OBJECT ||
	       record->op == TMEM_OP_FLUSH_RANGE || record->op == TMEM_OP_FLUSH_POOL;
}

/* The same handle has the same page, whichever put it is. */
static void make_up(const struct tmem_trace_record *record, uint32_t random_bytes, uint8_t *to)
{
	uint64_t seed = XXH64(record->oid.words, sizeof(record->oid.words),
			      record->index ^ (uint64_t)record->client << 48 ^
				      (uint64_t)record->pool << 24);
	uint32_t words = random_bytes / sizeof(seed);

	memset(to, 0, TMEM_PAGE_BYTES);
	for (uint32_t i = 0; i < words; i++) {
		/* splitmix64, a generator of numbers without any order */
		uint64_t mixed = seed += 0x9e3779b97f4a7c15;

		mixed = (mixed ^ mixed >> 30) * 0xbf58476d1ce4e5b9;
		mixed = (mixed ^ mixed >> 27) * 0x94d049bb133111eb;
		mixed ^= mixed >> 31;
		memcpy(to + i * sizeof(mixed), &mixed, sizeof(mixed));
	}
}

static void prepare(struct replay *replay, const struct tmem_trace_operation *operations,
		    uint64_t count)
{
	for (uint64_t i = 0; i < count; i++) {
		uint8_t *page = replay->pages + i * TMEM_PAGE_BYTES;

		if (operations[i].record.op != TMEM_OP_PUT_PAGE)
			continue;
		if (operations[i].page != 0) {
			replay->page_of[i] = replay->trace->contents +
					     (operations[i].page - 1) * TMEM_PAGE_BYTES;
			continue;
		}
		make_up(&operations[i].record, replay->options->incompressible_bytes, page);
		replay->page_of[i] = page;
		replay->report->made_up_pages++;
	}
}

/* The clock is read where one kind of operation follows another. */
static int replay_batch(struct replay *replay, const struct tmem_trace_operation *operations,
			uint64_t count)
{
	uint64_t *spent = NULL;
	uint64_t since_ns;
	uint8_t op = 0;
	int code = 0;

	prepare(replay, operations, count);
	since_ns = now_ns();
	for (uint64_t i = 0; i < count && code == 0; i++) {
		const struct tmem_trace_record *record = &operations[i].record;
		uint64_t *kind;

		if (record->op != op) {
			uint64_t until_ns = now_ns();

			if (spent != NULL)
				*spent += until_ns - since_ns;
			since_ns = until_ns;
			spent = NULL;
			op = record->op;
		}
		if (!is_of_pages(record)) {
			code = tmem_replay_rest(replay, &replay->clients[record->client], record);
			continue;
		}
		kind = tmem_replay_page(replay, record, replay->page_of[i]);
		spent = kind != NULL ? kind : spent;
	}
	if (spent != NULL)
		*spent += now_ns() - since_ns;
	return code;
}

static int make_client(struct replay *replay, uint64_t number, struct tmem_error *error)
{
	const struct tmem_trace_client *recorded = &replay->trace->clients[number];
	struct tmem_client *client;
	struct tmem_client_info info;
	int code = tmem_client_create(replay->engine, recorded->name, &client);

	if (code != 0)
		return tmem_fail(error, code, "client %s: %s", recorded->name, strerror(-code));
	replay->clients[number].client = client;
	tmem_client_info(client, &info);
	info.settings = (struct tmem_client_settings){
		.weight = recorded->weight,
		.trust_group = recorded->trust_group,
		.cap_bytes = recorded->cap_bytes,
		.persistent_quota_bytes = recorded->persistent_quota_bytes,
		.encoding = replay->options->encoding >= 0 ? (uint32_t)replay->options->encoding
							   : recorded->encoding,
		.zstd_level =
			recorded->zstd_level != 0 ? recorded->zstd_level : info.settings.zstd_level,
		.dedup = recorded->dedup,
	};
	code = tmem_client_set(client, &info.settings);
	if (code != 0)
		return tmem_fail(error, code, "client %s: these settings are not possible",
				 recorded->name);
	return 0;
}

int tmem_trace_replay(struct tmem_engine *engine, const struct tmem_trace *trace,
		      const struct tmem_replay_options *options, struct tmem_replay_report *ret,
		      struct tmem_error *error)
{
	struct replay *replay = calloc(1, sizeof(*replay));
	int code = 0;

	memset(ret, 0, sizeof(*ret));
	if (options->incompressible_bytes > TMEM_PAGE_BYTES) {
		free(replay);
		return tmem_fail(error, -EINVAL, "a page has %d bytes, not %u", TMEM_PAGE_BYTES,
				 options->incompressible_bytes);
	}
	if (replay != NULL) {
		*replay = (struct replay){engine, trace, options, ret, NULL, NULL, {NULL}};
		replay->clients = calloc(trace->client_count + 1, sizeof(*replay->clients));
		replay->pages = malloc((size_t)TMEM_REPLAY_BATCH * TMEM_PAGE_BYTES);
	}
	if (replay == NULL || replay->clients == NULL || replay->pages == NULL ||
	    tmem_engine_set_shared_auth_all(engine, 1) != 0)
		code = tmem_fail(error, -ENOMEM, "out of memory");
	for (uint64_t i = 0; i < trace->client_count && code == 0; i++)
		code = make_client(replay, i, error);
	for (uint64_t at = 0; at < trace->operation_count && code == 0; at += TMEM_REPLAY_BATCH) {
		uint64_t left = trace->operation_count - at;

		code = replay_batch(replay, &trace->operations[at],
				    left < TMEM_REPLAY_BATCH ? left : TMEM_REPLAY_BATCH);
		if (code != 0)
			(void)tmem_fail(error, code, "the host has no room for a pool");
	}
	for (uint64_t i = 0; replay != NULL && replay->clients != NULL && i < trace->client_count;
	     i++) {
		tmem_client_release(replay->clients[i].client);
		free(replay->clients[i].pools);
	}
	if (replay != NULL) {
		free(replay->clients);
		free(replay->pages);
	}
	free(replay);
	return code;
}
