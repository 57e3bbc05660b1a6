// SPDX-License-Identifier: GPL-2.0-or-later
#include "core.h"

void tmem_shim_request_begin(struct tmem_shim *shim, struct tmem_shim_request *request,
			     uint64_t timeout_ms)
{
	request->next = NULL;
	request->active_previous = NULL;
	request->active_next = shim->active;
	if (shim->active)
		shim->active->active_previous = request;
	shim->active = request;
	request->outcome = 0;
	request->deadline_ns = timeout_ms == TMEM_NEVER
				       ? TMEM_NEVER
				       : tmem_shim_now(shim) + timeout_ms * TMEM_NS_PER_MS;
	shim->waiting++;
	shim->waiting_loads += request->is_load;
}

void tmem_shim_request_attach(struct tmem_shim *shim, struct tmem_shim_request *request,
			      uint64_t position, uint32_t state)
{
	struct tmem_entry *entry = tmem_entry_at(shim, position);

	request->state = state;
	request->entry = position;
	request->next = entry->requests;
	entry->requests = request;
}

void tmem_shim_request_wait_for_room(struct tmem_shim *shim, struct tmem_shim_request *request)
{
	request->state = TMEM_REQUEST_ROOM;
	request->next = NULL;
	if (shim->room_last)
		shim->room_last->next = request;
	else
		shim->room_first = request;
	shim->room_last = request;
}

bool tmem_shim_lacks_room(const struct tmem_shim *shim)
{
	return __atomic_load_n(&shim->room_first, __ATOMIC_RELAXED) != NULL;
}

static void unlink_from(struct tmem_shim_request **list, struct tmem_shim_request *request)
{
	while (*list != request)
		list = &(*list)->next;
	*list = request->next;
	request->next = NULL;
}

void tmem_shim_request_detach(struct tmem_shim *shim, struct tmem_shim_request *request)
{
	if (request->state == TMEM_REQUEST_ROOM) {
		unlink_from(&shim->room_first, request);
		shim->room_last = shim->room_first;
		while (shim->room_last && shim->room_last->next)
			shim->room_last = shim->room_last->next;
	} else if (request->state == TMEM_REQUEST_QUEUED || request->state == TMEM_REQUEST_AHEAD) {
		unlink_from(&tmem_entry_at(shim, request->entry)->requests, request);
	}
	request->state = TMEM_REQUEST_LEAVE;
	if (shim->early == request)
		shim->early = NULL;
}

void tmem_shim_request_finish(struct tmem_shim *shim, struct tmem_shim_request *request, int result)
{
	tmem_shim_request_detach(shim, request);
	if (request->active_previous)
		request->active_previous->active_next = request->active_next;
	else
		shim->active = request->active_next;
	if (request->active_next)
		request->active_next->active_previous = request->active_previous;
	shim->waiting--;
	shim->waiting_loads -= request->is_load;
	request->result = request->outcome ? request->outcome : result;
	request->state = TMEM_REQUEST_DONE;
	/* from here on it may be gone */
	tmem_platform_done_signal(&request->done);
}

void tmem_shim_request_finish_all(struct tmem_shim *shim, struct tmem_entry *entry, int result)
{
	while (entry->requests)
		tmem_shim_request_finish(shim, entry->requests, result);
}

void tmem_shim_request_finish_waiters(struct tmem_shim *shim, uint32_t pool, uint8_t op, int result)
{
	struct tmem_shim_request *request = shim->active, *next;

	for (; request; request = next) {
		next = request->active_next;
		if (request->state == TMEM_REQUEST_LEAVE && request->pool == pool &&
		    (!op || request->op == op))
			tmem_shim_request_finish(shim, request, result);
	}
}

/* ---- deadlines ------------------------------------------------------------------------ */

void tmem_shim_request_fail_put(struct tmem_shim *shim, struct tmem_shim_request *request)
{
	struct tmem_shim_pool *pool = tmem_pool_find(shim, request->pool);

	tmem_shim_request_detach(shim, request);
	/* it may still be stored, so what nobody will ask for is flushed behind it */
	if (pool && !tmem_flush_handle(shim, pool, &request->oid, request->index)) {
		request->outcome = TMEM_EAGAIN;
		tmem_shim_request_wait_for_room(shim, request);
		request->deadline_ns = TMEM_NEVER;
		return;
	}
	tmem_shim_request_finish(shim, request, TMEM_EAGAIN);
}

/* R-b: who gives up has not flushed, so the session must not go on. */
static void give_up(struct tmem_shim *shim, struct tmem_shim_request *request)
{
	bool issued = request->state != TMEM_REQUEST_LEAVE || request->op == TMEM_OP_DESTROY_POOL;

	tmem_shim_request_finish(shim, request, TMEM_DONE);
	TMEM_COUNT(shim, giveups);
	if (!issued || !shim->session || !TMEM_RULE(GIVEUP_ENDS))
		return;
	tmem_shim_tell(shim, TMEM_SHIM_GAVE_UP, 0);
	tmem_link_over(shim, false);
	tmem_link_broken(shim, TMEM_ETIMEDOUT);
}

