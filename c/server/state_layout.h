/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The state file as state.c and state_open.c see it: header, tokens, slots. docs/server.md. */
#ifndef TMEM_STATE_LAYOUT_H
#define TMEM_STATE_LAYOUT_H

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>

#include "state.h"

enum {
	HEADER_BYTES = 4096,
	TOKENS_BYTES = 16 * TMEM_TOKENS,
	SLOT_BYTES = 1024,
	SLOTS_MAX = 1 << 20,
	GROW_SLOTS = 64,
	IDENTITY_BYTES = 16,
};

struct header {
	uint64_t magic;
	uint32_t version;
	uint32_t slot_bytes;
	uint8_t identity[IDENTITY_BYTES];
	uint8_t host_boot_id[TMEM_BOOT_ID_BYTES];
	uint64_t check;
};

struct token {
	uint64_t token;
	_Atomic uint64_t time_ns; /* stored last; 0: none */
};

/* Sequence 0: not whole, or the slot is free. */
struct copy {
	_Atomic uint64_t sequence;
	uint64_t check; /* of the content, seeded with the sequence */
	uint8_t content[];
};

_Static_assert(sizeof(struct copy) + sizeof(struct tmem_state_progress) <= 64, "a copy fits");
_Static_assert(sizeof(struct copy) + sizeof(struct tmem_state_session) <= 384, "a copy fits");
_Static_assert(128 + 2 * 384 <= SLOT_BYTES, "a slot has room for its copies");
_Static_assert(TMEM_TOKENS * sizeof(struct token) == TOKENS_BYTES, "tokens fill their place");

struct tmem_state {
	int fd;
	char *map;
	uint32_t slots; /* that the file has room for */
	pthread_mutex_t lock;
	uint32_t newest_token;
};

static inline size_t slot_at_bytes(uint64_t slot)
{
	return HEADER_BYTES + TOKENS_BYTES + slot * SLOT_BYTES;
}

static inline struct token *token_of(struct tmem_state *state, uint32_t at)
{
	return (struct token *)(state->map + HEADER_BYTES) + at % TMEM_TOKENS;
}

#endif
