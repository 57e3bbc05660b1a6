/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Opening, closing, budget and the numbers of the whole. */
#include <stdlib.h>
#include <sys/random.h>

#include "arena.h"
#include "group.h"
#include "lists.h"
#include "pages.h"
#include "policy.h"
#include "reclaim.h"
#include "recover.h"
#include "registry.h"
#include "rows.h"
#include "slots.h"

enum { BUDGET_DEFAULT_BYTES = 256 << 20 };

static int engine_init(struct tmem_engine *engine, uint64_t budget_bytes, struct tmem_error *error)
{
	uint64_t max_bytes = engine->header.max_extents * engine->header.extent_bytes;

	if (budget_bytes == 0)
		budget_bytes = max_bytes < BUDGET_DEFAULT_BYTES ? max_bytes : BUDGET_DEFAULT_BYTES;
	if (budget_bytes > max_bytes)
		return tmem_fail(error, -EINVAL,
				 "a budget of %llu bytes, but the arena was made for %llu at most",
				 (unsigned long long)budget_bytes, (unsigned long long)max_bytes);
	if (getrandom(&engine->hash_seed, sizeof(engine->hash_seed), 0) !=
	    sizeof(engine->hash_seed))
		return tmem_fail(error, -EIO, "no random numbers from the host");
	atomic_store(&engine->budget_bytes, budget_bytes);
	atomic_store(&engine->eviction, &tmem_eviction_lru);
	atomic_store(&engine->admission, &tmem_admission_always);
	tmem_lock_init(&engine->scrub_lock, TMEM_RANK_CLIENT);
	tmem_slots_init(engine);
	if (tmem_registry_init(engine) != 0 || tmem_shards_init(engine) != 0)
		return tmem_fail(error, -ENOMEM, "out of memory");
	return tmem_recover(engine, error);
}

int tmem_engine_open(const char *path, const struct tmem_options *options, struct tmem_engine **ret,
		     struct tmem_error *error)
{
	struct tmem_engine *engine = calloc(1, sizeof(*engine));
	int code;

	*ret = NULL;
	if (engine == NULL)
		return tmem_fail(error, -ENOMEM, "%s: out of memory", path);
	code = tmem_arena_open(engine, path, options, error);
	if (code != 0) {
		free(engine);
		return code;
	}
	code = engine_init(engine, options->budget_bytes, error);
	if (code != 0) {
		tmem_engine_close(engine);
		return code;
	}
	/* An arena opened with a smaller budget than it was filled with gives back at once. */
	if (atomic_load(&engine->resident_bytes) > atomic_load(&engine->budget_bytes))
		(void)tmem_engine_set_budget(engine, atomic_load(&engine->budget_bytes), NULL);
	*ret = engine;
	return 0;
}

void tmem_engine_close(struct tmem_engine *engine)
{
	if (engine == NULL)
		return;
	tmem_registry_deinit(engine);
	tmem_groups_deinit(engine);
	tmem_shards_deinit(engine);
	tmem_slots_deinit(engine);
	tmem_lock_deinit(&engine->scrub_lock);
	tmem_free(engine, engine->ghosts, TMEM_GHOSTS * sizeof(*engine->ghosts));
	tmem_arena_close(engine);
	free(engine);
}

void tmem_engine_identity(struct tmem_engine *engine, uint8_t *ret)
{
	/* of the key, which stays secret */
	XXH128_hash_t hash = XXH3_128bits(engine->header.key, sizeof(engine->header.key));

	memcpy(ret, &hash, TMEM_IDENTITY_BYTES);
}

/* ---- giving memory back ---- */

/* What persistent pages need, packed into whole extents of their classes, and the tables, whose
 * rows are not moved. */
static uint64_t held_bytes(struct tmem_engine *engine)
{
	uint64_t extents = atomic_load(&engine->classes[TMEM_CLASS_ROW].extents);
	uint64_t bytes;

	for (unsigned int class = 0; class < TMEM_CLASS_ROW; class += 1) {
		uint64_t slots = tmem_class_slots(class, engine->header.extent_bytes);

		extents += (atomic_load(&engine->held_slots[class]) + slots - 1) / slots;
	}
	tmem_lock(&engine->arena_lock);
	bytes = extents * engine->header.extent_bytes + engine->table_reserved_bytes;
	tmem_unlock(&engine->arena_lock);
	return bytes;
}

static uint64_t shrink(struct tmem_engine *engine, uint64_t bytes,
		       struct tmem_shrink_report *report)
{
	uint64_t before = atomic_load(&engine->returned_bytes);
	uint64_t returned = tmem_arena_return_idle(engine, bytes);
	int failures = 0;

	while (returned < bytes) {
		if (!tmem_compact_one(engine, true, &report->moved_pages)) {
			uint32_t evicted = tmem_evict_one(engine, NULL);

			report->evicted_pages += evicted;
			failures = evicted > 0 ? 0 : failures + 1;
			if (failures > 2)
				break;
		}
		(void)tmem_arena_return_idle(engine, bytes - returned);
		/* above the budget, extents go back by themselves as they empty */
		returned = atomic_load(&engine->returned_bytes) - before;
	}
	return returned;
}

void tmem_engine_shrink(struct tmem_engine *engine, uint64_t bytes,
			struct tmem_shrink_report *report)
{
	uint64_t resident, held;

