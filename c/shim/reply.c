// SPDX-License-Identifier: GPL-2.0-or-later
#include "core.h"

/* Operations whose answers the host may leave out (CUMULATIVE). */
static bool may_be_left_out(uint8_t op)
{
	switch (op) {
	case TMEM_OP_PUT_PAGE:
	case TMEM_OP_FLUSH_PAGE:
	case TMEM_OP_FLUSH_OBJECT:
	case TMEM_OP_FLUSH_RANGE:
	case TMEM_OP_FLUSH_POOL:
		return true;
	default:
		return false;
	}
}

void tmem_reply_done(struct tmem_shim *shim, uint64_t position)
{
	struct tmem_entry *entry = tmem_entry_at(shim, position);

	shim->answered_tag = entry->tag;
	shim->answered_digest = entry->digest;
	shim->answered = position + 1;
	tmem_queue_trim(shim);
	shim->progress_ns = shim->answered < shim->head ? shim->heard_ns : TMEM_NEVER;
}

static void flushed(struct tmem_shim *shim, struct tmem_entry *entry, uint64_t position)
{
	struct tmem_shim_pool *pool = tmem_entry_pool(shim, entry);

	if (pool && entry->op == TMEM_OP_FLUSH_OBJECT && tmem_pool_shared(pool))
		tmem_own_flushed(shim, pool, &entry->oid, position);
}

#define REFUSED(reason)                                                                            \
	do {                                                                                       \
		TMEM_COUNT(shim, puts_refused_##reason);                                           \
		if (entry->requests)                                                               \
			TMEM_WHY(entry->requests, refused_##reason);                               \
	} while (0)

static void count_refusal(struct tmem_shim *shim, struct tmem_entry *entry, int status)
{
	switch (status) {
	case TMEM_ENOMEM:
		REFUSED(full);
		break;
	case TMEM_EDQUOT:
		REFUSED(quota);
		break;
	case TMEM_EFROZEN:
		REFUSED(frozen);
		break;
	case TMEM_EAGAIN:
		REFUSED(unserved);
		break;
	case TMEM_ENOSPC:
		REFUSED(dropped);
		break;
	default:
		REFUSED(other);
	}
}

/* A put or flush was answered, by itself or by a later answer. */
static void answer_simple(struct tmem_shim *shim, uint64_t position, int status)
{
	struct tmem_entry *entry = tmem_entry_at(shim, position);

	if (entry->op == TMEM_OP_PUT_PAGE) {
		if (status == TMEM_DONE)
			TMEM_COUNT(shim, puts_stored);
		else
			count_refusal(shim, entry, status);
	} else {
		flushed(shim, entry, position);
	}
	tmem_shim_request_finish_all(shim, entry, status);
	tmem_reply_done(shim, position);
}

/* ---- everything else ------------------------------------------------------------------ */

static void answer_stat(struct tmem_shim *shim, struct tmem_entry *entry,
			const struct tmem_message *reply, const void *payload)
{
	struct tmem_shim_request *request = entry->requests;

	if (!request)
		return;
	request->bytes = reply->payload_bytes;
	if (payload)
		memcpy(request->page, payload, reply->payload_bytes);
	tmem_shim_request_finish(shim, request, reply->status);
}

static bool answer(struct tmem_shim *shim, uint64_t position, const struct tmem_message *reply,
		   const void *payload)
{
	struct tmem_entry *entry = tmem_entry_at(shim, position);
	struct tmem_shim_pool *pool = tmem_entry_pool(shim, entry);

	if (reply->op != entry->op)
		return false;
	switch (entry->op) {
	case TMEM_OP_GET_PAGE:
		return tmem_reply_get(shim, position, reply, payload);
	case TMEM_OP_NEW_POOL:
		if (pool)
			tmem_pool_made(shim, entry, reply);
		break;
	case TMEM_OP_DESTROY_POOL:
		if (pool)
			tmem_pool_left(shim, pool, reply->status);
		break;
	case TMEM_OP_ECHO:
		if (!entry->index && shim->token)
			shim->echo_ns = 0; /* the first one: nothing counts before it is back */
		else if (reply->status == TMEM_DONE)
			shim->confirmed = entry->index;
		break;
	case TMEM_OP_STAT:
		answer_stat(shim, entry, reply, payload);
		break;
	case TMEM_OP_POOLS:
		tmem_pools_listed(shim, payload, reply->payload_bytes);
		break;
	default:
		answer_simple(shim, position, reply->status);
		return true;
	}
	tmem_reply_done(shim, position);
	return true;
}

bool tmem_shim_reply(struct tmem_shim *shim, const struct tmem_message *reply, const void *payload)
{
	uint64_t position = shim->answered;

	if (!(reply->flags & TMEM_WIRE_REPLY))
		return false;
	for (; position < shim->taken; position = shim->answered) {
		struct tmem_entry *entry = tmem_entry_at(shim, position);

		if (entry->op != TMEM_OP_NONE && entry->tag == reply->tag)
			return answer(shim, position, reply, payload);
		if (entry->op == TMEM_OP_NONE) {
			shim->answered++;
			continue;
		}
		if (!(reply->flags & TMEM_WIRE_CUMULATIVE) || !may_be_left_out(entry->op) ||
		    reply->tag - entry->tag > INT32_MAX)
			return false;
		answer_simple(shim, position, TMEM_DONE);
	}
	return false;
}
