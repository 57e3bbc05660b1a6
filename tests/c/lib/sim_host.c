/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sim_host.h"

#include <string.h>

#include "check.h"
#include "map.h"

static bool rule(const struct sim *sim, enum sim_rule rule)
{
	return !(sim->without & rule);
}

static uint64_t age_ns(const struct sim *sim, uint64_t since_ns)
{
	return sim->now_ns - since_ns;
}

static void answer(struct sim_client *client, struct tmem_message *message, uint64_t key,
		   const void *payload)
{
	uint8_t *to = client->out + client->out_bytes;

	message->version = TMEM_WIRE_VERSION;
	message->flags |= TMEM_WIRE_REPLY;
	CHECK(client->out_bytes + TMEM_WIRE_MESSAGE_MAX <= SIM_BUFFER_BYTES);
	if (payload != NULL)
		memcpy(to + TMEM_WIRE_HEADER_BYTES, payload, message->payload_bytes);
	client->out_bytes += tmem_wire_encode(message, key, to);
}

uint64_t sim_token(const struct sim *sim)
{
	return (uint64_t)sim->instance << 56 | sim->now_ns;
}

/* ---- the lease --------------------------------------------------------------------------------
 */

static bool lapsed(const struct sim *sim, const struct sim_client *client)
{
	return rule(sim, SIM_RULE_STICKY) && client->part != SIM_NO_MEMBER &&
	       age_ns(sim, client->echo_ns) >= sim->expel_ms * 1000000ull;
}

static bool served(const struct sim *sim)
{
	for (int i = 0; i < SIM_CLIENTS; i++) {
		const struct sim_client *client = &sim->clients[i];

		if (client->part == SIM_AWAITED)
			return false;
		if (client->part == SIM_MEMBER && rule(sim, SIM_RULE_LEASE) &&
		    age_ns(sim, client->echo_ns) >= sim->lease_ms * 1000000ull)
			return false;
	}
	return true;
}

static bool is_shared(struct sim_client *client, uint32_t pool)
{
	struct tmem_pool_info info;

	return tmem_pool_info(client->client, pool, &info) == 0 && info.flags & TMEM_POOL_SHARED;
}

/* Leaves or destroys the client's pools of one kind. */
static void drop_pools(struct sim *sim, struct sim_client *client, bool persistent)
{
	int64_t pool = -1;

	while ((pool = tmem_pool_next(client->client, pool)) >= 0) {
		struct tmem_pool_info info;

		CHECK_EQ(tmem_pool_info(client->client, (uint32_t)pool, &info), 0);
		if ((info.flags & TMEM_POOL_PERSISTENT) && !persistent)
			continue;
		if ((info.flags & TMEM_POOL_SHARED) && !rule(sim, SIM_RULE_R1))
			continue;
		tmem_pool_destroy(client->client, (uint32_t)pool);
	}
}

static void end_session(struct sim *sim, struct sim_client *client, bool sticky)
{
	drop_pools(sim, client, false);
	client->part = SIM_NO_MEMBER;
	client->expelled = sticky;
	client->session = 0;
}

static void say_bye(struct sim_client *client, int reason)
{
	struct tmem_message bye = {.op = TMEM_OP_BYE,
				   .status = (int16_t)reason,
				   .tag = client->tag,
				   .session = client->session};

	if (client->up)
		answer(client, &bye, client->key, NULL);
}

static void expel(struct sim *sim, struct sim_client *client, int reason)
{
	say_bye(client, reason);
	end_session(sim, client, reason == TMEM_ETIMEDOUT);
	tmem_decoder_search(&client->decoder);
}

void sim_expel(struct sim *sim, int number, int reason)
{
	struct sim_client *client = &sim->clients[number];
	size_t before = client->out_bytes;

	expel(sim, client, reason);
	if (client->out_bytes == before)
		return;
	client->answers[client->answer_count].bytes = (uint32_t)(client->out_bytes - before);
	client->answers[client->answer_count++].op = TMEM_OP_BYE;
}

