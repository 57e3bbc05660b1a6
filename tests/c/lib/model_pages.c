/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The pages of the model, and what must always be so. */
#include <string.h>

#include "check.h"
#include "model.h"

/* With this many apart, flushes of a range take both the walking and the probing way. */
enum { INDEX_STRIDE = 17 };

static struct tmem_oid oid_of(int object)
{
	return (struct tmem_oid){.words = {(uint64_t)object, 0, (uint64_t)object << 32}};
}

static bool refusal(int result)
{
	return result == TMEM_ENOMEM || result == TMEM_EDQUOT || result == TMEM_EFROZEN ||
	       result == TMEM_ENOSPC;
}

void model_put(const struct model_pool *pool, int object, int index, enum page_fill fill)
{
	uint32_t *value = &model.values[pool->store][object][index];
	/* Now and then contents that are there already, for dedup. */
	uint32_t number = object == 1 ? 1 : ++model.last_number;
	unsigned char contents[TMEM_PAGE_BYTES];
	struct tmem_oid oid = oid_of(object);
	int result;

	page_make(contents, page_value(fill, number));
	result = tmem_put(model.clients[pool->client].ref, pool->id, &oid,
			  (uint64_t)index * INDEX_STRIDE, contents);
	CHECK(result == TMEM_DONE || refusal(result));
	if (*value == 0 && model.clients[pool->client].frozen)
		CHECK_EQ(result, TMEM_EFROZEN);
	if (pool->persistent && *value != 0 && result != TMEM_DONE)
		CHECK_EQ(result, TMEM_ENOSPC);
	if (*value == 0)
		CHECK(result != TMEM_ENOSPC);
	*value = result == TMEM_DONE ? page_value(fill, number) : 0;
}

void model_get(const struct model_pool *pool, int object, int index)
{
	uint32_t *value = &model.values[pool->store][object][index];
	unsigned char contents[TMEM_PAGE_BYTES];
	struct tmem_oid oid = oid_of(object);
	int result = tmem_get(model.clients[pool->client].ref, pool->id, &oid,
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

void model_flush_page(const struct model_pool *pool, int object, int index)
{
	struct tmem_oid oid = oid_of(object);

	CHECK_EQ(tmem_flush_page(model.clients[pool->client].ref, pool->id, &oid,
				 (uint64_t)index * INDEX_STRIDE),
		 TMEM_DONE);
	model.values[pool->store][object][index] = 0;
}

void model_flush_range(const struct model_pool *pool, int object, int first, int count)
{
	struct tmem_oid oid = oid_of(object);

	CHECK_EQ(tmem_flush_range(model.clients[pool->client].ref, pool->id, &oid,
				  (uint64_t)first * INDEX_STRIDE, (uint64_t)count * INDEX_STRIDE),
		 TMEM_DONE);
	for (int i = first; i < first + count && i < MODEL_INDEXES; i++)
		model.values[pool->store][object][i] = 0;
}

void model_flush_object(const struct model_pool *pool, int object)
{
	struct tmem_oid oid = oid_of(object);

	CHECK_EQ(tmem_flush_object(model.clients[pool->client].ref, pool->id, &oid), TMEM_DONE);
	memset(model.values[pool->store][object], 0, sizeof(model.values[pool->store][object]));
}

void model_empty_store(int store)
{
	memset(model.values[store], 0, sizeof(model.values[store]));
}

static uint64_t count_pages(int store)
{
	uint64_t count = 0;

	for (int object = 0; object < MODEL_OBJECTS; object++)
		for (int index = 0; index < MODEL_INDEXES; index++)
			count += model.values[store][object][index] != 0;
	return count;
}

void model_check_counts(void)
{
	uint64_t persistent_pages = 0;
	struct tmem_pool_info info;
	struct tmem_usage usage;

	for (int i = 0; i < MODEL_POOLS; i++) {
		if (!model.pools[i].exists)
			continue;
		CHECK_EQ(tmem_pool_info(model.clients[model.pools[i].client].ref, model.pools[i].id,
					&info),
			 0);
		CHECK(info.pages <= count_pages(model.pools[i].store));
		if (!model.pools[i].persistent)
			continue;
		CHECK_EQ(info.pages, count_pages(model.pools[i].store));
		persistent_pages += info.pages;
	}
	tmem_engine_usage(model.engine, &usage);
	CHECK_EQ(usage.persistent_pages, persistent_pages);
	CHECK(usage.idle_bytes <= usage.resident_bytes);
	CHECK(usage.payload_bytes <= usage.slot_bytes);
}

void model_check_pages(void)
{
	for (int i = 0; i < MODEL_POOLS; i++)
		for (int page = 0; model.pools[i].exists && page < MODEL_OBJECTS * MODEL_INDEXES;
		     page++)
			model_get(&model.pools[i], page / MODEL_INDEXES, page % MODEL_INDEXES);
}
