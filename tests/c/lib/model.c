/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The engine under the model, its clients and pools. */
#include "model.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "scratch.h"

enum { ARENA_BYTES = 256 << 10, ARENA_FILE_MAX_BYTES = 512 << 10 };

struct model model;

static void client_name(int client, char *name)
{
	snprintf(name, 32, "client-%d", client);
}

static void uuid_of(int uuid, uint8_t *bytes)
{
	memset(bytes, 1 + uuid, TMEM_UUID_BYTES);
}

static void open_arena(void)
{
	struct tmem_options options = {
		.budget_bytes = ARENA_BYTES,
		.max_bytes = ARENA_BYTES,
		.extent_bytes = 16 << 10,
		.create = 1,
	};
	struct tmem_error error;

	if (tmem_engine_open(model.path, &options, &model.engine, &error) != 0)
		check_failed(__FILE__, __LINE__, "%s", error.message);
}

static void new_client(int client)
{
	char name[32];

	client_name(client, name);
	model.clients[client] = (struct model_client){0};
	/* A full arena has no room for its row; then there is no such client. */
	int result = tmem_client_create(model.engine, name, &model.clients[client].ref);

	CHECK(result == 0 || result == TMEM_ENOMEM);
	if (result != 0)
		model.clients[client].ref = NULL;
}

void model_close(void)
{
	for (int i = 0; i < MODEL_CLIENTS; i++)
		tmem_client_release(model.clients[i].ref);
	tmem_engine_close(model.engine);
}

static void find_clients(void)
{
	struct tmem_recovery recovery;
	char name[32];

	tmem_engine_recovery(model.engine, &recovery);
	CHECK_EQ(recovery.damaged_records + recovery.damaged_rows + recovery.damaged_extents, 0);
	for (int i = 0; i < MODEL_CLIENTS; i++) {
		bool expected = model.clients[i].ref != NULL;

		client_name(i, name);
		model.clients[i].ref = NULL;
		CHECK_EQ(tmem_client_find(model.engine, name, &model.clients[i].ref),
			 expected ? 0 : TMEM_ENOENT);
		if (expected)
			CHECK_EQ(tmem_client_resume(model.clients[i].ref), 0);
	}
}

void model_reopen(void)
{
	model_close();
	open_arena();
	find_clients();
}

static void copy_file(const char *from_path, const char *to_path)
{
	static unsigned char contents[ARENA_FILE_MAX_BYTES];
	int from = open(from_path, O_RDONLY | O_CLOEXEC);
	int to = open(to_path, O_RDWR | O_TRUNC | O_CLOEXEC);
	ssize_t bytes = read(from, contents, sizeof(contents));

	CHECK(bytes > 0 && bytes < (ssize_t)sizeof(contents));
	CHECK_EQ(write(to, contents, (size_t)bytes), bytes);
	close(from);
	close(to);
}

void model_crash(void)
{
	char path[SCRATCH_PATH_BYTES];

	copy_file(model.path, model.copy_path);
	model_close();
	memcpy(path, model.path, sizeof(path));
	memcpy(model.path, model.copy_path, sizeof(path));
	memcpy(model.copy_path, path, sizeof(path));
	open_arena();
	find_clients();
}

void model_start(void)
{
	char path[SCRATCH_PATH_BYTES];
	char copy_path[SCRATCH_PATH_BYTES];

	memcpy(path, model.path, sizeof(path));
	memcpy(copy_path, model.copy_path, sizeof(copy_path));
	memset(&model, 0, sizeof(model));
	if (path[0] == '\0') {
		scratch_memory(path);
		scratch_memory(copy_path);
	}
	memcpy(model.path, path, sizeof(path));
	memcpy(model.copy_path, copy_path, sizeof(copy_path));
	CHECK_EQ(truncate(model.path, 0), 0);
	model.last_number = 1;
	open_arena();
	for (int i = 0; i < MODEL_CLIENTS; i++)
		new_client(i);
}

/* ---- pools and clients ------------------------------------------------------------------ */

