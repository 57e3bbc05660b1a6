// SPDX-License-Identifier: GPL-2.0-or-later
#include "core.h"
#include "frontends.h"

/*
 * As Xen's shim: all areas share one persistent pool. An area's slots are spread over sixteen
 * objects by their low bits, so that neighbouring slots meet in different objects' locks; sixteen
 * flushes of an object empty it.
 */
enum { SPREAD_BITS = 4, SPREAD_MASK = (1 << SPREAD_BITS) - 1 };

static struct tmem_oid oid_of(uint32_t type, uint64_t offset)
{
	return (struct tmem_oid){{(uint64_t)type << SPREAD_BITS | (offset & SPREAD_MASK), 0, 0}};
}

static uint64_t stripe_words_of(uint64_t pages)
{
	return ((pages >> SPREAD_BITS) + 1 + 63) / 64;
}

uint64_t tmem_frontswap_area_bytes(uint64_t pages)
{
	uint64_t words = (stripe_words_of(pages)) << SPREAD_BITS;

	return (words + (words + 63) / 64) * sizeof(uint64_t);
}

static int init(struct tmem_shim *shim, uint32_t type, uint64_t pages, void *memory)
{
	struct tmem_area *area = &shim->areas[type];

	if (area->owed)
		return TMEM_EEXIST;
	if (shim->swap_pool == shim->config.pools)
		return TMEM_EMFILE;
	area->pages = pages;
	area->stripe_words = stripe_words_of(pages);
	area->owed_words = (uint64_t *)memory + (area->stripe_words << SPREAD_BITS);
	area->owed_pages = area->cursor = 0;
	area->owed_objects = 0;
	area->owed = memory;
	return TMEM_DONE;
}

/* The pool, made when the first area needs it. */
static void need_pool(struct tmem_shim *shim)
{
	unsigned long flags;
	int id;

	flags = tmem_shim_lock(shim);
	id = shim->swap_pool == shim->config.pools ? -1 : 0;
	tmem_shim_unlock(shim, flags);
	if (!id)
		return;
	id = tmem_shim_new_pool(shim, TMEM_POOL_PERSISTENT, NULL);
	if (id < 0)
		return;
	flags = tmem_shim_lock(shim);
	shim->swap_pool = (uint32_t)id % shim->config.pools;
	shim->pools[shim->swap_pool].swap = true;
	tmem_shim_unlock(shim, flags);
}

int tmem_frontswap_lend(struct tmem_shim *shim, uint32_t type, uint64_t pages,
			struct tmem_area_memory *lent, void *(*allocate)(uint64_t bytes),
			void (*release)(void *memory))
{
	int result;

	if (lent->memory && lent->pages != pages) {
		if (tmem_frontswap_forget_area(shim, type, 0) != TMEM_DONE)
			return TMEM_EBUSY;
		release(lent->memory);
		lent->memory = NULL;
	}
	if (!lent->memory)
		lent->memory = allocate(tmem_frontswap_area_bytes(pages));
	if (!lent->memory)
		return TMEM_ENOMEM;
	lent->pages = pages;
	result = tmem_frontswap_init(shim, type, pages, lent->memory);
	return result == TMEM_EEXIST ? TMEM_DONE : result;
}

int tmem_frontswap_init(struct tmem_shim *shim, uint32_t type, uint64_t pages, void *memory)
{
	unsigned long flags;
	int result;

	if (type >= TMEM_SWAP_AREAS || !memory)
		return TMEM_EINVAL;
	need_pool(shim);
	/* not under the lock: it may be megabytes */
	if (!__atomic_load_n(&shim->areas[type].owed, __ATOMIC_RELAXED))
		memset(memory, 0, tmem_frontswap_area_bytes(pages));
	flags = tmem_shim_lock(shim);
	result = init(shim, type, pages, memory);
	tmem_shim_unlock(shim, flags);
	return result;
}

/* The id of the pool if slot @offset of @type may be in it, else TMEM_NO_HOST_POOL. */
static uint32_t pool_of(struct tmem_shim *shim, uint32_t type, uint64_t offset)
{
	unsigned long flags = tmem_shim_lock(shim);
	uint32_t id = TMEM_NO_HOST_POOL;

	if (type < TMEM_SWAP_AREAS && shim->areas[type].owed && offset < shim->areas[type].pages)
		id = shim->pools[shim->swap_pool].id;
	tmem_shim_unlock(shim, flags);
	return id;
}

static void count(struct tmem_shim *shim, uint64_t *counter)
{
	unsigned long flags = tmem_shim_lock(shim);

	(*counter)++;
	tmem_shim_unlock(shim, flags);
}

