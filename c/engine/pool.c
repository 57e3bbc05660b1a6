/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Pools: making, joining, leaving, emptying, destroying.
 *
 * Order of what is durable, so that a kill at any instruction leaves a state before or after:
 *   new      the pool's row, then the member's row, which makes it exist (recovery ends a pool
 *            without members);
 *   leave    the pool's row with a new epoch (and owner), which empties it, then the member's row
 *            is cleared;
 *   destroy  the member's row is cleared, which ends the pool; its pages follow; its row is last;
 *   flush    the pool's row with a new epoch.
 */
#include <stdlib.h>

#include "group.h"
#include "lists.h"
#include "ops.h"
#include "registry.h"
#include "rows.h"

static int check_flags(uint32_t untrusted_flags)
{
	uint32_t known = TMEM_POOL_PERSISTENT | TMEM_POOL_SHARED |
			 TMEM_POOL_PAGE_SIZE_MASK << TMEM_POOL_PAGE_SIZE_SHIFT |
			 (uint32_t)TMEM_POOL_VERSION_MASK << TMEM_POOL_VERSION_SHIFT;

	if ((untrusted_flags >> TMEM_POOL_VERSION_SHIFT & TMEM_POOL_VERSION_MASK) !=
	    TMEM_ABI_VERSION)
		return TMEM_EPROTO;
	if (untrusted_flags & TMEM_POOL_PRECOMPRESSED)
		return TMEM_EOPNOTSUPP;
	if (untrusted_flags & ~known)
		return TMEM_EINVAL;
	if ((untrusted_flags >> TMEM_POOL_PAGE_SIZE_SHIFT & TMEM_POOL_PAGE_SIZE_MASK) != 0)
		return TMEM_EOPNOTSUPP;
	if ((untrusted_flags & TMEM_POOL_PERSISTENT) && (untrusted_flags & TMEM_POOL_SHARED))
		return TMEM_EPERM;
	return 0;
}

static bool may_share(const struct tmem_client *client, const uint8_t *uuid)
{
	static const uint8_t no_uuid[TMEM_UUID_BYTES] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
							 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
							 0xff, 0xff, 0xff, 0xff};

	if (uuid == NULL || memcmp(uuid, no_uuid, TMEM_UUID_BYTES) == 0)
		return false;
	if (client->engine->shared_auth_all)
		return true;
	for (uint32_t i = 0; i < client->auth_count; i++)
		if (memcmp(client->auth[i].uuid, uuid, TMEM_UUID_BYTES) == 0)
			return true;
	return false;
}

/* Pools that were left for the contents in them, and hold none any more. */
static void reap_tombs(struct tmem_engine *engine)
{
	for (uint32_t i = 0; engine->tomb_count > 0 && i < engine->pool_slots; i++) {
		struct tmem_pool *pool = engine->pools[i];

		if (atomic_load(&pool->state) == TMEM_POOL_TOMB &&
		    atomic_load(&pool->orphans) == 0) {
			engine->tomb_count--;
			tmem_row_clear(engine, &pool->row);
			tmem_pool_recycle(engine, pool);
		}
	}
}

static struct tmem_group *group_for(struct tmem_client *client, const struct tmem_pool *pool,
				    uint32_t flags)
{
	if (flags & TMEM_POOL_SHARED)
		return tmem_group_get(client->engine, TMEM_GROUP_POOL, pool->number);
	if (client->settings.trust_group != 0)
		return tmem_group_get(client->engine, TMEM_GROUP_OPERATOR,
				      client->settings.trust_group);
	return tmem_group_get(client->engine, TMEM_GROUP_CLIENT, client->uid);
}

/* A new pool with its row, without members; NULL when there is no memory. */
static struct tmem_pool *make_pool(struct tmem_client *client, const uint8_t *uuid, uint32_t flags)
{
	struct tmem_engine *engine = client->engine;
	struct tmem_pool *pool = tmem_pool_struct(engine, UINT32_MAX);
	struct tmem_group *group;