void model_new_pool(int slot, uint8_t choice)
{
	int client = choice % MODEL_CLIENTS;
	int uuid = choice / MODEL_CLIENTS % MODEL_UUIDS;
	bool persistent = (choice & 0x40) != 0;
	bool shared = !persistent && (choice & 0x80) != 0;
	uint8_t bytes[TMEM_UUID_BYTES];
	struct model_pool *pool = &model.pools[slot];
	uint32_t granted;
	uint32_t id;
	int result;

	if (pool->exists || model.clients[client].ref == NULL)
		return;
	uuid_of(uuid, bytes);
	result = tmem_pool_new(model.clients[client].ref, bytes,
			       (persistent ? TMEM_POOL_PERSISTENT : 0) |
				       (shared ? TMEM_POOL_SHARED : 0) |
				       TMEM_ABI_VERSION << TMEM_POOL_VERSION_SHIFT,
			       &id, &granted);
	if (model.clients[client].frozen) {
		CHECK_EQ(result, TMEM_EFROZEN);
		return;
	}
	CHECK(result == 0 || result == TMEM_ENOMEM);
	if (result != 0)
		return;
	shared = shared && (model.clients[client].auth >> uuid & 1) != 0;
	CHECK_EQ(granted,
		 (persistent ? TMEM_POOL_PERSISTENT : 0) | (shared ? TMEM_POOL_SHARED : 0));
	*pool = (struct model_pool){
		.exists = true,
		.client = client,
		.store = shared ? MODEL_POOLS + uuid : slot,
		.persistent = persistent,
		.shared = shared,
		.id = id,
	};
}

void model_destroy_pool(struct model_pool *pool)
{
	CHECK_EQ(tmem_pool_destroy(model.clients[pool->client].ref, pool->id), TMEM_DONE);
	model_empty_store(pool->store);
	pool->exists = false;
}

void model_flush_pool(struct model_pool *pool)
{
	CHECK_EQ(tmem_pool_flush(model.clients[pool->client].ref, pool->id), TMEM_DONE);
	model_empty_store(pool->store);
}

void model_destroy_client(int client)
{
	if (model.clients[client].ref == NULL) {
		new_client(client);
		return;
	}
	CHECK_EQ(tmem_client_destroy(model.clients[client].ref), 0);
	tmem_client_release(model.clients[client].ref);
	model.clients[client].ref = NULL;
	for (int i = 0; i < MODEL_POOLS; i++) {
		if (!model.pools[i].exists || model.pools[i].client != client)
			continue;
		model_empty_store(model.pools[i].store);
		model.pools[i].exists = false;
	}
}

void model_set_client(int client, uint8_t choice, uint8_t limits)
{
	static const uint32_t encodings[] = {TMEM_ENCODING_LZ4, TMEM_ENCODING_RAW,
					     TMEM_ENCODING_ZSTD, TMEM_ENCODING_LZ4};
	struct tmem_client_info info;

	if (model.clients[client].ref == NULL)
		return;
	tmem_client_info(model.clients[client].ref, &info);
	info.settings.encoding = encodings[choice & 3];
	info.settings.zstd_level = 1;
	info.settings.dedup = choice >> 2 & 1;
	info.settings.frozen = choice >> 3 & 1;
	info.settings.weight = choice >> 4;
	info.settings.cap_bytes = (limits & 15) * 8192ull;
	info.settings.persistent_quota_bytes = (limits >> 4) * 4096ull;
	CHECK_EQ(tmem_client_set(model.clients[client].ref, &info.settings), 0);
	model.clients[client].frozen = info.settings.frozen != 0;
}

void model_authorise(int client, int uuid)
{
	uint8_t bytes[TMEM_UUID_BYTES];
	int result;

	if (model.clients[client].ref == NULL)
		return;
	uuid_of(uuid, bytes);
	if ((model.clients[client].auth >> uuid & 1) != 0) {
		CHECK_EQ(tmem_client_auth_remove(model.clients[client].ref, bytes), 0);
		model.clients[client].auth &= ~(1U << uuid);
		return;
	}
	result = tmem_client_auth_add(model.clients[client].ref, bytes);
	CHECK(result == 0 || result == TMEM_ENOMEM);
	if (result == 0)
		model.clients[client].auth |= 1U << uuid;
}
