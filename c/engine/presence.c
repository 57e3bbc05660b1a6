/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which pages of an object are there (rule T). */
#include "ops.h"

/* Whether the object at @head has more than @pages pages. */
static bool has_more_than(struct tmem_engine *engine, tmem_ref head, uint32_t pages)
{
	for (; head != TMEM_REF_NONE; head = tmem_ref_links(engine, head)->object_next)
		if (pages-- == 0)
			return true;
	return false;
}

static void set_bit(uint64_t *bitmap, uint64_t bit)
{
	bitmap[bit / 64] |= 1ull << bit % 64;
}

static void look_up(struct tmem_engine *engine, struct tmem_handle *handle, uint32_t epoch,
		    uint64_t first, uint32_t count, uint64_t *bitmap)
{
	for (uint32_t i = 0; i < count; i++) {
		handle->index = first + i;
		if (tmem_page_find(engine, handle, epoch) != TMEM_REF_NONE)
			set_bit(bitmap, i);
	}
}

static void walk(struct tmem_engine *engine, tmem_ref ref, uint32_t epoch, uint64_t first,
		 uint32_t count, uint64_t *bitmap)
{
	for (; ref != TMEM_REF_NONE; ref = tmem_ref_links(engine, ref)->object_next) {
		const struct tmem_record *record = tmem_ref_record(engine, ref);

		if (record->index - first < count && record->epoch == (uint16_t)epoch)
			set_bit(bitmap, record->index - first);
	}
}

int tmem_presence(struct tmem_client *client, uint32_t untrusted_pool_id,
		  const struct tmem_oid *oid, uint64_t first, uint32_t count, uint64_t *bitmap)
{
	struct tmem_handle handle;
	struct tmem_call call;
	int code = tmem_call_begin(client, untrusted_pool_id, &call);

	memset(bitmap, 0, TMEM_PRESENCE_WORDS * sizeof(*bitmap));
	if (code != 0)
		return code;
	if (count > TMEM_PRESENCE_PAGES_MAX)
		count = TMEM_PRESENCE_PAGES_MAX;
	if (count > 0 && count - 1 > UINT64_MAX - first)
		count = (uint32_t)(UINT64_MAX - first) + 1;
	tmem_handle_init(call.engine, &handle, call.pool, oid, first);
	tmem_lock(&handle.shard->lock);
	if (tmem_call_valid(&call)) {
		uint32_t epoch = atomic_load(&call.pool->epoch);
		tmem_ref head = tmem_object_find(call.engine, &handle);

		if (has_more_than(call.engine, head, count))
			look_up(call.engine, &handle, epoch, first, count, bitmap);
		else
			walk(call.engine, head, epoch, first, count, bitmap);
		code = TMEM_DONE;
	} else {
		code = TMEM_ENODEV;
	}
	tmem_unlock(&handle.shard->lock);
	return code;
}