	if (pool == NULL)
		return NULL;
	if (tmem_client_reserve_owned(client) != 0)
		goto fail;
	group = group_for(client, pool, flags);
	if (group == NULL)
		goto fail;
	atomic_store(&pool->flags, flags);
	atomic_store(&pool->group, group);
	atomic_store(&pool->epoch, (atomic_load(&pool->epoch) + 1) & 0xffff);
	atomic_store(&pool->serial, engine->next_serial++);
	memset(pool->uuid, 0, TMEM_UUID_BYTES);
	if (flags & TMEM_POOL_SHARED)
		memcpy(pool->uuid, uuid, TMEM_UUID_BYTES);
	pool->next_joined = 0;
	if (tmem_pool_write(engine, pool, atomic_load(&pool->epoch), client) != 0)
		goto fail;
	tmem_pool_set_owner(engine, pool, client);
	return pool;
fail:
	tmem_pool_recycle(engine, pool);
	return NULL;
}

static int join(struct tmem_client *client, struct tmem_pool *pool, uint32_t *pool_id)
{
	struct tmem_engine *engine = client->engine;
	int code;
	struct tmem_member *member = tmem_member_struct(client, -1, pool_id, &code);

	if (member == NULL)
		return code;
	/* The pool may become the client's when others leave, which must not fail. */
	if (tmem_client_reserve_owned(client) != 0)
		return TMEM_ENOMEM;
	member->joined = pool->next_joined;
	if (tmem_member_write(engine, member, *pool_id, pool) != 0)
		return TMEM_ENOMEM;
	atomic_store(&pool->state, TMEM_POOL_LIVE);
	if (tmem_member_enter(member, *pool_id, pool) != 0) {
		tmem_row_clear(engine, &member->row);
		return TMEM_ENOMEM;
	}
	tmem_pool_update_served(pool);
	return 0;
}

static int new_locked(struct tmem_client *client, const uint8_t *uuid, uint32_t flags,
		      uint32_t *pool_id, uint32_t *granted)
{
	struct tmem_engine *engine = client->engine;
	struct tmem_pool *pool = NULL;
	int code;

	reap_tombs(engine);
	if (flags & TMEM_POOL_SHARED) {
		if (may_share(client, uuid))
			pool = tmem_pool_by_uuid(engine, uuid);
		else
			flags &= ~(uint32_t)TMEM_POOL_SHARED;
	}
	*granted = flags;
	if (pool != NULL)
		return join(client, pool, pool_id);
	pool = make_pool(client, uuid, flags);
	if (pool == NULL)
		return TMEM_ENOMEM;
	code = join(client, pool, pool_id);
	if (code != 0) {
		tmem_row_clear(engine, &pool->row);
		tmem_pool_set_owner(engine, pool, NULL);
		tmem_pool_recycle(engine, pool);
	}
	return code;
}

int tmem_pool_new(struct tmem_client *client, const uint8_t *uuid, uint32_t untrusted_flags,
		  uint32_t *pool_id, uint32_t *granted)
{
	int code = check_flags(untrusted_flags);

	if (code != 0)
		return code;
	tmem_lock(&client->lock);
	if (atomic_load(&client->dead)) {
		code = TMEM_ENODEV;
	} else if (atomic_load(&client->frozen)) {
		code = TMEM_EFROZEN;
	} else {
		tmem_lock(&client->engine->control);
		code = new_locked(client, uuid,
				  untrusted_flags & (TMEM_POOL_PERSISTENT | TMEM_POOL_SHARED),
				  pool_id, granted);
		tmem_unlock(&client->engine->control);
	}
	tmem_unlock(&client->lock);
	return code;
}

/* Starts a new epoch, for the rest of the pool's members. Holds the control lock. */
static void start_epoch(struct tmem_engine *engine, struct tmem_pool *pool,
			struct tmem_client *owner)
{
	uint32_t epoch = (atomic_load(&pool->epoch) + 1) & 0xffff;

	/* A row that is there is always rewritten: rows.h keeps a spare place. */
	(void)tmem_pool_write(engine, pool, epoch, owner);
	tmem_list_new_epoch(engine, pool, epoch);
}

static uint64_t finish_epoch(struct tmem_engine *engine, struct tmem_pool *pool)
{
	tmem_shards_quiesce(engine);
	return tmem_pool_sweep(engine, pool);
}

