/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "store.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "record.h"

uint64_t bench_room_bytes(uint64_t pages)
{
	/* as if raw, and an extent for each size class and a table of rows beside that */
	return pages * (TMEM_PAGE_BYTES + TMEM_RECORD_BYTES) * 65 / 64 + (64u << 20);
}

const char *bench_path(const struct bench_data *data, const char *name)
{
	static char path[4096];

	if ((size_t)snprintf(path, sizeof(path), "%s/%s", data->folder, name) >= sizeof(path))
		bench_fail("%s: the path is too long", data->folder);
	return path;
}

void bench_client_new(struct tmem_engine *engine, const char *name, enum tmem_encoding encoding,
		      struct tmem_client **client, uint32_t *pool)
{
	struct tmem_client_info info;
	uint32_t granted;
	int code = tmem_client_create(engine, name, client);

	if (code != 0)
		bench_fail("cannot create a client: %s", strerror(-code));
	tmem_client_info(*client, &info);
	info.settings.encoding = encoding;
	code = tmem_client_set(*client, &info.settings);
	if (code == 0)
		code = tmem_pool_new(*client, NULL, TMEM_ABI_VERSION << TMEM_POOL_VERSION_SHIFT,
				     pool, &granted);
	if (code != 0)
		bench_fail("cannot set up a client: %s", strerror(-code));
}

void bench_store_create(struct bench_store *store, const struct bench_data *data, const char *name,
			uint64_t budget_bytes, enum tmem_encoding encoding, const uint32_t *order)
{
	struct tmem_options options = {.budget_bytes = budget_bytes, .create = 1};
	const char *path = bench_path(data, name);
	struct tmem_error error;

	memset(store, 0, sizeof(*store));
	store->data = data;
	store->order = order;
	if (tmem_engine_open(path, &options, &store->engine, &error) != 0)
		bench_fail("%s", error.message);
	bench_client_new(store->engine, "bench", encoding, &store->client, &store->pool);
}

void bench_store_open(struct bench_store *store, const struct bench_data *data,
		      uint64_t budget_bytes, enum tmem_encoding encoding, const uint32_t *order)
{
	bench_store_create(store, data, "arena", budget_bytes, encoding, order);
	unlink(bench_path(data, "arena"));
}

void bench_store_close(struct bench_store *store)
{
	tmem_client_release(store->client);
	tmem_engine_close(store->engine);
}

static struct tmem_oid oid_of(const struct bench_store *store, uint32_t page)
{
	struct tmem_oid oid = {{store->data->handles[page].object, store->generation, 0}};

	return oid;
}

int bench_store_put(const struct bench_store *store, uint32_t as, uint32_t page)
{
	struct tmem_oid oid = oid_of(store, as);

	return tmem_put(store->client, store->pool, &oid, store->data->handles[as].index,
			bench_page(store->data, page));
}

int bench_store_get(const struct bench_store *store, uint32_t page, void *to)
{
	struct tmem_oid oid = oid_of(store, page);

	return tmem_get(store->client, store->pool, &oid, store->data->handles[page].index, to);
}

void bench_store_put_slice(void *context, uint32_t first, uint32_t end)
{
	const struct bench_store *store = context;

	/* Whether they were accepted is asked of the counters, when no clock runs. */
	for (uint32_t i = first; i < end; i++)
		(void)bench_store_put(store, store->order[i], store->order[i]);
}

void bench_store_get_slice(void *context, uint32_t first, uint32_t end)
{
	const struct bench_store *store = context;
	char page[TMEM_PAGE_BYTES] __attribute__((aligned(64)));

	for (uint32_t i = first; i < end; i++) {
		if (bench_store_get(store, store->order[i], page) != TMEM_DONE)
			bench_fail("a page that was put is not there");
		bench_used(page);
	}
}

void bench_store_fill(struct bench_store *store, uint32_t count)
{
	bench_store_put_slice(store, 0, count);
	bench_store_expect(store, count);
}

void bench_store_empty(struct bench_store *store)
{
	if (tmem_pool_flush(store->client, store->pool) != TMEM_DONE)
		bench_fail("cannot empty the pool");
	bench_store_expect(store, 0);
}

#define ADD_OUTCOME(name, meaning) +counters->name
uint64_t bench_puts(const struct tmem_counters *counters)
{
	return 0 TMEM_PUT_OUTCOMES(ADD_OUTCOME);
}

void bench_store_expect(const struct bench_store *store, uint64_t pages)
{
	struct tmem_counters counters;
	struct tmem_usage usage;

	tmem_engine_counters(store->engine, &counters);
	tmem_engine_usage(store->engine, &usage);
	if (bench_puts(&counters) != counters.puts_stored)
		bench_fail("%llu of %llu puts were not stored as new pages",
			   (unsigned long long)(bench_puts(&counters) - counters.puts_stored),
			   (unsigned long long)bench_puts(&counters));
	if (usage.ephemeral_pages != pages)
		bench_fail("%llu pages are stored instead of %llu",
			   (unsigned long long)usage.ephemeral_pages, (unsigned long long)pages);
}
