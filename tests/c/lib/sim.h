/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Two shims and one host in one thread, step by step: a transport that delays everything until the
 * test says go on, loses what is on its way, and lets the clients' operations reach the host in any
 * order; a clock that stands still; a host of one page whose pages are the real engine's. Rules of
 * the host can be taken away, as the shim's can (c/shim/rules.h).
 */
#ifndef TMEM_TEST_SIM_H
#define TMEM_TEST_SIM_H

#include <stdbool.h>

#include "engine.h"
#include "rules.h"
#include "shim.h"
#include "wire.h"

enum { SIM_CLIENTS = 2, SIM_BUFFER_BYTES = 512 << 10, SIM_ANSWERS_MAX = 4096 };

/* Rules of the host (tests/model/rules.h). */
enum sim_rule {
	SIM_RULE_D_PRIVATE = 1 << 0,
	SIM_RULE_D_SHARED = 1 << 1,
	SIM_RULE_R1 = 1 << 2,
	SIM_RULE_LEASE = 1 << 3,
	SIM_RULE_STICKY = 1 << 4,
	SIM_RULE_AGE = 1 << 5,
	SIM_RULE_INSTANCE = 1 << 6,
	SIM_RULE_DURABLE = 1 << 7,
	SIM_RULE_TAGS = 1 << 8,
	SIM_RULE_CHAIN = 1 << 9,
	SIM_RULE_CHECK_FIRST = 1 << 10,
};

enum sim_part { SIM_NO_MEMBER, SIM_MEMBER, SIM_AWAITED };

struct sim;

struct sim_client {
	struct sim *sim;
	struct tmem_shim *shim;
	void *memory;
	void **pieces;
	uint32_t piece_count;
	struct tmem_client *client;
	bool up;
	uint32_t reopens; /* asked for by the shim */
	uint32_t events[16];

	/* the stream: whole messages from the guest, not applied; answers, not delivered */
	struct tmem_decoder decoder;
	uint8_t *in, *out;
	size_t in_bytes, out_bytes;
	uint32_t answer_count;
	struct {
		uint32_t bytes;
		uint8_t op;
	} answers[SIM_ANSWERS_MAX];

	/* the host's memory of the session */
	uint32_t session, offered;
	uint64_t key, offered_key;
	bool offered_resume, offered_rejoin;
	uint32_t tag;
	uint64_t digest;
	uint32_t epoch;
	bool expelled, lost;
	enum sim_part part;
	uint64_t echo_ns; /* when the newest token that came back was given */
};

struct sim {
	struct tmem_engine *engine;
	uint64_t now_ns;
	uint32_t without; /* enum sim_rule */
	uint32_t lease_ms, expel_ms, giveup_ms;
	uint32_t instance;
	bool down;
	int refuses_puts;    /* with this; 0: it does not */
	bool forgets_tokens; /* answers every echo as one of a token that it does not know */
	const void *peeked;  /* without CHECK_FIRST: read before the lease was looked at */
	struct sim_client clients[SIM_CLIENTS];
};

/* Both clients with @config, not connected. The memory of the first is in pieces, unless
 * config.piece_bytes is TMEM_SHIM_NONE. */
void sim_start(struct sim *sim, const struct tmem_shim_config *config);
void sim_stop(struct sim *sim);

/* Connects and lets HELLO and START through. */
void sim_connect(struct sim *sim, int client);
/* What is on its way is lost; @told: the shim hears of it. */
void sim_break(struct sim *sim, int client, bool told);

/* Moves what the shim wants to send onto the stream. */
void sim_pump(struct sim *sim, int client);
/* The host takes the oldest message: its op, 0 if there is none. */
int sim_apply(struct sim *sim, int client);
/* The oldest answer is delivered: its op, 0 if there is none. */
int sim_answer(struct sim *sim, int client);
/* Everything, until nothing moves. */
void sim_settle(struct sim *sim, int client);

void sim_kill(struct sim *sim);
void sim_restart(struct sim *sim);
/* Ends the session for good. */
void sim_expel(struct sim *sim, int client, int reason);
/* A token as the host would give it now. */
uint64_t sim_token(const struct sim *sim);

#endif