	memset(report, 0, sizeof(*report));
	report->asked_bytes = bytes;
	report->returned_bytes = shrink(engine, bytes, report);
	if (report->returned_bytes >= bytes)
		return;
	resident = atomic_load(&engine->resident_bytes);
	held = held_bytes(engine);
	report->held_persistent_bytes = held < resident ? held : resident;
	report->held_busy_bytes = resident - report->held_persistent_bytes;
}

int tmem_engine_set_budget(struct tmem_engine *engine, uint64_t budget_bytes,
			   struct tmem_shrink_report *report)
{
	struct tmem_shrink_report unused;
	uint64_t resident;

	if (report == NULL)
		report = &unused;
	memset(report, 0, sizeof(*report));
	if (budget_bytes > engine->header.max_extents * engine->header.extent_bytes)
		return TMEM_EINVAL;
	atomic_store(&engine->budget_bytes, budget_bytes);
	resident = atomic_load(&engine->resident_bytes);
	if (resident > budget_bytes)
		tmem_engine_shrink(engine, resident - budget_bytes, report);
	return 0;
}

/* ---- switches ---- */

int tmem_engine_set_shared_auth_all(struct tmem_engine *engine, int allow)
{
	int code;

	tmem_lock(&engine->control);
	code = tmem_host_write(engine, allow != 0);
	if (code == 0)
		engine->shared_auth_all = allow != 0;
	tmem_unlock(&engine->control);
	return code;
}

int tmem_engine_shared_auth_all(struct tmem_engine *engine)
{
	int allow;

	tmem_lock(&engine->control);
	allow = engine->shared_auth_all;
	tmem_unlock(&engine->control);
	return allow;
}

static int set_admission(struct tmem_engine *engine, const struct tmem_policy_admission *policy)
{
	if (policy->uses_ghosts && engine->ghosts == NULL) {
		engine->ghosts = tmem_alloc(engine, TMEM_GHOSTS * sizeof(*engine->ghosts));
		if (engine->ghosts == NULL)
			return TMEM_ENOMEM;
	}
	atomic_store_explicit(&engine->admission, policy, memory_order_release);
	return 0;
}

int tmem_engine_set_policy(struct tmem_engine *engine, const char *eviction, const char *admission)
{
	const struct tmem_policy_admission *policy = NULL;
	int code = 0;

	if (eviction != NULL && strcmp(eviction, tmem_eviction_lru.name) != 0)
		return TMEM_EINVAL;
	if (admission != NULL && strcmp(admission, tmem_admission_always.name) == 0)
		policy = &tmem_admission_always;
	else if (admission != NULL && strcmp(admission, tmem_admission_second_chance.name) == 0)
		policy = &tmem_admission_second_chance;
	else if (admission != NULL)
		return TMEM_EINVAL;
	tmem_lock(&engine->control);
	if (policy != NULL)
		code = set_admission(engine, policy);
	tmem_unlock(&engine->control);
	return code;
}

/* ---- numbers ---- */

static void usage_of_classes(struct tmem_engine *engine, struct tmem_usage *ret)
{
	for (unsigned int class = 0; class < TMEM_CLASSES; class += 1) {
		uint64_t used = atomic_load(&engine->classes[class].used_slots);

		ret->record_bytes += used * tmem_class_record_bytes(class);
		ret->slot_bytes += used * tmem_class_slot_bytes(class);
		ret->payload_bytes += atomic_load(&engine->classes[class].payload_bytes);
	}
}

static void usage_of_pools(struct tmem_engine *engine, struct tmem_usage *ret)
{
	for (uint32_t i = 0; i < engine->pool_slots; i++) {
		struct tmem_pool *pool = engine->pools[i];

		if (atomic_load(&pool->state) != TMEM_POOL_LIVE)
			continue;
		ret->pools++;
		ret->shared_pools += tmem_pool_shared(pool);
		ret->unserved_pools += !atomic_load(&pool->served);
		ret->objects += atomic_load(&pool->objects);
		if (tmem_pool_persistent(pool))
			ret->persistent_pages += atomic_load(&pool->pages);
		else
			ret->ephemeral_pages += atomic_load(&pool->pages);
	}
}

void tmem_engine_usage(struct tmem_engine *engine, struct tmem_usage *ret)
{
	uint64_t held;

	memset(ret, 0, sizeof(*ret));
	ret->budget_bytes = atomic_load(&engine->budget_bytes);
	ret->extent_bytes = engine->header.extent_bytes;
	ret->max_bytes = engine->header.max_extents * engine->header.extent_bytes;
	usage_of_classes(engine, ret);
	ret->heap_bytes = atomic_load(&engine->heap_bytes);
	tmem_lock(&engine->control);
	for (uint32_t i = 0; i < engine->client_slots; i++)
		ret->clients += engine->clients[i] != NULL;
	usage_of_pools(engine, ret);
	tmem_unlock(&engine->control);
	tmem_lock(&engine->arena_lock);
	ret->resident_bytes = atomic_load(&engine->resident_bytes);
	ret->idle_bytes = engine->idle_count * engine->header.extent_bytes;
	tmem_unlock(&engine->arena_lock);
	held = held_bytes(engine);
	ret->freeable_bytes = ret->resident_bytes > held ? ret->resident_bytes - held : 0;
}

void tmem_engine_recovery(struct tmem_engine *engine, struct tmem_recovery *ret)
{
	tmem_lock(&engine->scrub_lock);
	*ret = engine->recovery;
	tmem_unlock(&engine->scrub_lock);
}