static void fill(struct tmem_shim *shim, struct tmem_shim_request *request, uint32_t op,
		 uint32_t type, uint64_t offset, const void *page)
{
	memset(request, 0, sizeof(*request));
	request->op = op;
	request->pool = pool_of(shim, type, offset);
	request->oid = oid_of(type, offset);
	request->index = offset >> SPREAD_BITS;
	request->page = (void *)page;
}

int tmem_frontswap_store_start(struct tmem_shim *shim, uint32_t type, uint64_t offset,
			       const void *page, struct tmem_shim_request *request)
{
	fill(shim, request, TMEM_OP_PUT_PAGE, type, offset, page);
	return tmem_shim_start(shim, request);
}

int tmem_frontswap_store(struct tmem_shim *shim, uint32_t type, uint64_t offset, const void *page)
{
	struct tmem_shim_request request;
	int result = tmem_frontswap_store_start(shim, type, offset, page, &request);

	if (result == TMEM_SHIM_PENDING)
		result = tmem_shim_wait(shim, &request);
	count(shim, result == TMEM_DONE ? &shim->counters.stores
					: (uint64_t *)((uint8_t *)&shim->counters + request.why));
	return result;
}

static int lost(struct tmem_shim *shim, const struct tmem_shim_request *request)
{
	const struct tmem_shim_callbacks *callbacks = &shim->callbacks;
	struct tmem_platform_done never;

	count(shim, &shim->counters.loads_lost);
	if (!callbacks->lost || callbacks->lost(callbacks->context, request->pool, &request->oid,
						request->index) == TMEM_SHIM_FAIL)
		return TMEM_EUCLEAN;
	tmem_platform_done_init(&never);
	while (tmem_platform_done_wait(&never, TMEM_NEVER) != TMEM_WAIT_REFUSED)
		;
	return TMEM_EUCLEAN;
}

int tmem_frontswap_load_start(struct tmem_shim *shim, uint32_t type, uint64_t offset, void *page,
			      struct tmem_shim_request *request)
{
	fill(shim, request, TMEM_OP_GET_PAGE, type, offset, page);
	return tmem_shim_start(shim, request);
}

int tmem_frontswap_load(struct tmem_shim *shim, uint32_t type, uint64_t offset, void *page)
{
	struct tmem_shim_request request;
	int result = tmem_frontswap_load_start(shim, type, offset, page, &request);

	if (result == TMEM_SHIM_PENDING)
		result = tmem_shim_wait(shim, &request);
	if (result != TMEM_DONE)
		return lost(shim, &request);
	count(shim, &shim->counters.loads);
	return TMEM_DONE;
}

void tmem_frontswap_invalidate_page(struct tmem_shim *shim, uint32_t type, uint64_t offset)
{
	uint32_t id = pool_of(shim, type, offset);
	struct tmem_oid oid = oid_of(type, offset);

	tmem_shim_flush_page(shim, id, &oid, offset >> SPREAD_BITS);
}

void tmem_frontswap_invalidate_area(struct tmem_shim *shim, uint32_t type)
{
	unsigned long flags;

	if (pool_of(shim, type, 0) == TMEM_NO_HOST_POOL)
		return;
	flags = tmem_shim_lock(shim);
	if (shim->pools[shim->swap_pool].state == TMEM_SHIM_POOL_READY) {
		tmem_area_settle_all(shim, &shim->areas[type]);
		shim->areas[type].owed_objects = (1u << (1 << SPREAD_BITS)) - 1;
		shim->owing_areas |= 1u << type;
	}
	tmem_shim_advance(shim);
	tmem_shim_unlock(shim, flags);
}

int tmem_frontswap_forget_area(struct tmem_shim *shim, uint32_t type, uint32_t timeout_ms)
{
	struct tmem_area *area = &shim->areas[type];
	struct tmem_platform_done never;
	unsigned long flags;
	uint64_t now_ns, end_ns = 0;
	bool owes;

	if (pool_of(shim, type, 0) == TMEM_NO_HOST_POOL)
		return TMEM_DONE;
	tmem_platform_done_init(&never);
	for (;;) {
		flags = tmem_shim_lock(shim);
		now_ns = tmem_shim_now(shim);
		if (!end_ns)
			end_ns = now_ns + timeout_ms * TMEM_NS_PER_MS;
		tmem_shim_advance(shim);
		owes = area->owed_pages || area->owed_objects;
		if (!owes)
			area->owed = NULL;
		tmem_shim_unlock(shim, flags);
		if (!owes)
			return TMEM_DONE;
		if (now_ns >= end_ns)
			return TMEM_EBUSY;
		if (!tmem_platform_done_poll(&never) &&
		    tmem_platform_done_wait(&never, 10 * TMEM_NS_PER_MS) == TMEM_WAIT_REFUSED)
			return TMEM_EBUSY;
	}
}
