/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sequences of operations on a small arena, compared with a model (guarantees A-G and the page
 * counts), reopened both in order and as a kill leaves it.
 *
 * Each operation is one byte that chooses it and the bytes it needs; whatever is missing is zero.
 *
 * For hours, on one core, keeping what is found between runs:
 *   make -C c VARIANT=fuzz && mkdir -p corpus &&
 *   build/fuzz/fuzz_operations -max_len=2048 -timeout=10 corpus tests/fuzz/corpus/fuzz_operations
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"
#include "engine.h"
#include "page.h"
#include "scratch.h"

enum {
	CLIENTS = 3,
	POOLS = 6,
	UUIDS = 2,
	STORES = POOLS + UUIDS, /* what pages lie in: a private pool, or the pool of a uuid */
	OBJECTS = 3,
	INDEXES = 6,
	ARENA_BYTES = 256 << 10,
	ARENA_FILE_MAX_BYTES = 512 << 10,
	/* With this many, all raw, the arena is full: refusals and evictions are reached. */
	INDEX_STRIDE = 97,
};

struct client {
	struct tmem_client *ref;
	uint32_t auth; /* bit n: uuid n */
	bool frozen;
};

struct pool {
	bool exists;
	int client;
	int store;
	bool persistent;
	bool shared;
	uint32_t id;
};

struct input {
	const uint8_t *data;
	size_t bytes;
};

static struct tmem_engine *engine;
static struct client clients[CLIENTS];
static struct pool pools[POOLS];
static uint32_t values[STORES][OBJECTS][INDEXES]; /* as in page.h; 0: no page */
static uint32_t last_number;
static char path[SCRATCH_PATH_BYTES];
static char copy_path[SCRATCH_PATH_BYTES];

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static uint8_t next(struct input *input)
{
	if (input->bytes == 0)
		return 0;
	input->bytes--;
	return *input->data++;
}

/* ---- the engine, opened and reopened ---------------------------------------------------- */

static void client_name(int client, char *name)
{
	snprintf(name, 32, "client-%d", client);
}

static void uuid_of(int uuid, uint8_t *bytes)
{
	memset(bytes, 1 + uuid, TMEM_UUID_BYTES);
}

static void open_engine(void)
{
	struct tmem_options options = {
		.budget_bytes = ARENA_BYTES,
		.max_bytes = ARENA_BYTES,
		.extent_bytes = 16 << 10,
		.create = 1,
	};
	struct tmem_error error;

	if (tmem_engine_open(path, &options, &engine, &error) != 0)
		check_failed(__FILE__, __LINE__, "%s", error.message);
}

static void new_client(int client)
{
	char name[32];

	client_name(client, name);
	clients[client] = (struct client){0};
	/* A full arena has no room for its row; then there is no such client. */
	int result = tmem_client_create(engine, name, &clients[client].ref);

	CHECK(result == 0 || result == TMEM_ENOMEM);
	if (result != 0)
		clients[client].ref = NULL;
}

static void close_engine(void)
{
	for (int i = 0; i < CLIENTS; i++)
		tmem_client_release(clients[i].ref);
	tmem_engine_close(engine);
}

static void find_clients(void)
{
	struct tmem_recovery recovery;
	char name[32];

	tmem_engine_recovery(engine, &recovery);
	CHECK_EQ(recovery.damaged_records + recovery.damaged_rows + recovery.damaged_extents, 0);
	for (int i = 0; i < CLIENTS; i++) {
		bool expected = clients[i].ref != NULL;

		client_name(i, name);
		clients[i].ref = NULL;
		CHECK_EQ(tmem_client_find(engine, name, &clients[i].ref),
			 expected ? 0 : TMEM_ENOENT);
		if (expected)
			CHECK_EQ(tmem_client_resume(clients[i].ref), 0);
	}
}

static void reopen(void)
{
	close_engine();
	open_engine();
	find_clients();
}

