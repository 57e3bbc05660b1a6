/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdlib.h>
#include <zstd.h>

#include "ops.h"
#include "policy.h"
#include "reclaim.h"
#include "registry.h"
#include "rows.h"

static struct tmem_client *by_name(struct tmem_engine *engine, const char *name)
{
	for (uint32_t i = 0; i < engine->client_slots; i++)
		if (engine->clients[i] != NULL && strcmp(engine->clients[i]->name, name) == 0)
			return engine->clients[i];
	return NULL;
}

static uint32_t free_uid(struct tmem_engine *engine)
{
	uint32_t uid = 0;

	while (uid < engine->client_slots && engine->clients[uid] != NULL)
		uid++;
	return uid;
}

static int create_locked(struct tmem_engine *engine, const char *name, struct tmem_client **ret)
{
	struct tmem_client *client;
	uint32_t uid = free_uid(engine);

	if (by_name(engine, name) != NULL)
		return TMEM_EEXIST;
	if (uid == TMEM_NUMBERS_MAX)
		return TMEM_ENOMEM;
	client = tmem_client_struct(engine, uid, name);
	if (client == NULL)
		return TMEM_ENOMEM;
	if (tmem_client_write(client) != 0) {
		tmem_client_recycle(client);
		return TMEM_ENOMEM;
	}
	tmem_client_enter(client);
	tmem_client_hold(client);
	*ret = client;
	return 0;
}

int tmem_client_create(struct tmem_engine *engine, const char *name, struct tmem_client **ret)
{
	size_t length = strnlen(name, TMEM_CLIENT_NAME_MAX + 1);
	int code;

	if (length == 0)
		return TMEM_EINVAL;
	if (length > TMEM_CLIENT_NAME_MAX)
		return TMEM_ENAMETOOLONG;
	tmem_lock(&engine->control);
	code = create_locked(engine, name, ret);
	tmem_unlock(&engine->control);
	return code;
}

int tmem_client_find(struct tmem_engine *engine, const char *name, struct tmem_client **ret)
{
	struct tmem_client *client;

	tmem_lock(&engine->control);
	client = by_name(engine, name);
	if (client != NULL)
		tmem_client_hold(client);
	tmem_unlock(&engine->control);
	*ret = client;
	return client != NULL ? 0 : TMEM_ENOENT;
}

int tmem_client_next(struct tmem_engine *engine, int64_t uid, struct tmem_client **ret)
{
	struct tmem_client *client = NULL;

	tmem_lock(&engine->control);
	for (uint64_t i = (uint64_t)(uid + 1); i < engine->client_slots && client == NULL; i++)
		client = engine->clients[i];
	if (client != NULL)
		tmem_client_hold(client);
	tmem_unlock(&engine->control);
	*ret = client;
	return client != NULL ? 0 : TMEM_ENOENT;
}

void tmem_client_release(struct tmem_client *client)
{
	if (client == NULL || atomic_fetch_sub(&client->references, 1) != 1)
		return;
	tmem_lock(&client->engine->control);
	tmem_client_recycle(client);
	tmem_unlock(&client->engine->control);
}

static void end_member(struct tmem_member *member, void *context)
{
	tmem_member_end(context, member);
}

int tmem_client_destroy(struct tmem_client *client)
{
	struct tmem_engine *engine = client->engine;

	tmem_lock(&client->lock);
	if (atomic_exchange(&client->dead, true)) {
		tmem_unlock(&client->lock);
		return TMEM_ENODEV;
	}
	/* Clearing this one row is the client's end; recovery would do the rest. */
	tmem_lock(&engine->control);
	tmem_row_clear(engine, &client->row);
	tmem_unlock(&engine->control);
	tmem_members_visit(client, end_member, engine);
	tmem_lock(&engine->control);
	for (uint32_t i = 0; i < client->auth_count; i++)
		tmem_row_clear(engine, &client->auth[i].row);
	client->auth_count = 0;
	tmem_client_leave(client);
	for (size_t i = 0; i < tmem_counter_count; i++)
		engine->counters_gone[i] += client->counters_gone[i];
	tmem_unlock(&engine->control);
	tmem_unlock(&client->lock);
	tmem_client_release(client);
	return 0;
}

static void resume_member(struct tmem_member *member, void *context)
{
	(void)context;
	member->resumed = true;
	tmem_pool_update_served(atomic_load(&member->pool));
}

int tmem_client_resume(struct tmem_client *client)
{
	struct tmem_engine *engine = client->engine;
	int code = TMEM_ENODEV;

	tmem_lock(&client->lock);
	if (!atomic_load(&client->dead)) {
		tmem_lock(&engine->control);
		client->resumed = true;
		tmem_members_visit(client, resume_member, NULL);
		tmem_unlock(&engine->control);
		code = 0;
	}
	tmem_unlock(&client->lock);
	return code;
}

static uint64_t owned_pages(struct tmem_client *client, bool persistent)
{
	uint64_t pages = 0;

	for (uint32_t i = 0; i < client->owned_count; i++) {
		struct tmem_pool *pool = client->owned[i];

		if (((atomic_load(&pool->flags) & TMEM_POOL_PERSISTENT) != 0) == persistent)
			pages += atomic_load(&pool->pages);
	}
	return pages;
}

