/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sim_host.h"

#include <string.h>

/* ---- requests ------------------------------------------------------------------------- */

static void presence(struct sim_client *client, const struct tmem_message *request,
		     uint64_t *bitmap)
{
	uint8_t page[TMEM_PAGE_BYTES];
	uint64_t first = request->index & ~(uint64_t)(TMEM_WIRE_PRESENCE_PAGES - 1);

	bitmap[0] = bitmap[1] = 0;
	for (uint64_t i = 0; i < TMEM_WIRE_PRESENCE_PAGES; i++)
		if (tmem_get(client->client, request->pool, &request->oid, first + i, page) ==
		    TMEM_DONE)
			bitmap[i >> 6] |= 1ull << (i & 63);
}

static int get(struct sim *sim, struct sim_client *client, const struct tmem_message *request,
	       uint64_t index, uint8_t *page)
{
	bool shared = sim_host_is_shared(client, request->pool);
	int status;

	if (shared && !sim_host_served(sim))
		return TMEM_MISS;
	if (sim->peeked != NULL && !sim_host_rule(sim, SIM_RULE_CHECK_FIRST)) {
		memcpy(page, sim->peeked, TMEM_PAGE_BYTES);
		return TMEM_DONE;
	}
	status = tmem_get(client->client, request->pool, &request->oid, index, page);
	if (status == TMEM_DONE && shared && !sim_host_rule(sim, SIM_RULE_D_SHARED))
		tmem_flush_page(client->client, request->pool, &request->oid, index);
	if (status == TMEM_DONE && !shared && !sim_host_rule(sim, SIM_RULE_D_PRIVATE))
		tmem_put(client->client, request->pool, &request->oid, index, page);
	return status;
}

static void answer_get(struct sim *sim, struct sim_client *client,
		       const struct tmem_message *request, struct tmem_message *reply)
{
	static uint8_t pages[1 + TMEM_WIRE_AHEAD_MAX][TMEM_PAGE_BYTES];
	uint64_t indexes[TMEM_WIRE_AHEAD_MAX];
	uint32_t ahead = 0;

	reply->index = request->index;
	/* a bitmap would need another way to look at private pages than to take them */
	if (request->flags & TMEM_WIRE_PRESENCE && sim_host_is_shared(client, request->pool)) {
		reply->flags |= TMEM_WIRE_PRESENCE;
		presence(client, request, reply->oid.words);
	}
	reply->status = (int16_t)get(sim, client, request, request->index, pages[0]);
	for (int i = 1; i <= request->status; i++) {
		indexes[ahead] = request->index + (uint64_t)i;
		if (get(sim, client, request, indexes[ahead], pages[1 + ahead]) == TMEM_DONE)
			ahead++;
	}
	reply->pool = ahead;
	reply->payload_bytes = reply->status == TMEM_DONE ? TMEM_PAGE_BYTES : 0;
	sim_host_answer(client, reply, client->key, reply->status == TMEM_DONE ? pages[0] : NULL);
	for (uint32_t i = 0; i < ahead; i++) {
		struct tmem_message more = {.op = TMEM_OP_GET_PAGE,
					    .flags = TMEM_WIRE_AHEAD,
					    .tag = request->tag,
					    .session = client->session,
					    .status = TMEM_DONE,
					    .index = indexes[i],
					    .payload_bytes = TMEM_PAGE_BYTES};

		sim_host_answer(client, &more, client->key, pages[1 + i]);
	}
}

static int new_pool(struct sim *sim, struct sim_client *client, const struct tmem_message *request,
		    const void *payload, struct tmem_message *reply)
{
	uint32_t pool, granted;
	int status =
		tmem_pool_new(client->client, payload, (uint32_t)request->index, &pool, &granted);

	if (status != 0)
		return status;
	reply->pool = pool;
	reply->index = granted;
	if (granted & TMEM_POOL_SHARED) {
		client->part = SIM_MEMBER;
		client->echo_ns = sim->now_ns - sim->lease_ms * 1000000ull;
	}
	return TMEM_DONE;
}

static int leave(struct sim *sim, struct sim_client *client, uint32_t pool)
{
	if (sim_host_is_shared(client, pool)) {
		client->part = SIM_NO_MEMBER;
		if (!sim_host_rule(sim, SIM_RULE_R1))
			return TMEM_DONE;
	}
	return tmem_pool_destroy(client->client, pool);
}