static void expire_flush(struct tmem_shim *shim, struct tmem_shim_request *request)
{
	struct tmem_shim_pool *pool = tmem_pool_find(shim, request->pool);

	if (pool && tmem_pool_shared(pool)) {
		give_up(shim, request);
		return;
	}
	/* of a private pool: nobody else can see the difference, so being owed is enough */
	if (request->state == TMEM_REQUEST_ROOM && pool &&
	    !tmem_owed_add(shim, pool, (uint8_t)request->op, &request->oid, request->index)) {
		request->deadline_ns = TMEM_NEVER;
		return;
	}
	tmem_shim_request_finish(shim, request, TMEM_DONE);
}

void tmem_shim_request_expire(struct tmem_shim *shim, struct tmem_shim_request *request)
{
	switch (request->op) {
	case TMEM_OP_GET_PAGE:
		TMEM_COUNT(shim, gets_late);
		tmem_shim_request_finish(shim, request, TMEM_MISS);
		break;
	case TMEM_OP_PUT_PAGE:
		if (request->state != TMEM_REQUEST_ROOM)
			TMEM_WHY(request, late);
		else if (!request->outcome)
			TMEM_PUT_FAILS(shim, request, no_room);
		tmem_shim_request_fail_put(shim, request);
		break;
	case TMEM_OP_STAT:
	case TMEM_OP_NEW_POOL:
		tmem_shim_request_finish(shim, request, TMEM_ETIMEDOUT);
		break;
	default:
		expire_flush(shim, request);
		break;
	}
}

void tmem_shim_requests_expire(struct tmem_shim *shim, uint64_t now_ns)
{
	struct tmem_shim_request *request;

	/* what expires may end others, so the search begins anew */
	do {
		for (request = shim->active; request; request = request->active_next)
			if (now_ns >= request->deadline_ns && TMEM_RULE(WAIT))
				break;
		if (request)
			tmem_shim_request_expire(shim, request);
	} while (request);
}

uint64_t tmem_shim_requests_next(const struct tmem_shim *shim)
{
	uint64_t next_ns = TMEM_NEVER;

	for (const struct tmem_shim_request *request = shim->active; request;
	     request = request->active_next)
		if (request->deadline_ns < next_ns)
			next_ns = request->deadline_ns;
	return next_ns;
}

/* ---- what callers see ----------------------------------------------------------------- */

int tmem_shim_finished(struct tmem_shim *shim, struct tmem_shim_request *request)
{
	unsigned long flags = tmem_shim_lock(shim);
	int result = request->state == TMEM_REQUEST_DONE ? request->result : TMEM_SHIM_PENDING;

	tmem_shim_unlock(shim, flags);
	return result;
}

int tmem_shim_wait(struct tmem_shim *shim, struct tmem_shim_request *request)
{
	uint64_t deadline_ns, now_ns, left_ns;
	enum tmem_platform_wait wait = TMEM_WAIT_TIMED_OUT;
	unsigned long flags;

	if (tmem_platform_done_poll(&request->done))
		return request->result;
	for (;;) {
		flags = tmem_shim_lock(shim);
		now_ns = tmem_shim_now(shim);
		/* who may not wait has no time left */
		if (request->state != TMEM_REQUEST_DONE &&
		    (now_ns >= request->deadline_ns || wait == TMEM_WAIT_REFUSED))
			tmem_shim_request_expire(shim, request);
		if (request->state != TMEM_REQUEST_DONE && wait == TMEM_WAIT_REFUSED)
			tmem_shim_request_finish(shim, request, TMEM_EAGAIN);
		if (request->state == TMEM_REQUEST_DONE) {
			int result = request->result;

			tmem_shim_advance(shim);
			tmem_shim_unlock(shim, flags);
			return result;
		}
		deadline_ns = request->deadline_ns;
		tmem_shim_unlock(shim, flags);
		left_ns = deadline_ns == TMEM_NEVER ? TMEM_NEVER : deadline_ns - now_ns;
		wait = tmem_platform_done_wait(&request->done, left_ns);
		if (wait == TMEM_WAIT_SIGNALLED)
			return request->result;
	}
}

int tmem_shim_cancel(struct tmem_shim *shim, struct tmem_shim_request *request)
{
	unsigned long flags = tmem_shim_lock(shim);
	int result;

	if (request->state != TMEM_REQUEST_DONE) {
		if (request->op == TMEM_OP_PUT_PAGE) {
			tmem_shim_request_fail_put(shim, request);
			if (request->state != TMEM_REQUEST_DONE)
				tmem_shim_request_finish(shim, request, TMEM_EAGAIN);
		} else {
			tmem_shim_request_finish(shim, request, TMEM_EAGAIN);
		}
	}
	result = request->result;
	tmem_shim_advance(shim);
	tmem_shim_unlock(shim, flags);
	return result;
}
