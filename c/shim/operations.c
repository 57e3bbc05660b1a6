// SPDX-License-Identifier: GPL-2.0-or-later
#include "core.h"

/* The operations as callers see them: find the pool, begin, go on. */

static int begin_stat(struct tmem_shim *shim, struct tmem_shim_request *request)
{
	if (shim->state != TMEM_SHIM_RUNNING || !tmem_queue_room(shim, false, false))
		return TMEM_EAGAIN;
	tmem_queue_append(shim, TMEM_OP_STAT, shim->config.pools, NULL, 0, false);
	tmem_shim_request_begin(shim, request, shim->giveup_ms);
	tmem_shim_request_attach(shim, request, shim->head - 1, TMEM_REQUEST_QUEUED);
	return TMEM_SHIM_PENDING;
}

static int begin(struct tmem_shim *shim, struct tmem_shim_request *request)
{
	struct tmem_shim_pool *pool;

	if (shim->ending)
		return request->op == TMEM_OP_GET_PAGE ? TMEM_MISS : TMEM_ENODEV;
	if (request->op == TMEM_OP_STAT)
		return begin_stat(shim, request);
	pool = tmem_pool_find(shim, request->pool);
	if (!pool)
		return TMEM_ENODEV;
	switch (request->op) {
	case TMEM_OP_PUT_PAGE:
		return tmem_put_begin(shim, pool, &request->oid, request->index, request->page,
				      request);
	case TMEM_OP_GET_PAGE:
		return tmem_get_begin(shim, pool, request);
	case TMEM_OP_FLUSH_PAGE:
	case TMEM_OP_FLUSH_OBJECT:
	case TMEM_OP_FLUSH_POOL:
	case TMEM_OP_FLUSH_RANGE:
		if (request->op == TMEM_OP_FLUSH_RANGE &&
		    (!request->count ||
		     (request->count > TMEM_WIRE_RANGE_MAX && tmem_pool_persistent(pool))))
			return TMEM_EINVAL;
		return tmem_flush_begin(shim, pool, (uint8_t)request->op, &request->oid,
					request->index, request->count, request);
	case TMEM_OP_DESTROY_POOL:
		return tmem_pool_destroy_begin(shim, pool, request);
	default:
		return TMEM_EINVAL;
	}
}

int tmem_shim_start(struct tmem_shim *shim, struct tmem_shim_request *request)
{
	unsigned long flags;
	int result;

	tmem_platform_done_init(&request->done);
	request->is_load = 0;
	request->bytes = 0;
	TMEM_WHY(request, no_pool);
	flags = tmem_shim_lock(shim);
	result = begin(shim, request);
	if (result != TMEM_SHIM_PENDING) {
		request->state = TMEM_REQUEST_DONE;
		request->result = result;
	}
	/* a get makes nothing that was owed, or that waited, possible */
	if (request->op != TMEM_OP_GET_PAGE)
		tmem_shim_advance(shim);
	tmem_shim_unlock(shim, flags);
	return result;
}

static int start_and_wait(struct tmem_shim *shim, struct tmem_shim_request *request)
{
	int result = tmem_shim_start(shim, request);

	return result == TMEM_SHIM_PENDING ? tmem_shim_wait(shim, request) : result;
}

int tmem_shim_put(struct tmem_shim *shim, uint32_t id, const struct tmem_oid *oid, uint64_t index,
		  const void *page)
{
	unsigned long flags = tmem_shim_lock(shim);
	struct tmem_shim_pool *pool = tmem_pool_find(shim, id);
	int result = TMEM_ENODEV;

	if (pool && !shim->ending)
		result = tmem_pool_persistent(pool)
				 ? TMEM_EINVAL
				 : tmem_put_begin(shim, pool, oid, index, page, NULL);
	tmem_shim_advance(shim);
	tmem_shim_unlock(shim, flags);
	return result;
}

int tmem_shim_put_wait(struct tmem_shim *shim, uint32_t pool, const struct tmem_oid *oid,
		       uint64_t index, const void *page)
{
	struct tmem_shim_request request = {
		.op = TMEM_OP_PUT_PAGE, .pool = pool, .oid = *oid, .index = index};

	request.page = (void *)page;
	return start_and_wait(shim, &request);
}

int tmem_shim_get(struct tmem_shim *shim, uint32_t pool, const struct tmem_oid *oid, uint64_t index,
		  void *page)
{
	struct tmem_shim_request request = {
		.op = TMEM_OP_GET_PAGE, .pool = pool, .oid = *oid, .index = index, .page = page};

	return start_and_wait(shim, &request);
}

