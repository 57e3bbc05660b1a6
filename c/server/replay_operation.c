/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdlib.h>

#include "trace_replay.h"

/* ---- pools ------------------------------------------------------------------------------ */

static struct replay_pool *find_pool(struct replay_client *client, uint32_t recorded)
{
	if (client->last < client->pool_count && client->pools[client->last].recorded == recorded)
		return &client->pools[client->last];
	for (uint32_t i = 0; i < client->pool_count; i++)
		if (client->pools[i].recorded == recorded) {
			client->last = i;
			return &client->pools[i];
		}
	return NULL;
}

static int make_pool(struct replay_client *client, const struct tmem_trace_record *record)
{
	uint32_t granted = (uint32_t)record->oid.words[2];
	uint32_t flags = ((uint32_t)record->index & ~(uint32_t)TMEM_POOL_SHARED) |
			 (granted & TMEM_POOL_SHARED);
	struct replay_pool pool = {.recorded = record->pool};
	int code;

	if (record->result != TMEM_DONE || find_pool(client, record->pool) != NULL)
		return 0;
	if (client->pool_count == client->pool_room) {
		uint32_t room = client->pool_room != 0 ? 2 * client->pool_room : 8;
		struct replay_pool *pools = realloc(client->pools, room * sizeof(*pools));

		if (pools == NULL)
			return -ENOMEM;
		client->pools = pools;
		client->pool_room = room;
	}
	code = tmem_pool_new(client->client, (const uint8_t *)record->oid.words, flags, &pool.id,
			     &granted);
	if (code != 0)
		return code == TMEM_ENOMEM ? -ENOMEM : 0;
	pool.persistent = granted & TMEM_POOL_PERSISTENT;
	client->pools[client->pool_count++] = pool;
	return 0;
}

static void destroy_pool(struct replay_client *client, struct replay_pool *pool)
{
	(void)tmem_pool_destroy(client->client, pool->id);
	*pool = client->pools[--client->pool_count];
}

/* A session has ended; the persistent pools may stay. */
static void leave_pools(struct replay_client *client, bool persistent)
{
	for (uint32_t i = client->pool_count; i-- > 0;)
		if (persistent || !client->pools[i].persistent)
			destroy_pool(client, &client->pools[i]);
}

int tmem_replay_rest(struct replay *replay, struct replay_client *client,
		     const struct tmem_trace_record *record)
{
	struct replay_pool *pool = find_pool(client, record->pool);

	replay->report->pool_operations++;
	switch (record->op) {
	case TMEM_OP_NEW_POOL:
	case TMEM_TRACE_OP_POOL:
		return make_pool(client, record);
	case TMEM_OP_DESTROY_POOL:
		if (pool != NULL)
			destroy_pool(client, pool);
		return 0;
	case TMEM_OP_START:
		if (record->result == 2)
			leave_pools(client, !(record->flags & TMEM_TRACE_POOLS_KEPT));
		return 0;
	case TMEM_OP_BYE:
		leave_pools(client, false);
		return 0;
	default:
		replay->report->pool_operations--;
		replay->report->passed_over++;
		return 0;
	}
}

/* ---- pages ------------------------------------------------------------------------------ */

static void get_ahead(struct replay *replay, struct replay_client *client, uint32_t pool,
		      const struct tmem_trace_record *record)
{
	uint64_t there[TMEM_PRESENCE_WORDS];
	uint64_t wanted = (uint64_t)record->count;
	uint8_t page[TMEM_PAGE_BYTES] __attribute__((aligned(64)));

	if (wanted > UINT64_MAX - record->index)
		wanted = UINT64_MAX - record->index;
	if (wanted == 0 || tmem_presence(client->client, pool, &record->oid, record->index + 1,
					 (uint32_t)wanted, there) != TMEM_DONE)
		return;
	for (uint64_t i = 0; i < wanted; i++)
		if (there[0] >> i & 1 && tmem_get(client->client, pool, &record->oid,
						  record->index + 1 + i, page) == TMEM_DONE)
			replay->report->ahead_pages++;
}

static void get(struct replay *replay, struct replay_client *client, uint32_t pool,
		const struct tmem_trace_record *record)
{
	struct tmem_replay_report *report = replay->report;
	uint8_t page[TMEM_PAGE_BYTES] __attribute__((aligned(64)));

	report->gets++;
	report->gets_hit_recorded += record->result == TMEM_DONE;
	report->gets_hit +=
		tmem_get(client->client, pool, &record->oid, record->index, page) == TMEM_DONE;
	get_ahead(replay, client, pool, record);
}

uint64_t *tmem_replay_page(struct replay *replay, const struct tmem_trace_record *record,
			   const uint8_t *page)
{
	struct tmem_replay_report *report = replay->report;
	struct replay_client *client = &replay->clients[record->client];
	struct replay_pool *pool = find_pool(client, record->pool);

	if (pool == NULL) {
		report->passed_over++;
		return NULL;
	}
	switch (record->op) {
	case TMEM_OP_PUT_PAGE:
		report->puts++;
		report->puts_done_recorded += record->result == TMEM_DONE;
		report->puts_done += tmem_put(client->client, pool->id, &record->oid, record->index,
					      page) == TMEM_DONE;
		return &report->put_ns;
	case TMEM_OP_GET_PAGE:
		get(replay, client, pool->id, record);
		return &report->get_ns;
	case TMEM_OP_FLUSH_PAGE:
		(void)tmem_flush_page(client->client, pool->id, &record->oid, record->index);
		break;
	case TMEM_OP_FLUSH_OBJECT:
		(void)tmem_flush_object(client->client, pool->id, &record->oid);
		break;
	case TMEM_OP_FLUSH_RANGE:
		(void)tmem_flush_range(client->client, pool->id, &record->oid, record->index,
				       (uint64_t)record->count);
		break;
	default:
		(void)tmem_pool_flush(client->client, pool->id);
		break;
	}
	report->flushes++;
	return &report->flush_ns;
}
