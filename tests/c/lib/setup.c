/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "setup.h"

#include "check.h"
#include "page.h"
#include "scratch.h"

const struct tmem_oid setup_oid = {.words = {1, 0, 0}};

struct tmem_engine *setup_open(const char *path, uint64_t budget_bytes, uint64_t max_bytes)
{
	struct tmem_options options = {
		.budget_bytes = budget_bytes,
		.max_bytes = max_bytes,
		.extent_bytes = SETUP_EXTENT_BYTES,
		.create = 1,
	};
	struct tmem_engine *engine;
	struct tmem_error error;

	if (tmem_engine_open(path, &options, &engine, &error) != 0)
		check_failed(__FILE__, __LINE__, "%s", error.message);
	return engine;
}

struct tmem_engine *setup_engine(const char *name, uint64_t max_bytes)
{
	char path[SCRATCH_PATH_BYTES];

	scratch_path(path, name);
	return setup_open(path, max_bytes, max_bytes);
}

struct tmem_client *setup_client(struct tmem_engine *engine, const char *name,
				 enum tmem_encoding encoding)
{
	struct tmem_client_info info;
	struct tmem_client *client;

	CHECK_EQ(tmem_client_create(engine, name, &client), 0);
	tmem_client_info(client, &info);
	info.settings.encoding = encoding;
	CHECK_EQ(tmem_client_set(client, &info.settings), 0);
	return client;
}

uint32_t setup_pool_of(struct tmem_client *client, uint32_t kind, const uint8_t *uuid)
{
	uint32_t granted;
	uint32_t id;

	CHECK_EQ(tmem_pool_new(client, uuid, kind | TMEM_ABI_VERSION << TMEM_POOL_VERSION_SHIFT,
			       &id, &granted),
		 0);
	CHECK_EQ(granted, kind);
	return id;
}

uint32_t setup_pool(struct tmem_client *client, uint32_t kind)
{
	const uint8_t uuid[TMEM_UUID_BYTES] = {1, 1, 1, 1};

	return setup_pool_of(client, kind, uuid);
}

int setup_put(struct tmem_client *client, uint32_t pool, uint64_t index, uint32_t value)
{
	unsigned char contents[TMEM_PAGE_BYTES];

	page_make(contents, value);
	return tmem_put(client, pool, &setup_oid, index, contents);
}

uint32_t setup_get(struct tmem_client *client, uint32_t pool, uint64_t index)
{
	unsigned char contents[TMEM_PAGE_BYTES];
	int result = tmem_get(client, pool, &setup_oid, index, contents);
	uint32_t value;

	if (result == TMEM_MISS || result == TMEM_EEMPTY)
		return 0;
	CHECK_EQ(result, TMEM_DONE);
	value = page_read(contents);
	CHECK(value != 0);
	return value;
}
