/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sim_host.h"

#include <string.h>

#include "check.h"
#include "map.h"

bool sim_host_rule(const struct sim *sim, enum sim_rule rule)
{
	return !(sim->without & rule);
}

uint64_t sim_host_age_ns(const struct sim *sim, uint64_t since_ns)
{
	return sim->now_ns - since_ns;
}

void sim_host_answer(struct sim_client *client, struct tmem_message *message, uint64_t key,
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

/* ---- the lease ------------------------------------------------------------------------ */

bool sim_host_lapsed(const struct sim *sim, const struct sim_client *client)
{
	return sim_host_rule(sim, SIM_RULE_STICKY) && client->part != SIM_NO_MEMBER &&
	       sim_host_age_ns(sim, client->echo_ns) >= sim->expel_ms * 1000000ull;
}

bool sim_host_served(const struct sim *sim)
{
	for (int i = 0; i < SIM_CLIENTS; i++) {
		const struct sim_client *client = &sim->clients[i];

		if (client->part == SIM_AWAITED)
			return false;
		if (client->part == SIM_MEMBER && sim_host_rule(sim, SIM_RULE_LEASE) &&
		    sim_host_age_ns(sim, client->echo_ns) >= sim->lease_ms * 1000000ull)
			return false;
	}
	return true;
}

bool sim_host_is_shared(struct sim_client *client, uint32_t pool)
{
	struct tmem_pool_info info;

	return tmem_pool_info(client->client, pool, &info) == 0 && info.flags & TMEM_POOL_SHARED;
}

/* Leaves or destroys the client's pools of one kind. */
void sim_host_drop_pools(struct sim *sim, struct sim_client *client, bool persistent)
{
	int64_t pool = -1;

	while ((pool = tmem_pool_next(client->client, pool)) >= 0) {
		struct tmem_pool_info info;

		CHECK_EQ(tmem_pool_info(client->client, (uint32_t)pool, &info), 0);
		if ((info.flags & TMEM_POOL_PERSISTENT) && !persistent)
			continue;
		if ((info.flags & TMEM_POOL_SHARED) && !sim_host_rule(sim, SIM_RULE_R1))
			continue;
		tmem_pool_destroy(client->client, (uint32_t)pool);
	}
}

void sim_host_end_session(struct sim *sim, struct sim_client *client, bool sticky)
{
	sim_host_drop_pools(sim, client, false);
	client->part = SIM_NO_MEMBER;
	client->expelled = sticky;
	client->session = 0;
}

void sim_host_say_bye(struct sim_client *client, int reason)
{
	struct tmem_message bye = {.op = TMEM_OP_BYE,
				   .status = (int16_t)reason,
				   .tag = client->tag,
				   .session = client->session};

	if (client->up)
		sim_host_answer(client, &bye, client->key, NULL);
}

void sim_host_expel(struct sim *sim, struct sim_client *client, int reason)
{
	sim_host_say_bye(client, reason);
	sim_host_end_session(sim, client, reason == TMEM_ETIMEDOUT);
	tmem_decoder_search(&client->decoder);
}

void sim_expel(struct sim *sim, int number, int reason)
{
	struct sim_client *client = &sim->clients[number];
	size_t before = client->out_bytes;

	sim_host_expel(sim, client, reason);
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
			client->part =
				sim_host_rule(sim, SIM_RULE_DURABLE) ? SIM_AWAITED : SIM_NO_MEMBER;
	}
}

/* ---- HELLO, START --------------------------------------------------------------------- */

static bool too_old(const struct sim *sim, uint64_t token)
{
	return sim_host_rule(sim, SIM_RULE_AGE) && token &&
	       sim_host_age_ns(sim, token & 0xffffffffffffff) >= sim->expel_ms * 1000000ull;
}

void sim_host_hello(struct sim *sim, struct sim_client *client, const struct tmem_message *message,
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
				 !sim_host_lapsed(sim, client) && !client->expelled;
	client->offered_rejoin =
		!too_old(sim, token) && !client->expelled && !sim_host_lapsed(sim, client);
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
	sim_host_answer(client, &reply, 0, buffer);
}

/* Whether the guest is the one that the host's session is with (R-e). */
static bool same_past(const struct sim *sim, const struct sim_client *client,
		      const struct tmem_message *start)
{
	struct tmem_shim_info info;

	if (!sim_host_rule(sim, SIM_RULE_TAGS))
		return true;
	tmem_shim_info(client->shim, &info);
	if (!sim_host_rule(sim, SIM_RULE_CHAIN))
		return info.tag >= client->tag;
	return start->tag == client->tag && start->index == client->digest;
}

void sim_host_start(struct sim *sim, struct sim_client *client, const struct tmem_message *message)
{
	struct tmem_message reply = {.op = TMEM_OP_START,
				     .tag = message->tag,
				     .session = message->session,
				     .status = TMEM_DONE};

	if (client->offered_resume && !same_past(sim, client, message)) {
		reply.status = TMEM_ESTALE;
		client->lost = true;
		client->session = 0;
		sim_host_answer(client, &reply, client->offered_key, NULL);
		return;
	}
	if (!client->offered_resume) {
		sim_host_drop_pools(sim, client, client->lost);
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
	sim_host_answer(client, &reply, client->key, NULL);
	tmem_decoder_begin(&client->decoder, client->session, client->key);
}