static void echoed(struct sim *sim, struct sim_client *client, uint64_t token)
{
	uint64_t given_ns = token & 0xffffffffffffff;

	if (!token || (token >> 56 != sim->instance && sim_host_rule(sim, SIM_RULE_INSTANCE)))
		return;
	if (given_ns > client->echo_ns)
		client->echo_ns = given_ns;
}

static void list_pools(struct sim_client *client, const struct tmem_message *request,
		       struct tmem_message *reply)
{
	int64_t pool = request->index == UINT64_MAX ? -1 : (int64_t)request->index;
	uint32_t ids[1024], count = 0;

	while (count < 1024 && (pool = tmem_pool_next(client->client, pool)) >= 0)
		ids[count++] = (uint32_t)pool;
	reply->payload_bytes = (uint16_t)(4 * count);
	sim_host_answer(client, reply, client->key, ids);
}

/* No map that says anything, but each is of another length, and names its request. */
static void report(struct sim_client *client, struct tmem_message *reply)
{
	uint8_t map[256];

	reply->payload_bytes = (uint16_t)(1 + reply->tag % sizeof(map));
	memset(map, (int)reply->tag, reply->payload_bytes);
	sim_host_answer(client, reply, client->key, map);
}

static int operate(struct sim *sim, struct sim_client *client, const struct tmem_message *request,
		   const void *payload, struct tmem_message *reply)
{
	struct tmem_client *to = client->client;

	switch (request->op) {
	case TMEM_OP_NEW_POOL:
		return new_pool(sim, client, request, payload, reply);
	case TMEM_OP_DESTROY_POOL:
		return leave(sim, client, request->pool);
	case TMEM_OP_PUT_PAGE:
		if (sim->refuses_puts) {
			tmem_flush_page(to, request->pool, &request->oid, request->index);
			return sim->refuses_puts;
		}
		return tmem_put(to, request->pool, &request->oid, request->index, payload);
	case TMEM_OP_FLUSH_PAGE:
		return tmem_flush_page(to, request->pool, &request->oid, request->index);
	case TMEM_OP_FLUSH_OBJECT:
		return tmem_flush_object(to, request->pool, &request->oid);
	case TMEM_OP_FLUSH_RANGE:
		return tmem_flush_range(to, request->pool, &request->oid, request->index,
					(uint64_t)request->status);
	case TMEM_OP_FLUSH_POOL:
		return tmem_pool_flush(to, request->pool);
	case TMEM_OP_ECHO:
		reply->flags |= TMEM_WIRE_TOKEN;
		reply->oid.words[2] = sim_token(sim);
		if (sim->forgets_tokens && request->index)
			return TMEM_MISS;
		echoed(sim, client, request->index);
		return TMEM_DONE;
	default:
		return TMEM_EINVAL;
	}
}

void sim_host_take(struct sim *sim, int number, const struct tmem_message *message,
		   const void *payload)
{
	struct sim_client *client = &sim->clients[number];
	struct tmem_message reply = {
		.op = message->op, .tag = message->tag, .session = message->session};

	if (message->op == TMEM_OP_HELLO) {
		sim_host_hello(sim, client, message, payload);
		return;
	}
	if (message->op == TMEM_OP_START) {
		sim_host_start(sim, client, message);
		return;
	}
	if (sim_host_lapsed(sim, client)) {
		sim_host_expel(sim, client, TMEM_ETIMEDOUT);
		return;
	}
	if (message->tag != client->tag + 1 && sim_host_rule(sim, SIM_RULE_INSTANCE)) {
		sim_host_say_bye(client, TMEM_EILSEQ);
		tmem_decoder_search(&client->decoder);
		return;
	}
	client->tag = message->tag;
	client->digest = tmem_wire_chain(client->digest, message, payload);
	if (message->op == TMEM_OP_BYE) {
		sim_host_end_session(sim, client, false);
		return;
	}
	if (message->op == TMEM_OP_GET_PAGE) {
		answer_get(sim, client, message, &reply);
		return;
	}
	if (message->op == TMEM_OP_POOLS) {
		reply.status = TMEM_DONE;
		list_pools(client, message, &reply);
		return;
	}
	if (message->op == TMEM_OP_STAT) {
		reply.status = TMEM_DONE;
		report(client, &reply);
		return;
	}
	reply.status = (int16_t)operate(sim, client, message, payload, &reply);
	sim_host_answer(client, &reply, client->key, NULL);
}
