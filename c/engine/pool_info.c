/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Pools: what is said of them. */
#include <stdlib.h>

#include "ops.h"
#include "registry.h"

int tmem_pool_info(struct tmem_client *client, uint32_t untrusted_pool_id,
		   struct tmem_pool_info *ret)
{
	struct tmem_engine *engine = client->engine;
	struct tmem_member *member;

	tmem_lock(&engine->control);
	member = tmem_member_find(client, untrusted_pool_id);
	if (member != NULL) {
		struct tmem_pool *pool = atomic_load(&member->pool);

		memset(ret, 0, sizeof(*ret));
		ret->id = untrusted_pool_id;
		ret->flags = atomic_load(&pool->flags);
		memcpy(ret->uuid, pool->uuid, TMEM_UUID_BYTES);
		ret->members = pool->member_count;
		ret->served = atomic_load(&pool->served);
		ret->pages = atomic_load(&pool->pages);
		ret->objects = atomic_load(&pool->objects);
		tmem_lock(&pool->list_lock);
		ret->owner = pool->owner->uid;
		ret->bytes = pool->bytes;
		tmem_unlock(&pool->list_lock);
	}
	tmem_unlock(&engine->control);
	return member != NULL ? 0 : TMEM_ENODEV;
}

struct id_list {
	uint32_t *ids;
	uint32_t count;
};

static void add_id(struct tmem_member *member, void *context)
{
	struct id_list *list = context;

	list->ids[list->count++] = (uint32_t)atomic_load(&member->id);
}

static int compare_ids(const void *a, const void *b)
{
	uint32_t first = *(const uint32_t *)a;
	uint32_t second = *(const uint32_t *)b;

	return first < second ? -1 : first > second;
}

uint32_t tmem_pool_list(struct tmem_client *client, int64_t after, uint32_t *ret, uint32_t max)
{
	struct id_list list = {.count = 0};
	uint32_t first = 0;
	uint32_t count;

	tmem_lock(&client->engine->control);
	list.ids = malloc((client->member_count + 1) * sizeof(*list.ids));
	if (list.ids != NULL)
		tmem_members_visit(client, add_id, &list);
	tmem_unlock(&client->engine->control);
	if (list.ids == NULL)
		return 0;
	qsort(list.ids, list.count, sizeof(*list.ids), compare_ids);
	while (first < list.count && (int64_t)list.ids[first] <= after)
		first++;
	count = list.count - first < max ? list.count - first : max;
	memcpy(ret, list.ids + first, count * sizeof(*ret));
	free(list.ids);
	return count;
}

struct next_id {
	int64_t after;
	int64_t best;
};

static void consider_id(struct tmem_member *member, void *context)
{
	struct next_id *next = context;
	int64_t id = atomic_load(&member->id);

	if (id > next->after && (next->best < 0 || id < next->best))
		next->best = id;
}

int64_t tmem_pool_next(struct tmem_client *client, int64_t after)
{
	struct next_id next = {.after = after, .best = TMEM_ENOENT};

	tmem_lock(&client->engine->control);
	tmem_members_visit(client, consider_id, &next);
	tmem_unlock(&client->engine->control);
	return next.best;
}
