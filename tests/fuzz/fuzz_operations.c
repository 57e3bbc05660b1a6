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
#include "check.h"
#include "model.h"

struct input {
	const uint8_t *data;
	size_t bytes;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static uint8_t next(struct input *input)
{
	if (input->bytes == 0)
		return 0;
	input->bytes--;
	return *input->data++;
}

static void operate_on_page(struct input *input, uint8_t operation)
{
	const struct model_pool *pool = &model.pools[operation / 8 % MODEL_POOLS];
	uint8_t where = next(input);
	int object = where % MODEL_OBJECTS;
	int index = where / MODEL_OBJECTS % MODEL_INDEXES;

	if (!pool->exists)
		return;
	switch (operation % 8) {
	case 4:
		model_get(pool, object, index);
		break;
	case 5:
		model_flush_page(pool, object, index);
		break;
	case 6:
		model_flush_range(pool, object, index, where / (MODEL_OBJECTS * MODEL_INDEXES));
		break;
	case 7:
		model_flush_object(pool, object);
		break;
	default:
		model_put(pool, object, index, operation % 8);
	}
}

static void operate_on_rest(struct input *input, uint8_t operation)
{
	uint8_t choice = next(input);
	struct model_pool *pool = &model.pools[choice % MODEL_POOLS];
	struct tmem_shrink_report report;

	switch (operation % 16) {
	case 0:
	case 1:
	case 2:
	case 3:
		model_new_pool(choice % MODEL_POOLS, next(input));
		break;
	case 4:
		if (pool->exists)
			model_destroy_pool(pool);
		break;
	case 5:
		if (pool->exists)
			model_flush_pool(pool);
		break;
	case 6:
		model_set_client(choice % MODEL_CLIENTS, choice, next(input));
		break;
	case 7:
		model_authorise(choice % MODEL_CLIENTS, choice / MODEL_CLIENTS % MODEL_UUIDS);
		break;
	case 8:
		model_destroy_client(choice % MODEL_CLIENTS);
		break;
	case 9:
		tmem_engine_shrink(model.engine, choice * 4096ull, &report);
		break;
	case 10:
		CHECK_EQ(tmem_engine_set_budget(model.engine, choice * 1024ull, NULL), 0);
		break;
	case 11:
		if (model.clients[choice % MODEL_CLIENTS].ref != NULL)
			tmem_client_reclaim(model.clients[choice % MODEL_CLIENTS].ref,
					    choice * 256ull);
		break;
	case 12:
		tmem_engine_scrub(model.engine, choice);
		break;
	case 13:
		CHECK_EQ(tmem_engine_set_policy(model.engine, NULL,
						choice % 2 != 0 ? "second-chance" : "always"),
			 0);
		break;
	case 14:
		model_reopen();
		break;
	default:
		model_crash();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct input input = {.data = data, .bytes = bytes};

	model_start();
	while (input.bytes > 0) {
		uint8_t operation = next(&input);

		if (operation < 192)
			operate_on_page(&input, operation);
		else
			operate_on_rest(&input, operation);
		model_check_counts();
	}
	model_check_pages();
	model_crash();
	model_check_counts();
	model_check_pages();
	model_close();
	return 0;
}
