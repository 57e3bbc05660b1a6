/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Recovery of the client, pool, member, authorisation and host tables. */
#include <stdlib.h>

#include "group.h"
#include "lists.h"
#include "recover.h"
#include "registry.h"
#include "rows.h"
#include "slots.h"

struct found_row {
	uint32_t kind;
	uint64_t key;
	uint32_t generation;
	tmem_ref ref;
};

static int by_key(const void *a, const void *b)
{
	const struct found_row *left = a;
	const struct found_row *right = b;

	if (left->kind != right->kind)
		return left->kind < right->kind ? -1 : 1;
	if (left->key != right->key)
		return left->key < right->key ? -1 : 1;
	if (left->generation != right->generation)
		return (int32_t)(left->generation - right->generation) > 0 ? -1 : 1;
	return left->ref < right->ref ? -1 : 1;
}

static bool row_possible(const struct tmem_row *row)
{
	const struct tmem_client_settings *settings = &row->client.settings;

	switch (row->kind) {
	case TMEM_ROW_CLIENT:
		return row->key < TMEM_NUMBERS_MAX && row->client.name[0] != 0 &&
		       row->client.name[TMEM_CLIENT_NAME_MAX] == 0 &&
		       settings->encoding <= TMEM_ENCODING_ZSTD &&
		       settings->encoding != TMEM_ENCODING_SAME;
	case TMEM_ROW_POOL:
		return row->key < TMEM_NUMBERS_MAX &&
		       (row->pool.flags & ~(uint32_t)(TMEM_POOL_PERSISTENT | TMEM_POOL_SHARED)) ==
			       0 &&
		       row->pool.flags != (TMEM_POOL_PERSISTENT | TMEM_POOL_SHARED) &&
		       row->pool.group_kind >= TMEM_GROUP_CLIENT &&
		       row->pool.group_kind <= TMEM_GROUP_POOL;
	case TMEM_ROW_MEMBER:
		return row->member.client < TMEM_NUMBERS_MAX && row->member.pool < TMEM_NUMBERS_MAX;
	case TMEM_ROW_AUTH:
		return row->auth.client < TMEM_NUMBERS_MAX;
	case TMEM_ROW_HOST:
		return true;
	default:
		return false;
	}
}

/* Adopts the sound rows of an extent into @rows; clears the others. */
static uint32_t scan_extent(struct tmem_engine *engine, uint32_t number, struct found_row *rows)
{
	uint32_t count = 0;

	for (uint32_t slot = 0; slot < engine->extents[number].slots; slot++) {
		tmem_ref ref = number << TMEM_SLOT_BITS | slot;
		struct tmem_row *row = tmem_ref_row(engine, ref);
		uint64_t commit = atomic_load(&row->commit);

		if (commit == 0)
			continue;
		if (!tmem_row_sound(row, commit) || !row_possible(row)) {
			engine->recovery.damaged_rows++;
			atomic_store(&row->commit, 0);
			continue;
		}
		tmem_slot_adopt(engine, ref, 0);
		rows[count++] = (struct found_row){
			.kind = row->kind,
			.key = row->key,
			.generation = row->generation,
			.ref = ref,
		};
	}
	return count;
}

static struct tmem_client *client_of(struct tmem_engine *engine, uint32_t uid)
{
	return uid < engine->client_slots ? engine->clients[uid] : NULL;
}

static int take_client(struct tmem_engine *engine, const struct tmem_row *row, tmem_ref ref)
{
	struct tmem_client *client =
		tmem_client_struct(engine, (uint32_t)row->key, row->client.name);

	if (client == NULL)
		return -ENOMEM;
	client->row = ref;
	client->settings = row->client.settings;
	client->next_serial = row->client.next_serial;
	client->serial_limit = row->client.next_serial;
	client->resumed = false;
	tmem_client_apply(client);
	tmem_client_enter(client);
	return 0;
}

static int take_pool(struct tmem_engine *engine, const struct tmem_row *row, tmem_ref ref)
{
	struct tmem_pool *pool = tmem_pool_struct(engine, (uint32_t)row->key);
	struct tmem_group *group = tmem_group_get(engine, row->pool.group_kind, row->pool.group);

	if (pool == NULL || group == NULL)
		return -ENOMEM;
	pool->row = ref;
	memcpy(pool->uuid, row->pool.uuid, TMEM_UUID_BYTES);
	atomic_store(&pool->flags, row->pool.flags);
	atomic_store(&pool->group, group);
	atomic_store(&pool->epoch, row->pool.epoch);
	atomic_store(&pool->serial, engine->next_serial++);
	/* A member makes it live. */
	atomic_store(&pool->state, TMEM_POOL_DYING);
	return 0;
}

/* A member, its client or its pool may be gone: killed on the way. */
static int take_member(struct tmem_recovery_state *state, const struct tmem_row *row, tmem_ref ref)
{
	struct tmem_engine *engine = state->engine;
	struct tmem_client *client = client_of(engine, row->member.client);
	struct tmem_pool *pool =
		row->member.pool < engine->pool_slots ? engine->pools[row->member.pool] : NULL;
	struct tmem_member *member;
	uint32_t id;
	int code;

	if (pool != NULL && atomic_load(&pool->state) == TMEM_POOL_FREE)
		pool = NULL;
	if (client == NULL || pool == NULL) {
		/* A sharer that is gone may have left pages that it no longer answers for: R(1). */
		if (pool != NULL)
			state->emptied[pool->number] = true;
		/* The row goes when its pool is empty: until then it is what says so. */
		state->doomed_rows[state->doomed_count++] = ref;
		return 0;
	}
	member = tmem_member_struct(client, row->member.id, &id, &code);
	if (member == NULL)
		return -ENOMEM;
	if (atomic_load(&member->id) >= 0) {
		engine->recovery.damaged_rows++;
		tmem_row_clear(engine, &ref);
		return 0;
	}
	if (tmem_client_reserve_owned(client) != 0)
		return -ENOMEM;
	member->row = ref;
	member->joined = row->member.joined;
	atomic_store(&pool->state, TMEM_POOL_LIVE);
	return tmem_member_enter(member, id, pool);
}

