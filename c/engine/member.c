/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Members: what the pool ids of a client name.
 *
 * An id is serial << 14 | slot. The serial goes up with every pool of the client and never back,
 * not even over a restart (the client's row holds a limit it has not reached), so that an id that
 * outlived its pool does not name another one until 2^18 pools later.
 */
#include <stdlib.h>

#include "lists.h"
#include "registry.h"
#include "rows.h"

enum { SERIALS_AHEAD = 64 };

static struct tmem_member *chunk_of(struct tmem_client *client, uint32_t slot)
{
	struct tmem_member *chunk = atomic_load(&client->chunks[slot / TMEM_MEMBER_CHUNK]);

	if (chunk != NULL)
		return chunk;
	chunk = tmem_alloc(client->engine, TMEM_MEMBER_CHUNK * sizeof(*chunk));
	if (chunk == NULL)
		return NULL;
	for (int i = 0; i < TMEM_MEMBER_CHUNK; i++) {
		atomic_store(&chunk[i].id, -1);
		chunk[i].row = TMEM_REF_NONE;
	}
	atomic_store_explicit(&client->chunks[slot / TMEM_MEMBER_CHUNK], chunk,
			      memory_order_release);
	return chunk;
}

static struct tmem_member *free_slot(struct tmem_client *client, uint32_t *slot, int *code)
{
	if (client->member_count == TMEM_POOLS_PER_CLIENT_MAX) {
		*code = TMEM_EMFILE;
		return NULL;
	}
	/* Slots that have not been used yet come first only within what is in use anyway: memory
	 * follows the number of pools, not the number of ids ever given out. */
	for (*slot = client->slot_cursor;; *slot = (*slot + 1) % TMEM_POOLS_PER_CLIENT_MAX) {
		struct tmem_member *chunk;

		if (*slot > client->member_count + TMEM_MEMBER_CHUNK)
			*slot = 0;
		chunk = chunk_of(client, *slot);
		if (chunk == NULL) {
			*code = TMEM_ENOMEM;
			return NULL;
		}
		if (atomic_load(&chunk[*slot % TMEM_MEMBER_CHUNK].id) == -1) {
			client->slot_cursor = (*slot + 1) % TMEM_POOLS_PER_CLIENT_MAX;
			return &chunk[*slot % TMEM_MEMBER_CHUNK];
		}
	}
}

static int next_serial(struct tmem_client *client, uint32_t *ret)
{
	if (client->next_serial == client->serial_limit) {
		client->serial_limit += SERIALS_AHEAD;
		if (tmem_client_write(client) != 0) {
			client->serial_limit -= SERIALS_AHEAD;
			return -ENOMEM;
		}
	}
	*ret = client->next_serial++ & ((1u << TMEM_ID_SERIAL_BITS) - 1);
	return 0;
}

struct tmem_member *tmem_member_struct(struct tmem_client *client, int64_t id, uint32_t *ret_id,
				       int *code)
{
	struct tmem_member *member;
	uint32_t serial;
	uint32_t slot;

	if (id >= 0) {
		slot = (uint32_t)id & (TMEM_POOLS_PER_CLIENT_MAX - 1);
		member = chunk_of(client, slot);
		if (member != NULL)
			member += slot % TMEM_MEMBER_CHUNK;
		*code = TMEM_ENOMEM;
		*ret_id = (uint32_t)id;
	} else {
		member = free_slot(client, &slot, code);
		if (member == NULL)
			return NULL;
		if (next_serial(client, &serial) != 0) {
			*code = TMEM_ENOMEM;
			return NULL;
		}
		*ret_id = serial << TMEM_ID_SLOT_BITS | slot;
	}
	if (member != NULL) {
		member->client = client;
		member->resumed = client->resumed;
	}
	return member;
}

int tmem_member_enter(struct tmem_member *member, uint32_t id, struct tmem_pool *pool)
{
	struct tmem_member **members =
		realloc(pool->members, (pool->member_count + 1) * sizeof(*members));
	uint32_t at;

	if (members == NULL)
		return -ENOMEM;
	pool->members = members;
	for (at = pool->member_count; at > 0 && members[at - 1]->joined > member->joined; at--)
		members[at] = members[at - 1];
	members[at] = member;
	pool->member_count++;
	if (member->joined >= pool->next_joined)
		pool->next_joined = member->joined + 1;
	member->client->member_count++;
	atomic_store(&member->pool, pool);
	atomic_store(&member->serial, atomic_load(&pool->serial));
	atomic_store(&member->id, id);
	return 0;
}

void tmem_member_leave(struct tmem_member *member)
{
	struct tmem_pool *pool = atomic_load(&member->pool);
	uint32_t at = 0;

	atomic_store(&member->id, -1);
	while (pool->members[at] != member)
		at++;
	pool->member_count--;
	for (; at < pool->member_count; at++)
		pool->members[at] = pool->members[at + 1];
	member->client->member_count--;
}

void tmem_member_settle(struct tmem_member *member)
{
	for (size_t i = 0; i < sizeof(member->counters) / sizeof(member->counters[0]); i++)
		member->client->counters_gone[i] += atomic_exchange(&member->counters[i], 0);
}

struct tmem_member *tmem_member_find(struct tmem_client *client, uint32_t untrusted_id)
{
	uint32_t slot = untrusted_id & (TMEM_POOLS_PER_CLIENT_MAX - 1);
	struct tmem_member *chunk = atomic_load(&client->chunks[slot / TMEM_MEMBER_CHUNK]);

	if (chunk == NULL ||
	    atomic_load(&chunk[slot % TMEM_MEMBER_CHUNK].id) != (int64_t)untrusted_id)
		return NULL;
	return &chunk[slot % TMEM_MEMBER_CHUNK];
}

void tmem_members_visit(struct tmem_client *client,
			void (*visit)(struct tmem_member *member, void *context), void *context)
{
	for (size_t i = 0; i < TMEM_POOLS_PER_CLIENT_MAX / TMEM_MEMBER_CHUNK; i++) {
		struct tmem_member *chunk = atomic_load(&client->chunks[i]);

		for (int at = 0; chunk != NULL && at < TMEM_MEMBER_CHUNK; at++)
			if (atomic_load(&chunk[at].id) >= 0)
				visit(&chunk[at], context);
	}
}
