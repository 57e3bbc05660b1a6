/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "rows.h"

#include "group.h"
#include "reclaim.h"
#include "slots.h"

static tmem_ref alloc_row(struct tmem_engine *engine)
{
	int why;

	return tmem_reclaim_slot(engine, NULL, true, TMEM_CLASS_ROW, 0, &why);
}

int tmem_rows_spare(struct tmem_engine *engine)
{
	if (engine->spare_row == TMEM_REF_NONE)
		engine->spare_row = alloc_row(engine);
	return engine->spare_row != TMEM_REF_NONE ? 0 : -ENOMEM;
}

static void clear_commit(struct tmem_engine *engine, tmem_ref ref)
{
	atomic_store_explicit(&tmem_ref_row(engine, ref)->commit, 0, memory_order_release);
}

int tmem_row_write(struct tmem_engine *engine, struct tmem_row *row, tmem_ref *ref)
{
	tmem_ref old = *ref;
	struct tmem_row *place;
	tmem_ref new;

	if (tmem_rows_spare(engine) != 0)
		return TMEM_ENOMEM;
	new = old == TMEM_REF_NONE ? alloc_row(engine) : engine->spare_row;
	if (new == TMEM_REF_NONE)
		return TMEM_ENOMEM;
	place = tmem_ref_row(engine, new);
	row->generation = old == TMEM_REF_NONE ? 0 : tmem_ref_row(engine, old)->generation + 1;
	memcpy((char *)place + 8, (char *)row + 8, TMEM_ROW_BYTES - 8);
	atomic_store_explicit(&place->commit, tmem_row_commit(place), memory_order_release);
	*ref = new;
	if (old != TMEM_REF_NONE) {
		clear_commit(engine, old);
		engine->spare_row = old;
	}
	return 0;
}

void tmem_row_clear(struct tmem_engine *engine, tmem_ref *ref)
{
	if (*ref == TMEM_REF_NONE)
		return;
	clear_commit(engine, *ref);
	tmem_slot_free(engine, *ref, 0);
	*ref = TMEM_REF_NONE;
}

int tmem_client_write(struct tmem_client *client)
{
	struct tmem_row row = {.kind = TMEM_ROW_CLIENT, .key = client->uid};

	memcpy(row.client.name, client->name, sizeof(row.client.name));
	row.client.settings = client->settings;
	row.client.next_serial = client->serial_limit;
	return tmem_row_write(client->engine, &row, &client->row);
}

int tmem_pool_write(struct tmem_engine *engine, struct tmem_pool *pool, uint32_t epoch,
		    const struct tmem_client *owner)
{
	const struct tmem_group *group = atomic_load(&pool->group);
	struct tmem_row row = {.kind = TMEM_ROW_POOL, .key = pool->number};

	memcpy(row.pool.uuid, pool->uuid, TMEM_UUID_BYTES);
	row.pool.flags = atomic_load(&pool->flags);
	row.pool.owner = owner->uid;
	row.pool.group_kind = group->kind;
	row.pool.group = group->number;
	row.pool.epoch = (uint16_t)epoch;
	return tmem_row_write(engine, &row, &pool->row);
}

int tmem_member_write(struct tmem_engine *engine, struct tmem_member *member, uint32_t id,
		      const struct tmem_pool *pool)
{
	struct tmem_row row = {
		.kind = TMEM_ROW_MEMBER,
		.key = (uint64_t)member->client->uid << 32 | id,
	};

	row.member.client = member->client->uid;
	row.member.id = id;
	row.member.pool = pool->number;
	row.member.joined = member->joined;
	return tmem_row_write(engine, &row, &member->row);
}

int tmem_auth_write(struct tmem_engine *engine, const struct tmem_client *client,
		    struct tmem_auth *auth)
{
	struct tmem_row row = {.kind = TMEM_ROW_AUTH, .key = auth->serial};

	row.auth.client = client->uid;
	memcpy(row.auth.uuid, auth->uuid, TMEM_UUID_BYTES);
	return tmem_row_write(engine, &row, &auth->row);
}

int tmem_host_write(struct tmem_engine *engine, bool shared_auth_all)
{
	struct tmem_row row = {.kind = TMEM_ROW_HOST};

	row.host.shared_auth_all = shared_auth_all;
	return tmem_row_write(engine, &row, &engine->host_row);
}
