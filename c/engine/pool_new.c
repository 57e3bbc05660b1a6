/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Pools: making and joining. What is durable in which order stands in pool.c. */
#include "group.h"
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
