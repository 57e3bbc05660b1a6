/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <xxhash.h>

#include "error.h"
#include "trace_read.h"

/* Pages are made up for so many operations at a time, when no clock runs. */
enum { BATCH = 256 };

/* A pool of the trace, and what it is now. */
struct replay_pool {
	uint32_t recorded;
	uint32_t id;
	bool persistent;
};

struct replay_client {
	struct tmem_client *client;
	struct replay_pool *pools;
	uint32_t pool_count;
	uint32_t pool_room;
	uint32_t last; /* found */
};

struct replay {
	struct tmem_engine *engine;
	const struct tmem_trace *trace;
	const struct tmem_replay_options *options;
	struct tmem_replay_report *report;
	struct replay_client *clients;
	uint8_t *pages;                /* of a batch */
	const uint8_t *page_of[BATCH]; /* recorded, or made up */
};

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* ---- pools ------------------------------------------------------------------------------ */

static struct replay_pool *find_pool(struct replay_client *client, uint32_t recorded)
{
	if (client->last < client->pool_count && client->pools[client->last].recorded == recorded)
		return &client->pools[client->last];
	for (uint32_t i = 0; i < client->pool_count; i++)
		if (client->pools[i].recorded == recorded) {
			client->last = i;
			return &client->pools[i];
		}
	return NULL;
}

static int make_pool(struct replay_client *client, const struct tmem_trace_record *record)
{
	uint32_t granted = (uint32_t)record->oid.words[2];
	uint32_t flags = ((uint32_t)record->index & ~(uint32_t)TMEM_POOL_SHARED) |
			 (granted & TMEM_POOL_SHARED);
	struct replay_pool pool = {.recorded = record->pool};
	int code;

	if (record->result != TMEM_DONE || find_pool(client, record->pool) != NULL)
		return 0;
	if (client->pool_count == client->pool_room) {
		uint32_t room = client->pool_room != 0 ? 2 * client->pool_room : 8;
		struct replay_pool *pools = realloc(client->pools, room * sizeof(*pools));

		if (pools == NULL)
			return -ENOMEM;
		client->pools = pools;
		client->pool_room = room;
	}
	code = tmem_pool_new(client->client, (const uint8_t *)record->oid.words, flags, &pool.id,
			     &granted);
	if (code != 0)
		return code == TMEM_ENOMEM ? -ENOMEM : 0;
	pool.persistent = granted & TMEM_POOL_PERSISTENT;
	client->pools[client->pool_count++] = pool;
	return 0;
}

static void destroy_pool(struct replay_client *client, struct replay_pool *pool)
{
	(void)tmem_pool_destroy(client->client, pool->id);
	*pool = client->pools[--client->pool_count];
}

/* A session has ended; the persistent pools may stay. */
static void leave_pools(struct replay_client *client, bool persistent)
{
	for (uint32_t i = client->pool_count; i-- > 0;)
		if (persistent || !client->pools[i].persistent)
			destroy_pool(client, &client->pools[i]);
}

static int replay_rest(struct replay *replay, struct replay_client *client,
		       const struct tmem_trace_record *record)
{
	struct replay_pool *pool = find_pool(client, record->pool);

	replay->report->pool_operations++;
	switch (record->op) {
	case TMEM_OP_NEW_POOL:
	case TMEM_TRACE_OP_POOL:
		return make_pool(client, record);
	case TMEM_OP_DESTROY_POOL:
		if (pool != NULL)
			destroy_pool(client, pool);
		return 0;
	case TMEM_OP_START:
		if (record->result == 2)
			leave_pools(client, !(record->flags & TMEM_TRACE_POOLS_KEPT));
		return 0;
	case TMEM_OP_BYE:
		leave_pools(client, false);
		return 0;
	default:
		replay->report->pool_operations--;
		replay->report->passed_over++;
		return 0;
	}
}

/* ---- pages ------------------------------------------------------------------------------ */

