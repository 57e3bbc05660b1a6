/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "lookahead.h"

/* How many requests before its own each step of a hint is made. */
static const uint32_t ahead_of[TMEM_HINT_STEPS] = {6, 4, 3, 2};

static struct tmem_hint *hint_of(struct tmem_lookahead *lookahead, uint32_t number)
{
	return &lookahead->hints[number % TMEM_LOOKAHEAD_HINTS];
}

static void begin(struct tmem_hint *hint, struct tmem_client *client,
		  const struct tmem_message *untrusted_message)
{
	uint8_t op = untrusted_message->op;

	hint->client = client;
	hint->pool = untrusted_message->pool;
	hint->get = op == TMEM_OP_GET_PAGE;
	hint->over = !hint->get && op != TMEM_OP_PUT_PAGE && op != TMEM_OP_FLUSH_PAGE;
	hint->oid = untrusted_message->oid;
	hint->index = untrusted_message->index;
	tmem_hint_step(hint, 0);
}

void tmem_look_ahead(struct tmem_lookahead *lookahead, struct tmem_client *client,
		     const uint8_t *untrusted_in, size_t in_bytes, size_t used, uint32_t served)
{
	struct tmem_message message;

	/* the turn begins, or went on elsewhere than was guessed */
	if (lookahead->at < used) {
		lookahead->at = used;
		lookahead->seen = served;
	}
	while (lookahead->seen <= served + ahead_of[0] && lookahead->at < in_bytes) {
		uint32_t bytes = tmem_wire_peek(untrusted_in + lookahead->at,
						in_bytes - lookahead->at, &message);

		if (bytes == 0)
			break;
		begin(hint_of(lookahead, lookahead->seen++), client, &message);
		lookahead->at += bytes;
	}
	for (unsigned int step = 1; step < TMEM_HINT_STEPS; step++)
		if (served + ahead_of[step] < lookahead->seen)
			tmem_hint_step(hint_of(lookahead, served + ahead_of[step]), step);
}