void tmem_client_info(struct tmem_client *client, struct tmem_client_info *ret)
{
	struct tmem_engine *engine = client->engine;

	memset(ret, 0, sizeof(*ret));
	tmem_lock(&engine->control);
	memcpy(ret->name, client->name, sizeof(ret->name));
	ret->uid = client->uid;
	ret->pools = client->member_count;
	ret->settings = client->settings;
	ret->resumed = client->resumed;
	tmem_read_lock(&engine->owners);
	ret->ephemeral_pages = owned_pages(client, false);
	ret->persistent_pages = owned_pages(client, true);
	ret->share_bytes = tmem_share_bytes(engine, client);
	tmem_rw_unlock(&engine->owners);
	ret->ephemeral_bytes = atomic_load(&client->ephemeral_bytes);
	ret->persistent_bytes = atomic_load(&client->persistent_bytes);
	tmem_unlock(&engine->control);
}

static int set_locked(struct tmem_client *client, const struct tmem_client_settings *settings)
{
	struct tmem_client_settings before = client->settings;

	if (settings->trust_group != before.trust_group && client->member_count > 0)
		return TMEM_EBUSY;
	client->settings = *settings;
	client->settings.frozen = settings->frozen != 0;
	client->settings.dedup = settings->dedup != 0;
	if (tmem_client_write(client) != 0) {
		client->settings = before;
		return TMEM_ENOMEM;
	}
	tmem_client_apply(client);
	return 0;
}

static void reclaim_to_cap(struct tmem_client *client)
{
	uint64_t cap_bytes = atomic_load(&client->cap_bytes);
	uint64_t used_bytes =
		atomic_load(&client->ephemeral_bytes) + atomic_load(&client->persistent_bytes);

	if (cap_bytes != 0 && used_bytes > cap_bytes)
		tmem_reclaim_client(client->engine, client, used_bytes - cap_bytes);
}

int tmem_client_set(struct tmem_client *client, const struct tmem_client_settings *settings)
{
	int code = TMEM_ENODEV;

	if (settings->encoding != TMEM_ENCODING_RAW && settings->encoding != TMEM_ENCODING_LZ4 &&
	    settings->encoding != TMEM_ENCODING_ZSTD)
		return TMEM_EINVAL;
	if (settings->zstd_level < ZSTD_minCLevel() || settings->zstd_level > ZSTD_maxCLevel())
		return TMEM_EINVAL;
	tmem_lock(&client->lock);
	if (!atomic_load(&client->dead)) {
		tmem_lock(&client->engine->control);
		code = set_locked(client, settings);
		tmem_unlock(&client->engine->control);
	}
	if (code == 0) {
		/* Puts that began before do not outlive this call: frozen is frozen. */
		tmem_shards_quiesce(client->engine);
		reclaim_to_cap(client);
	}
	tmem_unlock(&client->lock);
	return code;
}

uint64_t tmem_client_reclaim(struct tmem_client *client, uint64_t bytes)
{
	return tmem_reclaim_client(client->engine, client, bytes);
}

/* ---- which uuids a client may share ---- */

static int auth_index(const struct tmem_client *client, const uint8_t *uuid)
{
	for (uint32_t i = 0; i < client->auth_count; i++)
		if (memcmp(client->auth[i].uuid, uuid, TMEM_UUID_BYTES) == 0)
			return (int)i;
	return -1;
}

static int auth_add_locked(struct tmem_client *client, const uint8_t *uuid)
{
	struct tmem_auth *auth;

	if (auth_index(client, uuid) >= 0)
		return TMEM_EEXIST;
	auth = realloc(client->auth, (client->auth_count + 1) * sizeof(*auth));
	if (auth == NULL)
		return TMEM_ENOMEM;
	client->auth = auth;
	auth += client->auth_count;
	memcpy(auth->uuid, uuid, TMEM_UUID_BYTES);
	auth->row = TMEM_REF_NONE;
	auth->serial = client->engine->next_serial++;
	if (tmem_auth_write(client->engine, client, auth) != 0)
		return TMEM_ENOMEM;
	client->auth_count++;
	return 0;
}

static int auth_remove_locked(struct tmem_client *client, const uint8_t *uuid)
{
	int at = auth_index(client, uuid);

	if (at < 0)
		return TMEM_ENOENT;
	tmem_row_clear(client->engine, &client->auth[at].row);
	client->auth[at] = client->auth[--client->auth_count];
	return 0;
}

static int change_auth(struct tmem_client *client, const uint8_t *uuid,
		       int (*change)(struct tmem_client *client, const uint8_t *uuid))
{
	int code = TMEM_ENODEV;

	tmem_lock(&client->lock);
	if (!atomic_load(&client->dead)) {
		tmem_lock(&client->engine->control);
		code = change(client, uuid);
		tmem_unlock(&client->engine->control);
	}
	tmem_unlock(&client->lock);
	return code;
}

int tmem_client_auth_add(struct tmem_client *client, const uint8_t *uuid)
{
	return change_auth(client, uuid, auth_add_locked);
}

int tmem_client_auth_remove(struct tmem_client *client, const uint8_t *uuid)
{
	return change_auth(client, uuid, auth_remove_locked);
}

uint32_t tmem_client_auth_list(struct tmem_client *client, uint8_t *ret, uint32_t max)
{
	uint32_t count;

	tmem_lock(&client->engine->control);
	count = client->auth_count;
	for (uint32_t i = 0; i < count && i < max; i++)
		memcpy(ret + i * TMEM_UUID_BYTES, client->auth[i].uuid, TMEM_UUID_BYTES);
	tmem_unlock(&client->engine->control);
	return count;
}