void sim_kill(struct sim *sim)
{
	sim->down = true;
	for (int i = 0; i < SIM_CLIENTS; i++)
		if (sim->clients[i].up)
			sim_break(sim, i, true);
}

void sim_restart(struct sim *sim)
{
	sim->down = false;
	sim->instance++;
	for (int i = 0; i < SIM_CLIENTS; i++) {
		struct sim_client *client = &sim->clients[i];

		client->offered = 0;
		client->expelled = false;
		client->echo_ns = sim->now_ns - sim->lease_ms * 1000000ull;
		if (client->part != SIM_NO_MEMBER)
			client->part = rule(sim, SIM_RULE_DURABLE) ? SIM_AWAITED : SIM_NO_MEMBER;
	}
}

/* ---- HELLO, START -----------------------------------------------------------------------------
 */

static bool too_old(const struct sim *sim, uint64_t token)
{
	return rule(sim, SIM_RULE_AGE) && token &&
	       age_ns(sim, token & 0xffffffffffffff) >= sim->expel_ms * 1000000ull;
}

static void hello(struct sim *sim, struct sim_client *client, const struct tmem_message *message,
		  const void *payload)
{
	struct tmem_message reply = {.op = TMEM_OP_HELLO, .tag = message->tag};
	uint64_t session = 0, token = 0;
	struct tmem_map_reader map;
	struct tmem_map_writer to;
	struct tmem_map_value value;
	char key[TMEM_MAP_KEY_MAX + 1];
	uint8_t buffer[512];
	int found;

	CHECK_EQ(tmem_map_open(&map, payload, message->payload_bytes), 0);
	while ((found = tmem_map_next(&map, key, &value)) > 0) {
		if (strcmp(key, "session") == 0)
			session = value.number;
		if (strcmp(key, "token") == 0)
			token = value.number;
	}
	CHECK_EQ(found, 0);
	client->offered_resume = session && session == client->session && !too_old(sim, token) &&
				 !lapsed(sim, client) && !client->expelled;
	client->offered_rejoin = !too_old(sim, token) && !client->expelled && !lapsed(sim, client);
	client->offered = client->session + client->epoch + 1000;
	client->offered_key = client->offered * 0x9e3779b97f4a7c15;
	tmem_map_begin(&to, buffer, sizeof(buffer));
	tmem_map_int(&to, "verdict", client->offered_resume ? 1 : 2);
	tmem_map_uint(&to, "version", TMEM_WIRE_VERSION);
	tmem_map_uint(&to, "session", client->offered);
	tmem_map_uint(&to, "key", client->offered_key);
	tmem_map_uint(&to, "epoch", client->epoch + !client->offered_resume);
	tmem_map_uint(&to, "tag", client->tag);
	tmem_map_uint(&to, "lease_ms", sim->lease_ms);
	tmem_map_uint(&to, "expel_ms", sim->expel_ms);
	tmem_map_uint(&to, "giveup_ms", sim->giveup_ms);
	tmem_map_bool(&to, "rejoin", client->offered_rejoin);
	tmem_map_bool(&to, "pools_kept", !client->lost);
	reply.payload_bytes = (uint16_t)tmem_map_end(&to);
	tmem_decoder_offer(&client->decoder, client->offered, client->offered_key);
	answer(client, &reply, 0, buffer);
}

/* Whether the guest is the one that the host's session is with (R-e). */
static bool same_past(const struct sim *sim, const struct sim_client *client,
		      const struct tmem_message *start)
{
	struct tmem_shim_info info;

	if (!rule(sim, SIM_RULE_TAGS))
		return true;
	tmem_shim_info(client->shim, &info);
	if (!rule(sim, SIM_RULE_CHAIN))
		return info.tag >= client->tag;
	return start->tag == client->tag && start->index == client->digest;
}