static int flush(struct tmem_shim *shim, uint8_t op, uint32_t id, const struct tmem_oid *oid,
		 uint64_t index)
{
	unsigned long flags = tmem_shim_lock(shim);
	struct tmem_shim_pool *pool = tmem_pool_find(shim, id);
	int result = TMEM_ENODEV;

	if (pool && !shim->ending)
		result = tmem_flush_begin(shim, pool, op, oid, index, 1, NULL);
	tmem_shim_advance(shim);
	tmem_shim_unlock(shim, flags);
	return result;
}

int tmem_shim_flush_page(struct tmem_shim *shim, uint32_t pool, const struct tmem_oid *oid,
			 uint64_t index)
{
	return flush(shim, TMEM_OP_FLUSH_PAGE, pool, oid, index);
}

int tmem_shim_flush_object(struct tmem_shim *shim, uint32_t pool, const struct tmem_oid *oid)
{
	return flush(shim, TMEM_OP_FLUSH_OBJECT, pool, oid, 0);
}

int tmem_shim_flush_pool(struct tmem_shim *shim, uint32_t pool)
{
	static const struct tmem_oid none;

	return flush(shim, TMEM_OP_FLUSH_POOL, pool, &none, 0);
}

int tmem_shim_flush_page_wait(struct tmem_shim *shim, uint32_t pool, const struct tmem_oid *oid,
			      uint64_t index)
{
	struct tmem_shim_request request = {
		.op = TMEM_OP_FLUSH_PAGE, .pool = pool, .oid = *oid, .index = index, .count = 1};

	return start_and_wait(shim, &request);
}

int tmem_shim_flush_object_wait(struct tmem_shim *shim, uint32_t pool, const struct tmem_oid *oid)
{
	struct tmem_shim_request request = {.op = TMEM_OP_FLUSH_OBJECT, .pool = pool, .oid = *oid};

	return start_and_wait(shim, &request);
}

int tmem_shim_destroy_pool(struct tmem_shim *shim, uint32_t pool)
{
	struct tmem_shim_request request = {.op = TMEM_OP_DESTROY_POOL, .pool = pool};

	return start_and_wait(shim, &request);
}

int tmem_shim_stat(struct tmem_shim *shim, void *map)
{
	struct tmem_shim_request request = {.op = TMEM_OP_STAT, .page = map};
	int result = start_and_wait(shim, &request);

	return result == TMEM_DONE ? (int)request.bytes : result;
}

void tmem_shim_accept_stores(struct tmem_shim *shim, int accept)
{
	unsigned long flags = tmem_shim_lock(shim);

	shim->no_stores = !accept;
	tmem_shim_unlock(shim, flags);
}

void tmem_shim_end(struct tmem_shim *shim)
{
	unsigned long flags = tmem_shim_lock(shim);

	shim->ending = true;
	while (shim->active)
		tmem_shim_request_finish(shim, shim->active,
					 shim->active->op == TMEM_OP_GET_PAGE ? TMEM_MISS
									      : TMEM_DONE);
	if (shim->state != TMEM_SHIM_RUNNING)
		shim->state = TMEM_SHIM_ENDED;
	shim->wake_wanted = true;
	tmem_shim_unlock(shim, flags);
}

int tmem_shim_save(struct tmem_shim *shim, struct tmem_shim_saved *ret)
{
	unsigned long flags = tmem_shim_lock(shim);
	int result = 0;

	if (!shim->session)
		result = TMEM_ENOENT;
	else if (shim->answered != shim->head || tmem_owed_anything(shim))
		result = TMEM_EBUSY;
	ret->session = shim->session;
	ret->tag = shim->answered_tag;
	ret->epoch = shim->epoch;
	ret->digest = shim->answered_digest;
	ret->confirmed = shim->confirmed;
	tmem_shim_unlock(shim, flags);
	return result;
}

void tmem_shim_restore(struct tmem_shim *shim, const struct tmem_shim_saved *saved)
{
	unsigned long flags = tmem_shim_lock(shim);

	shim->session = saved->session;
	shim->epoch = saved->epoch;
	shim->last_tag = shim->answered_tag = saved->tag;
	shim->last_digest = shim->answered_digest = saved->digest;
	shim->confirmed = saved->confirmed;
	tmem_shim_unlock(shim, flags);
}