/* Who is charged once @leaving is gone: the owner if it stays, else who joined first. */
static struct tmem_client *next_owner(const struct tmem_pool *pool,
				      const struct tmem_member *leaving)
{
	struct tmem_client *first = NULL;

	for (uint32_t i = 0; i < pool->member_count; i++) {
		if (pool->members[i] == leaving)
			continue;
		if (pool->members[i]->client == pool->owner)
			return pool->owner;
		if (first == NULL)
			first = pool->members[i]->client;
	}
	return first;
}

void tmem_member_end(struct tmem_engine *engine, struct tmem_member *member)
{
	struct tmem_pool *pool = atomic_load(&member->pool);
	struct tmem_client *owner;
	uint64_t found;

	tmem_lock(&engine->control);
	owner = next_owner(pool, member);
	if (owner != NULL) {
		start_epoch(engine, pool, owner);
		tmem_row_clear(engine, &member->row);
		tmem_member_leave(member);
		if (owner != pool->owner)
			tmem_pool_set_owner(engine, pool, owner);
		tmem_pool_update_served(pool);
	} else {
		tmem_row_clear(engine, &member->row);
		tmem_member_leave(member);
		atomic_store(&pool->state, TMEM_POOL_DYING);
		tmem_list_new_epoch(engine, pool, (atomic_load(&pool->epoch) + 1) & 0xffff);
	}
	tmem_unlock(&engine->control);

	found = finish_epoch(engine, pool);

	tmem_lock(&engine->control);
	tmem_count(member, pool_flushes, 1);
	tmem_count(member, pool_flushes_found, found);
	tmem_member_settle(member);
	if (owner == NULL) {
		tmem_pool_set_owner(engine, pool, NULL);
		if (atomic_load(&pool->orphans) > 0) {
			atomic_store(&pool->state, TMEM_POOL_TOMB);
			engine->tomb_count++;
		} else {
			tmem_row_clear(engine, &pool->row);
			tmem_pool_recycle(engine, pool);
		}
	}
	tmem_unlock(&engine->control);
}

int tmem_pool_destroy(struct tmem_client *client, uint32_t untrusted_pool_id)
{
	struct tmem_member *member;

	tmem_lock(&client->lock);
	member = tmem_member_find(client, untrusted_pool_id);
	if (member != NULL)
		tmem_member_end(client->engine, member);
	tmem_unlock(&client->lock);
	return member != NULL ? TMEM_DONE : TMEM_MISS;
}

static int empty_pool(struct tmem_client *client, uint32_t untrusted_pool_id, bool serve)
{
	struct tmem_engine *engine = client->engine;
	struct tmem_member *member;
	struct tmem_pool *pool;
	uint64_t found;

	tmem_lock(&client->lock);
	member = tmem_member_find(client, untrusted_pool_id);
	if (member == NULL) {
		tmem_unlock(&client->lock);
		return TMEM_ENODEV;
	}
	pool = atomic_load(&member->pool);
	if (serve && atomic_load(&pool->served)) {
		tmem_unlock(&client->lock);
		return TMEM_DONE;
	}
	tmem_lock(&engine->control);
	start_epoch(engine, pool, pool->owner);
	tmem_unlock(&engine->control);
	found = finish_epoch(engine, pool);
	tmem_count(member, pool_flushes, 1);
	tmem_count(member, pool_flushes_found, found);
	if (serve) {
		tmem_lock(&engine->control);
		for (uint32_t i = 0; i < pool->member_count; i++)
			pool->members[i]->resumed = true;
		tmem_pool_update_served(pool);
		tmem_unlock(&engine->control);
	}
	tmem_unlock(&client->lock);
	return TMEM_DONE;
}

int tmem_pool_flush(struct tmem_client *client, uint32_t untrusted_pool_id)
{
	return empty_pool(client, untrusted_pool_id, false);
}

int tmem_pool_serve_empty(struct tmem_client *client, uint32_t untrusted_pool_id)
{
	return empty_pool(client, untrusted_pool_id, true);
}

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
