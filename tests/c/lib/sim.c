/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sim.h"

#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "core.h"
#include "setup.h"
#include "sim_host.h"

static uint64_t now_ns(void *context)
{
	struct sim_client *client = context;

	return client->sim->now_ns;
}

static void wake(void *context)
{
	(void)context;
}

static void reopen(void *context)
{
	struct sim_client *client = context;

	client->reopens++;
}

enum { PIECE_BYTES = 16 << 10 };

static void event(void *context, int kind, int64_t code)
{
	struct sim_client *client = context;

	(void)code;
	client->events[kind]++;
}

/* One by one, so that what goes beyond one is seen. */
static void make_pieces(struct sim_client *client, const struct tmem_shim_config *config)
{
	client->piece_count = tmem_shim_pieces(config);
	client->pieces = calloc(client->piece_count + 1, sizeof(*client->pieces));
	for (uint32_t i = 0; i < client->piece_count; i++)
		CHECK(posix_memalign(&client->pieces[i], 64, config->piece_bytes) == 0);
}

void sim_start(struct sim *sim, const struct tmem_shim_config *config)
{
	memset(sim, 0, sizeof(*sim));
	sim->engine = setup_engine("sim", 64 << 20);
	CHECK_EQ(tmem_engine_set_shared_auth_all(sim->engine, 1), 0);
	sim->now_ns = 1000000000000;
	sim->lease_ms = 1000;
	sim->expel_ms = 2000;
	sim->giveup_ms = 4000;
	sim->instance = 1;
	for (int i = 0; i < SIM_CLIENTS; i++) {
		struct sim_client *client = &sim->clients[i];
		struct tmem_shim_callbacks callbacks = {.context = client,
							.wake = wake,
							.reopen = reopen,
							.event = event,
							.now_ns = now_ns};
		struct tmem_shim_config ours = *config;

		client->sim = sim;
		ours.boot_id[0] = (uint8_t)(1 + i);
		/* the first as in the kernel, the other as in user space */
		ours.piece_bytes =
			i == 0 && config->piece_bytes != TMEM_SHIM_NONE ? PIECE_BYTES : 0;
		client->client =
			setup_client(sim->engine, i ? "guest1" : "guest0", TMEM_ENCODING_LZ4);
		CHECK(posix_memalign(&client->memory, 64, tmem_shim_bytes(&ours)) == 0);
		make_pieces(client, &ours);
		client->shim = tmem_shim_init(client->memory, client->pieces, &ours, &callbacks);
		CHECK(client->shim != NULL);
		client->shim->seed = 1; /* so that a run comes back */
		client->in = malloc(SIM_BUFFER_BYTES);
		client->out = malloc(SIM_BUFFER_BYTES);
	}
}

void sim_stop(struct sim *sim)
{
	for (int i = 0; i < SIM_CLIENTS; i++) {
		struct sim_client *client = &sim->clients[i];

		tmem_shim_end(client->shim);
		tmem_shim_destroy(client->shim);
		for (uint32_t piece = 0; piece < client->piece_count; piece++)
			free(client->pieces[piece]);
		free(client->pieces);
		free(client->memory);
		free(client->in);
		free(client->out);
		CHECK_EQ(tmem_client_destroy(client->client), 0);
		tmem_client_release(client->client);
	}
	tmem_engine_close(sim->engine);
}

/* ---- the stream ----------------------------------------------------------------------- */

void sim_connect(struct sim *sim, int number)
{
	struct sim_client *client = &sim->clients[number];

	CHECK(!sim->down);
	client->up = true;
	tmem_decoder_init(&client->decoder, 0);
	tmem_shim_opened(client->shim);
	/* HELLO and START pass, nothing else does */
	for (int message = 0; message < 4; message++) {
		sim_pump(sim, number);
		if (client->in_bytes &&
		    (client->in[5] == TMEM_OP_HELLO || client->in[5] == TMEM_OP_START)) {
			sim_apply(sim, number);
			sim_answer(sim, number);
		}
		sim->now_ns += 1;
		tmem_shim_tick(client->shim);
	}
}

void sim_break(struct sim *sim, int number, bool told)
{
	struct sim_client *client = &sim->clients[number];

	if (told)
		sim_pump(sim, number);
	client->in_bytes = client->out_bytes = 0;
	client->answer_count = 0;
	if (!told)
		return;
	client->up = false;
	tmem_shim_closed(client->shim);
}

void sim_pump(struct sim *sim, int number)
{
	struct sim_client *client = &sim->clients[number];
	struct tmem_shim_segment segments[8];
	uint32_t count;

	(void)sim;
	while (client->up && client->in_bytes < SIM_BUFFER_BYTES / 2 &&
	       (count = tmem_shim_output(client->shim, segments, 8)) > 0)
		for (uint32_t i = 0; i < count; i++) {
			CHECK(client->in_bytes + segments[i].bytes <= SIM_BUFFER_BYTES);
			memcpy(client->in + client->in_bytes, segments[i].data, segments[i].bytes);
			client->in_bytes += segments[i].bytes;
			tmem_shim_sent(client->shim, segments[i].bytes);
		}
}

int sim_apply(struct sim *sim, int number)
{
	struct sim_client *client = &sim->clients[number];
	struct tmem_message message;
	enum tmem_wire_found found;
	const void *payload;
	size_t used, out_before = client->out_bytes;

	sim_pump(sim, number);
	if (!client->in_bytes || sim->down)
		return 0;
	found = tmem_decoder_next(&client->decoder, client->in, client->in_bytes, &message,
				  &payload, &used);
	if (found != TMEM_WIRE_FOUND) {
		/* a session that is over: what still comes of it is passed over */
		client->in_bytes = 0;
		return 0;
	}
	sim_host_take(sim, number, &message, payload);
	client->in_bytes -= used;
	memmove(client->in, client->in + used, client->in_bytes);
	if (client->out_bytes > out_before) {
		CHECK(client->answer_count < SIM_ANSWERS_MAX);
		client->answers[client->answer_count].bytes =
			(uint32_t)(client->out_bytes - out_before);
		client->answers[client->answer_count++].op = message.op;
	}
	return message.op;
}

int sim_answer(struct sim *sim, int number)
{
	struct sim_client *client = &sim->clients[number];
	uint32_t bytes;
	uint8_t op;

	if (!client->answer_count || !client->up)
		return 0;
	bytes = client->answers[0].bytes;
	op = client->answers[0].op;
	memmove(&client->answers[0], &client->answers[1],
		--client->answer_count * sizeof(client->answers[0]));
	client->out_bytes -= bytes;
	/* in two pieces, as a ring of small buffers would bring it */
	tmem_shim_input(client->shim, client->out, bytes / 3);
	tmem_shim_input(client->shim, client->out + bytes / 3, bytes - bytes / 3);
	memmove(client->out, client->out + bytes, client->out_bytes);
	(void)sim;
	return op;
}

void sim_settle(struct sim *sim, int number)
{
	struct sim_client *client = &sim->clients[number];

	do {
		while (sim_apply(sim, number))
			;
		while (sim_answer(sim, number))
			;
		sim_pump(sim, number);
	} while (client->in_bytes || client->answer_count);
}
