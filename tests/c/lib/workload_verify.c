/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Setting a workload up, finding it again, and comparing its logs with an engine. */
#include <stdio.h>
#include <string.h>

#include "check.h"
#include "page.h"
#include "setup.h"
#include "workload.h"
#include "workload_area.h"

static const uint8_t shared_uuid[TMEM_UUID_BYTES] = {1, 2, 3, 4, 5, 6, 7, 8};

static void client_name(unsigned int client, char *name)
{
	snprintf(name, TMEM_CLIENT_NAME_MAX + 1, "worker-%u", client);
}

void work_create(struct work *work, struct tmem_engine *engine)
{
	char name[TMEM_CLIENT_NAME_MAX + 1];

	work->engine = engine;
	CHECK_EQ(tmem_engine_set_shared_auth_all(engine, 1), 0);
	for (unsigned int i = 0; i < WORK_CLIENTS; i++) {
		client_name(i, name);
		CHECK_EQ(tmem_client_create(engine, name, &work->clients[i]), 0);
		work->persistent_pool[i] = setup_pool(work->clients[i], TMEM_POOL_PERSISTENT);
		work->ephemeral_pool[i] = setup_pool(work->clients[i], 0);
		work->shared_pool[i] =
			setup_pool_of(work->clients[i], TMEM_POOL_SHARED, shared_uuid);
	}
	memset(work->logs, 0, (WORK_ACTORS + 1) * sizeof(*work->logs));
	for (unsigned int i = 0; i < WORK_ACTORS; i++)
		work->logs[i].own_pool = -1;
}

void work_find(struct work *work, struct tmem_engine *engine)
{
	struct tmem_client *client;
	char name[TMEM_CLIENT_NAME_MAX + 1];

	work->engine = engine;
	for (unsigned int i = 0; i < WORK_CLIENTS; i++) {
		client_name(i, name);
		CHECK_EQ(tmem_client_find(engine, name, &work->clients[i]), 0);
	}
	for (int64_t uid = -1; tmem_client_next(engine, uid, &client) == 0;) {
		struct tmem_client_info info;

		tmem_client_info(client, &info);
		CHECK_EQ(tmem_client_resume(client), 0);
		tmem_client_release(client);
		uid = info.uid;
	}
}

void work_release(struct work *work)
{
	for (unsigned int i = 0; i < WORK_CLIENTS; i++)
		tmem_client_release(work->clients[i]);
}

/* ---- comparing -------------------------------------------------------------------------- */

static bool under_way(const struct work_log *log, uint32_t area, uint32_t page)
{
	return log->action != WORK_IDLE && log->area == area && page - log->first < log->count;
}

static bool right(const struct work *work, const struct work_log *log,
		  const struct work_place *place, uint32_t area, uint32_t page, uint32_t value)
{
	bool pending = under_way(log, area, page);

	if (value == log->value[area][page])
		return true;
	if (value == 0)
		return !place->persistent ||
		       (pending && (log->action != WORK_PUT || work->may_refuse));
	return pending && log->action == WORK_PUT && value == log->new_value;
}

static void verify_page(struct work *work, unsigned int actor, uint32_t area, uint32_t page,
			bool readable)
{
	struct work_log *log = &work->logs[actor];
	struct work_place place = work_place(work, actor, area, NULL);
	unsigned char contents[TMEM_PAGE_BYTES];
	uint32_t value = 0;
	int result = TMEM_MISS;

	if (readable)
		result = tmem_get(place.client, place.pool, &place.oid, place.first_index + page,
				  contents);
	if (result == TMEM_DONE) {
		value = page_read(contents);
		if (value == 0)
			check_failed(__FILE__, __LINE__, "actor %u area %u page %u is torn", actor,
				     area, page);
	} else if (result != TMEM_MISS && result != TMEM_EEMPTY) {
		check_failed(__FILE__, __LINE__, "get of actor %u area %u page %u gives %d", actor,
			     area, page, result);
	}
	log->gets += readable;
	if (!right(work, log, &place, area, page, value))
		check_failed(__FILE__, __LINE__,
			     "actor %u area %u page %u holds %#x, acknowledged is %#x, "
			     "under way is %u of %#x",
			     actor, area, page, value, log->value[area][page],
			     under_way(log, area, page) ? log->action : WORK_IDLE, log->new_value);
	log->value[area][page] = value;
}

/* The number of pages that pool @id of @client says it has; -1 if there is no such pool. */
static int64_t pages_of(struct tmem_client *client, uint32_t id)
{
	struct tmem_pool_info info;

	return tmem_pool_info(client, id, &info) == 0 ? (int64_t)info.pages : -1;
}

