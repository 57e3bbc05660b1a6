/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What an operator does while guests work: settings, shrinking, clients that come and go. */
#include <stdio.h>
#include <string.h>

#include "check.h"
#include "page.h"
#include "workload.h"

enum { VISITOR_PAGES = 8 };

static bool settle(struct work_log *log, bool right, const char *what)
{
	if (!right)
		snprintf(log->failure, sizeof(log->failure), "operator: %s", what);
	return right;
}

static bool change_settings(struct work *work, struct work_log *log, struct random *random)
{
	struct tmem_client *client = work->clients[random_below(random, WORK_CLIENTS)];
	struct tmem_client_info info;

	tmem_client_info(client, &info);
	info.settings.weight = random_below(random, 4);
	info.settings.encoding =
		random_below(random, 2) != 0 ? TMEM_ENCODING_LZ4 : TMEM_ENCODING_RAW;
	if (random_below(random, 8) == 0)
		info.settings.encoding = TMEM_ENCODING_ZSTD;
	info.settings.zstd_level = 1;
	info.settings.dedup = random_below(random, 2);
	if (work->may_refuse) {
		info.settings.frozen = random_below(random, 8) == 0;
		info.settings.cap_bytes = random_below(random, 3) == 0 ? 256 << 10 : 0;
		info.settings.persistent_quota_bytes = random_below(random, 3) == 0 ? 128 << 10 : 0;
	}
	return settle(log, tmem_client_set(client, &info.settings) == 0, "settings are refused");
}

static bool shrink(struct work *work, struct work_log *log, struct random *random,
		   uint64_t budget_bytes)
{
	struct tmem_shrink_report report;
	struct tmem_usage usage;

	if (work->may_refuse && random_below(random, 2) == 0) {
		tmem_engine_usage(work->engine, &usage);
		if (tmem_engine_set_budget(work->engine, usage.resident_bytes / 2, &report) != 0 ||
		    tmem_engine_set_budget(work->engine, budget_bytes, NULL) != 0)
			return settle(log, false, "a budget is refused");
		return true;
	}
	tmem_engine_shrink(work->engine, random_below(random, 1 << 20), &report);
	return settle(log, report.returned_bytes <= report.asked_bytes + (64 << 10),
		      "a shrink returns far more than was asked for");
}

static bool authorise(struct work *work, struct work_log *log, struct random *random)
{
	struct tmem_client *client = work->clients[random_below(random, WORK_CLIENTS)];
	uint8_t uuid[TMEM_UUID_BYTES] = {0xee, (uint8_t)random_below(random, 20)};
	int result = tmem_client_auth_add(client, uuid);

	if (result == TMEM_EEXIST)
		result = tmem_client_auth_remove(client, uuid);
	return settle(log, result == 0 || (work->may_refuse && result == TMEM_ENOMEM),
		      "an authorisation is refused");
}

/* A client that joins the shared pool, uses a pool of its own, and goes: leaving empties the
 * shared pool, and destroying the client ends its pools. */
static bool visit(struct work *work, struct work_log *log, struct random *random)
{
	static uint32_t visits;
	const uint8_t uuid[TMEM_UUID_BYTES] = {1, 2, 3, 4, 5, 6, 7, 8};
	uint32_t flags = TMEM_ABI_VERSION << TMEM_POOL_VERSION_SHIFT;
	struct tmem_oid oid = {.words = {random_next(random), 1, 2}};
	unsigned char contents[TMEM_PAGE_BYTES];
	struct tmem_client *client;
	char name[32];
	uint32_t shared_pool;
	uint32_t pool;
	uint32_t granted;
	int result;

	snprintf(name, sizeof(name), "visitor-%u", visits++ % 4);
	result = tmem_client_create(work->engine, name, &client);
	if (result == TMEM_EEXIST) /* left by a process that was killed */
		result = tmem_client_find(work->engine, name, &client);
	if (result == TMEM_ENOMEM && work->may_refuse)
		return true;
	if (result != 0)
		return settle(log, false, "a client can not be made");
	if (tmem_pool_new(client, NULL, flags | TMEM_POOL_PERSISTENT, &pool, &granted) == 0)
		for (uint32_t i = 0; i < VISITOR_PAGES; i++) {
			page_make(contents, page_value(PAGE_HALF, 1 + i));
			result = tmem_put(client, pool, &oid, i, contents);
			log->puts++;
		}
	if (random_below(random, 3) == 0 &&
	    tmem_pool_new(client, uuid, flags | TMEM_POOL_SHARED, &shared_pool, &granted) == 0 &&
	    random_below(random, 2) == 0 && tmem_pool_destroy(client, shared_pool) != TMEM_DONE)
		return settle(log, false, "a shared pool can not be left");
	result = tmem_client_destroy(client);
	tmem_client_release(client);
	return settle(log, result == 0, "a client can not be destroyed");
}

static bool look_around(struct work *work, struct work_log *log)
{
	struct tmem_counters counters;
	struct tmem_client_info client_info;
	struct tmem_pool_info pool_info;
	struct tmem_recovery recovery;
	struct tmem_client *client;
	struct tmem_usage usage;

	tmem_engine_usage(work->engine, &usage);
	tmem_engine_counters(work->engine, &counters);
	tmem_engine_recovery(work->engine, &recovery);
	for (int64_t uid = -1; tmem_client_next(work->engine, uid, &client) == 0;) {
		tmem_client_info(client, &client_info);
		tmem_client_counters(client, &counters);
		uid = client_info.uid;
		for (int64_t id = -1; (id = tmem_pool_next(client, id)) >= 0;)
			if (tmem_pool_info(client, (uint32_t)id, &pool_info) == 0 &&
			    pool_info.id != id) {
				tmem_client_release(client);
				return settle(log, false, "a pool tells another id");
			}
		tmem_client_release(client);
	}
	return settle(log, usage.idle_bytes <= usage.resident_bytes, "more is idle than resident");
}

bool work_operate(struct work *work, struct random *random, uint64_t budget_bytes)
{
	struct work_log *log = &work->logs[WORK_ACTORS];

	switch (random_below(random, 8)) {
	case 0:
		return change_settings(work, log, random);
	case 1:
		return shrink(work, log, random, budget_bytes);
	case 2:
		return authorise(work, log, random);
	case 3:
		return visit(work, log, random);
	case 4:
		return look_around(work, log);
	case 5:
		tmem_client_reclaim(work->clients[random_below(random, WORK_CLIENTS)],
				    random_below(random, 64 << 10));
		return true;
	case 6:
		return settle(log,
			      tmem_engine_set_policy(work->engine, "lru",
						     random_below(random, 8) == 0 ? "second-chance"
										  : "always") == 0,
			      "a policy is refused");
	default:
		tmem_engine_scrub(work->engine, 64);
		return true;
	}
}