/* As a kill between two operations leaves it. */
static void crash(void)
{
	static unsigned char contents[ARENA_FILE_MAX_BYTES];
	int from = open(path, O_RDONLY | O_CLOEXEC);
	int to = open(copy_path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	ssize_t bytes = read(from, contents, sizeof(contents));

	CHECK(bytes > 0 && bytes < (ssize_t)sizeof(contents));
	CHECK_EQ(write(to, contents, (size_t)bytes), bytes);
	close(from);
	close(to);
	close_engine();
	CHECK_EQ(rename(copy_path, path), 0);
	open_engine();
	find_clients();
}

/* ---- pages ------------------------------------------------------------------------------ */

static struct tmem_oid oid_of(int object)
{
	return (struct tmem_oid){.words = {(uint64_t)object, 0, (uint64_t)object << 32}};
}

static bool refusal(int result)
{
	return result == TMEM_ENOMEM || result == TMEM_EDQUOT || result == TMEM_EFROZEN ||
	       result == TMEM_ENOSPC;
}

static void put(const struct pool *pool, int object, int index, enum page_fill fill)
{
	uint32_t *value = &values[pool->store][object][index];
	/* Now and then contents that are there already, for dedup. */
	uint32_t number = object == 1 ? 1 : ++last_number;
	unsigned char contents[TMEM_PAGE_BYTES];
	struct tmem_oid oid = oid_of(object);
	int result;

	page_make(contents, page_value(fill, number));
	result = tmem_put(clients[pool->client].ref, pool->id, &oid, (uint64_t)index * INDEX_STRIDE,
			  contents);
	CHECK(result == TMEM_DONE || refusal(result));
	if (*value == 0 && clients[pool->client].frozen)
		CHECK_EQ(result, TMEM_EFROZEN);
	if (pool->persistent && *value != 0 && result != TMEM_DONE)
		CHECK_EQ(result, TMEM_ENOSPC);
	if (*value == 0)
		CHECK(result != TMEM_ENOSPC);
	*value = result == TMEM_DONE ? page_value(fill, number) : 0;
}

static void get(const struct pool *pool, int object, int index)
{
	uint32_t *value = &values[pool->store][object][index];
	unsigned char contents[TMEM_PAGE_BYTES];
	struct tmem_oid oid = oid_of(object);
	int result = tmem_get(clients[pool->client].ref, pool->id, &oid,
			      (uint64_t)index * INDEX_STRIDE, contents);

	if (result == TMEM_DONE) {
		CHECK(*value != 0 && page_equals(contents, *value));
		if (!pool->persistent && !pool->shared)
			*value = 0;
		return;
	}
	CHECK(result == TMEM_MISS || result == TMEM_EEMPTY);
	CHECK(*value == 0 || !pool->persistent);
	*value = 0;
}

static void flush_page(const struct pool *pool, int object, int index)
{
	struct tmem_oid oid = oid_of(object);

	CHECK_EQ(tmem_flush_page(clients[pool->client].ref, pool->id, &oid,
				 (uint64_t)index * INDEX_STRIDE),
		 TMEM_DONE);
	values[pool->store][object][index] = 0;
}

static void flush_range(const struct pool *pool, int object, int first, int count)
{
	struct tmem_oid oid = oid_of(object);

	CHECK_EQ(tmem_flush_range(clients[pool->client].ref, pool->id, &oid,
				  (uint64_t)first * INDEX_STRIDE, (uint64_t)count * INDEX_STRIDE),
		 TMEM_DONE);
	for (int i = first; i < first + count && i < INDEXES; i++)
		values[pool->store][object][i] = 0;
}

static void flush_object(const struct pool *pool, int object)
{
	struct tmem_oid oid = oid_of(object);

	CHECK_EQ(tmem_flush_object(clients[pool->client].ref, pool->id, &oid), TMEM_DONE);
	memset(values[pool->store][object], 0, sizeof(values[pool->store][object]));
}

static void empty_store(int store)
{
	memset(values[store], 0, sizeof(values[store]));
}

/* ---- pools and clients ------------------------------------------------------------------ */

static void new_pool(int slot, uint8_t choice)
{
	int client = choice % CLIENTS;
	int uuid = choice / CLIENTS % UUIDS;
	bool persistent = (choice & 0x40) != 0;
	bool shared = !persistent && (choice & 0x80) != 0;
	uint8_t bytes[TMEM_UUID_BYTES];
	struct pool *pool = &pools[slot];
	uint32_t granted;
	uint32_t id;
	int result;

	if (pool->exists || clients[client].ref == NULL)
		return;
	uuid_of(uuid, bytes);
	result = tmem_pool_new(clients[client].ref, bytes,
			       (persistent ? TMEM_POOL_PERSISTENT : 0) |
				       (shared ? TMEM_POOL_SHARED : 0) |
				       TMEM_ABI_VERSION << TMEM_POOL_VERSION_SHIFT,
			       &id, &granted);
	if (clients[client].frozen) {
		CHECK_EQ(result, TMEM_EFROZEN);
		return;
	}
	CHECK(result == 0 || result == TMEM_ENOMEM);
	if (result != 0)
		return;
	shared = shared && (clients[client].auth >> uuid & 1) != 0;
	CHECK_EQ(granted,
		 (persistent ? TMEM_POOL_PERSISTENT : 0) | (shared ? TMEM_POOL_SHARED : 0));
	*pool = (struct pool){
		.exists = true,
		.client = client,
		.store = shared ? POOLS + uuid : slot,
		.persistent = persistent,
		.shared = shared,
		.id = id,
	};
}

static void destroy_pool(struct pool *pool)
{
	CHECK_EQ(tmem_pool_destroy(clients[pool->client].ref, pool->id), TMEM_DONE);
	empty_store(pool->store);
	pool->exists = false;
}

static void destroy_client(int client)
{
	if (clients[client].ref == NULL) {
		new_client(client);
		return;
	}
	CHECK_EQ(tmem_client_destroy(clients[client].ref), 0);
	tmem_client_release(clients[client].ref);
	clients[client].ref = NULL;
	for (int i = 0; i < POOLS; i++) {
		if (!pools[i].exists || pools[i].client != client)
			continue;
		empty_store(pools[i].store);
		pools[i].exists = false;
	}
}

static void set_client(int client, uint8_t choice, uint8_t limits)
{
	static const uint32_t encodings[] = {TMEM_ENCODING_LZ4, TMEM_ENCODING_RAW,
					     TMEM_ENCODING_ZSTD, TMEM_ENCODING_LZ4};
	struct tmem_client_info info;

	if (clients[client].ref == NULL)
		return;
	tmem_client_info(clients[client].ref, &info);
	info.settings.encoding = encodings[choice & 3];
	info.settings.zstd_level = 1;
	info.settings.dedup = choice >> 2 & 1;
	info.settings.frozen = choice >> 3 & 1;
	info.settings.weight = choice >> 4;
	info.settings.cap_bytes = (limits & 15) * 8192ull;
	info.settings.persistent_quota_bytes = (limits >> 4) * 4096ull;
	CHECK_EQ(tmem_client_set(clients[client].ref, &info.settings), 0);
	clients[client].frozen = info.settings.frozen != 0;
}

static void authorise(int client, int uuid)
{
	uint8_t bytes[TMEM_UUID_BYTES];
	int result;

	if (clients[client].ref == NULL)
		return;
	uuid_of(uuid, bytes);
	if ((clients[client].auth >> uuid & 1) != 0) {
		CHECK_EQ(tmem_client_auth_remove(clients[client].ref, bytes), 0);
		clients[client].auth &= ~(1U << uuid);
		return;
	}
	result = tmem_client_auth_add(clients[client].ref, bytes);
	CHECK(result == 0 || result == TMEM_ENOMEM);
	if (result == 0)
		clients[client].auth |= 1U << uuid;
}

/* ---- what must always be so ------------------------------------------------------------- */

static uint64_t count_pages(int store)
{
	uint64_t count = 0;

	for (int object = 0; object < OBJECTS; object++)
		for (int index = 0; index < INDEXES; index++)
			count += values[store][object][index] != 0;
	return count;
}

static void check_counts(void)
{
	uint64_t persistent_pages = 0;
	struct tmem_pool_info info;
	struct tmem_usage usage;

	for (int i = 0; i < POOLS; i++) {
		if (!pools[i].exists)
			continue;
		CHECK_EQ(tmem_pool_info(clients[pools[i].client].ref, pools[i].id, &info), 0);
		CHECK(info.pages <= count_pages(pools[i].store));
		if (!pools[i].persistent)
			continue;
		CHECK_EQ(info.pages, count_pages(pools[i].store));
		persistent_pages += info.pages;
	}
	tmem_engine_usage(engine, &usage);
	CHECK_EQ(usage.persistent_pages, persistent_pages);
	CHECK(usage.idle_bytes <= usage.resident_bytes);
	CHECK(usage.payload_bytes <= usage.slot_bytes);
}

static void check_pages(void)
{
	for (int i = 0; i < POOLS; i++)
		for (int page = 0; pools[i].exists && page < OBJECTS * INDEXES; page++)
			get(&pools[i], page / INDEXES, page % INDEXES);
}

/* ---- the driver ------------------------------------------------------------------------- */

static void operate_on_page(struct input *input, uint8_t operation)
{
	const struct pool *pool = &pools[operation / 8 % POOLS];
	uint8_t where = next(input);
	int object = where % OBJECTS;
	int index = where / OBJECTS % INDEXES;

	if (!pool->exists)
		return;
	switch (operation % 8) {
	case 4:
		get(pool, object, index);
		break;
	case 5:
		flush_page(pool, object, index);
		break;
	case 6:
		flush_range(pool, object, index, where / (OBJECTS * INDEXES));
		break;
	case 7:
		flush_object(pool, object);
		break;
	default:
		put(pool, object, index, operation % 8);
	}
}

static void operate_on_rest(struct input *input, uint8_t operation)
{
	uint8_t choice = next(input);
	struct pool *pool = &pools[choice % POOLS];
	struct tmem_shrink_report report;

	switch (operation % 16) {
	case 0:
	case 1:
	case 2:
	case 3:
		new_pool(choice % POOLS, next(input));
		break;
	case 4:
		if (pool->exists)
			destroy_pool(pool);
		break;
	case 5:
		if (!pool->exists)
			break;
		CHECK_EQ(tmem_pool_flush(clients[pool->client].ref, pool->id), TMEM_DONE);
		empty_store(pool->store);
		break;
	case 6:
		set_client(choice % CLIENTS, choice, next(input));
		break;
	case 7:
		authorise(choice % CLIENTS, choice / CLIENTS % UUIDS);
		break;
	case 8:
		destroy_client(choice % CLIENTS);
		break;
	case 9:
		tmem_engine_shrink(engine, choice * 4096ull, &report);
		break;
	case 10:
		CHECK_EQ(tmem_engine_set_budget(engine, choice * 1024ull, NULL), 0);
		break;
	case 11:
		if (clients[choice % CLIENTS].ref != NULL)
			tmem_client_reclaim(clients[choice % CLIENTS].ref, choice * 256ull);
		break;
	case 12:
		tmem_engine_scrub(engine, choice);
		break;
	case 13:
		CHECK_EQ(tmem_engine_set_policy(engine, NULL,
						choice % 2 != 0 ? "second-chance" : "always"),
			 0);
		break;
	case 14:
		reopen();
		break;
	default:
		crash();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct input input = {.data = data, .bytes = bytes};

	scratch_path(path, "arena");
	scratch_path(copy_path, "copy");
	unlink(path);
	memset(pools, 0, sizeof(pools));
	memset(values, 0, sizeof(values));
	last_number = 1;
	open_engine();
	for (int i = 0; i < CLIENTS; i++)
		new_client(i);
	while (input.bytes > 0) {
		uint8_t operation = next(&input);

		if (operation < 192)
			operate_on_page(&input, operation);
		else
			operate_on_rest(&input, operation);
		check_counts();
	}
	check_pages();
	crash();
	check_counts();
	check_pages();
	close_engine();
	return 0;
}