static void start(struct sim *sim, struct sim_client *client, const struct tmem_message *message)
{
	struct tmem_message reply = {.op = TMEM_OP_START,
				     .tag = message->tag,
				     .session = message->session,
				     .status = TMEM_DONE};

	if (client->offered_resume && !same_past(sim, client, message)) {
		reply.status = TMEM_ESTALE;
		client->lost = true;
		client->session = 0;
		answer(client, &reply, client->offered_key, NULL);
		return;
	}
	if (!client->offered_resume) {
		drop_pools(sim, client, client->lost);
		client->lost = false;
		client->part = SIM_NO_MEMBER;
		client->expelled = false;
		client->tag = 0;
		client->digest = 0;
		client->epoch++;
	}
	if (client->part == SIM_AWAITED)
		client->part = SIM_MEMBER;
	client->session = client->offered;
	client->key = client->offered_key;
	reply.flags = TMEM_WIRE_TOKEN;
	reply.oid.words[2] = sim_token(sim);
	answer(client, &reply, client->key, NULL);
	tmem_decoder_begin(&client->decoder, client->session, client->key);
}

/* ---- requests -----------------------------------------------------------------------------------
 */

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
	bool shared = is_shared(client, request->pool);
	int status;

	if (shared && !served(sim))
		return TMEM_MISS;
	if (sim->peeked != NULL && !rule(sim, SIM_RULE_CHECK_FIRST)) {
		memcpy(page, sim->peeked, TMEM_PAGE_BYTES);
		return TMEM_DONE;
	}
	status = tmem_get(client->client, request->pool, &request->oid, index, page);
	if (status == TMEM_DONE && shared && !rule(sim, SIM_RULE_D_SHARED))
		tmem_flush_page(client->client, request->pool, &request->oid, index);
	if (status == TMEM_DONE && !shared && !rule(sim, SIM_RULE_D_PRIVATE))
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
	if (request->flags & TMEM_WIRE_PRESENCE && is_shared(client, request->pool)) {
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
	answer(client, reply, client->key, reply->status == TMEM_DONE ? pages[0] : NULL);
	for (uint32_t i = 0; i < ahead; i++) {
		struct tmem_message more = {.op = TMEM_OP_GET_PAGE,
					    .flags = TMEM_WIRE_AHEAD,
					    .tag = request->tag,
					    .session = client->session,
					    .status = TMEM_DONE,
					    .index = indexes[i],
					    .payload_bytes = TMEM_PAGE_BYTES};

		answer(client, &more, client->key, pages[1 + i]);
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
	if (is_shared(client, pool)) {
		client->part = SIM_NO_MEMBER;
		if (!rule(sim, SIM_RULE_R1))
			return TMEM_DONE;
	}
	return tmem_pool_destroy(client->client, pool);
}

static void echoed(struct sim *sim, struct sim_client *client, uint64_t token)
{
	uint64_t given_ns = token & 0xffffffffffffff;

	if (!token || (token >> 56 != sim->instance && rule(sim, SIM_RULE_INSTANCE)))
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
	answer(client, reply, client->key, ids);
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
		if (sim->refuse_puts) {
			tmem_flush_page(to, request->pool, &request->oid, request->index);
			return TMEM_ENOMEM;
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
		echoed(sim, client, request->index);
		reply->flags |= TMEM_WIRE_TOKEN;
		reply->oid.words[2] = sim_token(sim);
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
		hello(sim, client, message, payload);
		return;
	}
	if (message->op == TMEM_OP_START) {
		start(sim, client, message);
		return;
	}
	if (lapsed(sim, client)) {
		expel(sim, client, TMEM_ETIMEDOUT);
		return;
	}
	if (message->tag != client->tag + 1 && rule(sim, SIM_RULE_INSTANCE)) {
		say_bye(client, TMEM_EILSEQ);
		tmem_decoder_search(&client->decoder);
		return;
	}
	client->tag = message->tag;
	client->digest = tmem_wire_chain(client->digest, message, payload);
	if (message->op == TMEM_OP_BYE) {
		end_session(sim, client, false);
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
	reply.status = (int16_t)operate(sim, client, message, payload, &reply);
	answer(client, &reply, client->key, NULL);
}