static int take_auth(struct tmem_engine *engine, const struct tmem_row *row, tmem_ref ref)
{
	struct tmem_client *client = client_of(engine, row->auth.client);
	struct tmem_auth *auth;

	if (client == NULL) {
		tmem_row_clear(engine, &ref);
		return 0;
	}
	auth = realloc(client->auth, (client->auth_count + 1) * sizeof(*auth));
	if (auth == NULL)
		return -ENOMEM;
	client->auth = auth;
	auth += client->auth_count++;
	memcpy(auth->uuid, row->auth.uuid, TMEM_UUID_BYTES);
	auth->row = ref;
	auth->serial = row->key;
	if (row->key >= engine->next_serial)
		engine->next_serial = row->key + 1;
	return 0;
}

static int take_row(struct tmem_recovery_state *state, const struct found_row *found)
{
	struct tmem_engine *engine = state->engine;
	const struct tmem_row *row = tmem_ref_row(engine, found->ref);

	switch (found->kind) {
	case TMEM_ROW_CLIENT:
		return take_client(engine, row, found->ref);
	case TMEM_ROW_POOL:
		return take_pool(engine, row, found->ref);
	case TMEM_ROW_MEMBER:
		return take_member(state, row, found->ref);
	case TMEM_ROW_AUTH:
		return take_auth(engine, row, found->ref);
	default:
		engine->host_row = found->ref;
		engine->shared_auth_all = row->host.shared_auth_all != 0;
		return 0;
	}
}

static void own_pools(struct tmem_recovery_state *state)
{
	struct tmem_engine *engine = state->engine;

	for (uint32_t i = 0; i < engine->pool_slots; i++) {
		struct tmem_pool *pool = engine->pools[i];
		struct tmem_client *owner = NULL;
		uint32_t uid;

		if (atomic_load(&pool->state) != TMEM_POOL_LIVE)
			continue;
		uid = tmem_ref_row(engine, pool->row)->pool.owner;
		for (uint32_t at = 0; at < pool->member_count; at++)
			if (owner == NULL || pool->members[at]->client->uid == uid)
				owner = pool->members[at]->client;
		tmem_pool_set_owner(engine, pool, owner);
		tmem_pool_update_served(pool);
	}
}

static int take_rows(struct tmem_recovery_state *state, const struct found_row *rows,
		     uint32_t count)
{
	struct tmem_engine *engine = state->engine;

	state->emptied = tmem_sparse_alloc(TMEM_NUMBERS_MAX * sizeof(*state->emptied));
	state->doomed_rows = calloc(count + 1, sizeof(*state->doomed_rows));
	if (state->emptied == NULL || state->doomed_rows == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < count; i++) {
		tmem_ref ref = rows[i].ref;
		int code;

		/* Sorted by generation, the newest first: what follows it is superseded. */
		if (i > 0 && rows[i].kind == rows[i - 1].kind && rows[i].key == rows[i - 1].key) {
			engine->recovery.stale_records++;
			tmem_row_clear(engine, &ref);
			continue;
		}
		code = take_row(state, &rows[i]);
		if (code != 0)
			return code;
	}
	own_pools(state);
	return 0;
}

int tmem_recover_rows(struct tmem_recovery_state *state)
{
	struct tmem_engine *engine = state->engine;
	struct found_row *rows = NULL;
	uint32_t count = 0;
	uint64_t room = 0;
	int code;

	for (uint32_t i = 0; i < state->extent_count; i++)
		if (state->extents[i].class == TMEM_CLASS_ROW)
			room += engine->extents[state->extents[i].number].slots;
	rows = calloc(room + 1, sizeof(*rows));
	if (rows == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < state->extent_count; i++)
		if (state->extents[i].class == TMEM_CLASS_ROW)
			count += scan_extent(engine, state->extents[i].number, rows + count);
	/* Before rows are cleared their extents must be able to take slots back. */
	for (uint32_t i = 0; i < state->extent_count; i++)
		if (state->extents[i].class == TMEM_CLASS_ROW)
			tmem_extent_settle(engine, state->extents[i].number);
	qsort(rows, count, sizeof(*rows), by_key);
	code = take_rows(state, rows, count);
	/* The spare place of last time is a free one now. */
	if (code == 0 && count > 0)
		(void)tmem_rows_spare(engine);
	free(rows);
	return code;
}

void tmem_recover_end_pools(struct tmem_recovery_state *state)
{
	struct tmem_engine *engine = state->engine;

	for (uint32_t i = 0; i < state->doomed_count; i++)
		tmem_row_clear(engine, &state->doomed_rows[i]);

	for (uint32_t i = 0; i < engine->pool_slots; i++) {
		struct tmem_pool *pool = engine->pools[i];

		if (atomic_load(&pool->state) != TMEM_POOL_DYING)
			continue;
		if (atomic_load(&pool->orphans) > 0) {
			atomic_store(&pool->state, TMEM_POOL_TOMB);
			engine->tomb_count++;
		} else {
			tmem_row_clear(engine, &pool->row);
			tmem_pool_recycle(engine, pool);
		}
	}
}