static void get_ahead(struct replay *replay, struct replay_client *client, uint32_t pool,
		      const struct tmem_trace_record *record)
{
	uint64_t there[TMEM_PRESENCE_WORDS];
	uint64_t wanted = (uint64_t)record->count;
	uint8_t page[TMEM_PAGE_BYTES] __attribute__((aligned(64)));

	if (wanted > UINT64_MAX - record->index)
		wanted = UINT64_MAX - record->index;
	if (wanted == 0 || tmem_presence(client->client, pool, &record->oid, record->index + 1,
					 (uint32_t)wanted, there) != TMEM_DONE)
		return;
	for (uint64_t i = 0; i < wanted; i++)
		if (there[0] >> i & 1 && tmem_get(client->client, pool, &record->oid,
						  record->index + 1 + i, page) == TMEM_DONE)
			replay->report->ahead_pages++;
}

static void get(struct replay *replay, struct replay_client *client, uint32_t pool,
		const struct tmem_trace_record *record)
{
	struct tmem_replay_report *report = replay->report;
	uint8_t page[TMEM_PAGE_BYTES] __attribute__((aligned(64)));

	report->gets++;
	report->gets_hit_recorded += record->result == TMEM_DONE;
	report->gets_hit +=
		tmem_get(client->client, pool, &record->oid, record->index, page) == TMEM_DONE;
	get_ahead(replay, client, pool, record);
}

/* Whether it was one of pages; @page for a put. */
static uint64_t *replay_page(struct replay *replay, const struct tmem_trace_record *record,
			     const uint8_t *page)
{
	struct tmem_replay_report *report = replay->report;
	struct replay_client *client = &replay->clients[record->client];
	struct replay_pool *pool = find_pool(client, record->pool);

	if (pool == NULL) {
		report->passed_over++;
		return NULL;
	}
	switch (record->op) {
	case TMEM_OP_PUT_PAGE:
		report->puts++;
		report->puts_done_recorded += record->result == TMEM_DONE;
		report->puts_done += tmem_put(client->client, pool->id, &record->oid, record->index,
					      page) == TMEM_DONE;
		return &report->put_ns;
	case TMEM_OP_GET_PAGE:
		get(replay, client, pool->id, record);
		return &report->get_ns;
	case TMEM_OP_FLUSH_PAGE:
		(void)tmem_flush_page(client->client, pool->id, &record->oid, record->index);
		break;
	case TMEM_OP_FLUSH_OBJECT:
		(void)tmem_flush_object(client->client, pool->id, &record->oid);
		break;
	case TMEM_OP_FLUSH_RANGE:
		(void)tmem_flush_range(client->client, pool->id, &record->oid, record->index,
				       (uint64_t)record->count);
		break;
	default:
		(void)tmem_pool_flush(client->client, pool->id);
		break;
	}
	report->flushes++;
	return &report->flush_ns;
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
			code = replay_rest(replay, &replay->clients[record->client], record);
			continue;
		}
		kind = replay_page(replay, record, replay->page_of[i]);
		spent = kind != NULL ? kind : spent;
	}
	if (spent != NULL)
		*spent += now_ns() - since_ns;
	return code;
}

/* ---- the whole -------------------------------------------------------------------------- */

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
		replay->pages = malloc((size_t)BATCH * TMEM_PAGE_BYTES);
	}
	if (replay == NULL || replay->clients == NULL || replay->pages == NULL ||
	    tmem_engine_set_shared_auth_all(engine, 1) != 0)
		code = tmem_fail(error, -ENOMEM, "out of memory");
	for (uint64_t i = 0; i < trace->client_count && code == 0; i++)
		code = make_client(replay, i, error);
	for (uint64_t at = 0; at < trace->operation_count && code == 0; at += BATCH) {
		uint64_t left = trace->operation_count - at;

		code = replay_batch(replay, &trace->operations[at], left < BATCH ? left : BATCH);
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