static int64_t count_found(const struct work *work, unsigned int client, enum work_area area)
{
	int64_t found = 0;

	for (unsigned int actor = 0; actor < WORK_ACTORS; actor++)
		for (int i = 0; i < WORK_AREA_PAGES; i++)
			if (client == WORK_CLIENTS || actor % WORK_CLIENTS == client)
				found += work->logs[actor].value[area][i] != 0;
	return found;
}

static void verify_counts(const struct work *work, const int64_t *before)
{
	for (unsigned int i = 0; i < WORK_CLIENTS; i++) {
		CHECK_EQ(count_found(work, i, WORK_PERSISTENT) +
				 count_found(work, i, WORK_PERSISTENT_COMMON),
			 before[i]);
		CHECK_EQ(count_found(work, i, WORK_EPHEMERAL) +
				 count_found(work, i, WORK_EPHEMERAL_COMMON),
			 before[WORK_CLIENTS + i]);
	}
	CHECK_EQ(count_found(work, WORK_CLIENTS, WORK_SHARED) +
			 count_found(work, WORK_CLIENTS, WORK_SHARED_COMMON),
		 before[2 * WORK_CLIENTS]);
}

static void verify_own(struct work *work, unsigned int actor)
{
	struct work_log *log = &work->logs[actor];
	struct tmem_client *client = work->clients[actor % WORK_CLIENTS];
	int64_t pages = log->own_pool < 0 ? -1 : pages_of(client, (uint32_t)log->own_pool);
	int64_t found = 0;

	/* It may be missing only if it was being destroyed. */
	if (pages < 0)
		CHECK(log->own_pool < 0 || log->action == WORK_POOL);
	for (uint32_t page = 0; page < WORK_AREA_PAGES; page++) {
		verify_page(work, actor, WORK_OWN, page, pages >= 0);
		found += log->value[WORK_OWN][page] != 0;
	}
	CHECK_EQ(found, pages < 0 ? 0 : pages);
	if (pages < 0)
		log->own_pool = -1;
}

static bool known_pool(const struct work *work, unsigned int client, int64_t id)
{
	for (unsigned int actor = client; actor < WORK_ACTORS; actor += WORK_CLIENTS)
		if (work->logs[actor].own_pool == id)
			return true;
	return id == work->persistent_pool[client] || id == work->ephemeral_pool[client] ||
	       id == work->shared_pool[client];
}

/* A pool that was being made when the process died is there, unknown and empty. */
static void drop_nameless_pools(struct work *work, unsigned int client)
{
	int64_t id = -1;

	while ((id = tmem_pool_next(work->clients[client], id)) >= 0) {
		bool being_made = false;

		if (known_pool(work, client, id))
			continue;
		for (unsigned int actor = client; actor < WORK_ACTORS; actor += WORK_CLIENTS)
			being_made |= work->logs[actor].action == WORK_POOL;
		CHECK(being_made);
		CHECK_EQ(pages_of(work->clients[client], (uint32_t)id), 0);
		CHECK_EQ(tmem_pool_destroy(work->clients[client], (uint32_t)id), TMEM_DONE);
	}
}

void work_verify(struct work *work)
{
	int64_t before[2 * WORK_CLIENTS + 1];

	for (unsigned int i = 0; i < WORK_CLIENTS; i++) {
		drop_nameless_pools(work, i);
		before[i] = pages_of(work->clients[i], work->persistent_pool[i]);
		before[WORK_CLIENTS + i] = pages_of(work->clients[i], work->ephemeral_pool[i]);
	}
	before[2 * WORK_CLIENTS] = pages_of(work->clients[0], work->shared_pool[0]);
	for (unsigned int actor = 0; actor < WORK_ACTORS; actor++) {
		for (uint32_t area = 0; area < WORK_OWN; area++)
			for (uint32_t page = 0; page < WORK_AREA_PAGES; page++)
				verify_page(work, actor, area, page, true);
		verify_own(work, actor);
		work->logs[actor].action = WORK_IDLE;
	}
	verify_counts(work, before);
	/* Reading has taken the private ephemeral pages out. */
	for (unsigned int actor = 0; actor < WORK_ACTORS; actor++)
		for (uint32_t area = 0; area < WORK_AREAS; area++) {
			struct work_place place = work_place(work, actor, area, NULL);

			for (uint32_t i = 0;
			     !place.persistent && !place.shared && i < WORK_AREA_PAGES; i++)
				work->logs[actor].value[area][i] = 0;
		}
}
