// SPDX-License-Identifier: GPL-2.0-or-later
#include "core.h"

static void take_token(struct tmem_shim *shim, const struct tmem_message *message)
{
	if (message->flags & TMEM_WIRE_TOKEN)
		shim->token = message->oid.words[2];
}

/* Takes one message. False: the stream is of no use any more. */
static bool take_message(struct tmem_shim *shim, const struct tmem_message *message,
			 const void *payload)
{
	TMEM_COUNT(shim, messages_received);
	shim->heard_ns = shim->input_ns;
	switch (message->op) {
	case TMEM_OP_HELLO:
		tmem_link_hello_reply(shim, message, payload);
		return true;
	case TMEM_OP_START:
		tmem_link_start_reply(shim, message);
		take_token(shim, message);
		return true;
	case TMEM_OP_BYE:
		tmem_link_bye(shim, message->status);
		return false;
	default:
		if (shim->state != TMEM_SHIM_RUNNING)
			return true;
		take_token(shim, message);
		if (tmem_shim_reply(shim, message, payload))
			return true;
		TMEM_COUNT(shim, bad_messages);
		tmem_shim_tell(shim, TMEM_SHIM_BAD_MESSAGE, message->op);
		tmem_link_broken(shim, TMEM_EPROTO);
		return false;
	}
}

static void damaged(struct tmem_shim *shim)
{
	TMEM_COUNT(shim, bad_messages);
	tmem_link_broken(shim, TMEM_EILSEQ);
}

/* Takes all whole messages of @bytes at @data; returns how much was used, or -1. What is left is
 * the beginning of one: @begun, if its header is there and is sure to be one; else that has no op.
 */
static int64_t take_messages(struct tmem_shim *shim, const uint8_t *data, size_t bytes,
			     struct tmem_message *begun)
{
	size_t at = 0;

	begun->op = TMEM_OP_NONE;
	while (at < bytes) {
		struct tmem_message message;
		const void *payload;
		size_t used;
		enum tmem_wire_found found = tmem_decoder_next(
			&shim->decoder, data + at, bytes - at, &message, &payload, &used);

		at += used;
		if (found == TMEM_WIRE_MORE) {
			if (!shim->decoder.searching && bytes - at >= TMEM_WIRE_HEADER_BYTES)
				*begun = message;
			break;
		}
		if (found == TMEM_WIRE_DAMAGED) {
			damaged(shim);
			return -1;
		}
		if (!take_message(shim, &message, payload))
			return -1;
	}
	return (int64_t)at;
}

/* More of the one message that stands in the assembly, of which all was looked at. */
static void keep(struct tmem_shim *shim, const uint8_t *data, size_t bytes)
{
	memcpy(shim->assembly + shim->assembled, data, bytes);
	shim->assembled += (uint32_t)bytes;
}

static void keep_nothing(struct tmem_shim *shim)
{
	shim->assembled = 0;
	shim->begun.op = TMEM_OP_NONE;
}

/* Completes the message whose header is known. Returns what was used of @data, or -1. */
static int64_t complete_begun(struct tmem_shim *shim, const uint8_t *data, size_t bytes)
{
	const struct tmem_message message = shim->begun;
	uint32_t missing = tmem_wire_bytes(message.payload_bytes) - shim->assembled;
	const void *payload;

	if (bytes < missing) {
		keep(shim, data, bytes);
		return (int64_t)bytes;
	}
	keep(shim, data, missing);
	keep_nothing(shim);
	if (tmem_decoder_finish(&message, shim->assembly, &payload) == TMEM_WIRE_DAMAGED) {
		damaged(shim);
		return -1;
	}
	/* whoever lands the message's page takes its room, and leaves another */
	return take_message(shim, &message, payload) ? (int64_t)missing : -1;
}

/* Completes any other message whose beginning was kept. Returns what was used of @data, or -1. */
static int64_t complete_message(struct tmem_shim *shim, const uint8_t *data, size_t bytes)
{
	size_t room = TMEM_WIRE_MESSAGE_MAX - shim->assembled, kept = shim->assembled;
	size_t added = bytes < room ? bytes : room;
	struct tmem_message begun;
	int64_t used;

	keep(shim, data, added);
	used = take_messages(shim, shim->assembly, kept + added, &begun);
	if (used < 0)
		return -1;
	if ((size_t)used >= kept) {
		keep_nothing(shim);
		return used - (int64_t)kept;
	}
	/* still not whole: more than a message can not be needed, so all of @data was added */
	shim->begun = begun;
	shim->assembled = (uint32_t)(kept + added - (size_t)used);
	memmove(shim->assembly, shim->assembly + used, shim->assembled);
	return (int64_t)added;
}

/* Takes all whole messages, and keeps the beginning of one at the end. @bytes, or -1. */
static int64_t take_and_keep(struct tmem_shim *shim, const uint8_t *data, size_t bytes)
{
	struct tmem_message begun;
	int64_t used = take_messages(shim, data, bytes, &begun);

	if (used < 0)
		return -1;
	keep(shim, data + used, bytes - (size_t)used);
	shim->begun = begun;
	if (begun.op != TMEM_OP_NONE)
		tmem_shim_reply_begins(shim);
	return (int64_t)bytes;
}

static bool is_over(const struct tmem_shim *shim)
{
	return shim->state == TMEM_SHIM_CLOSED || shim->state == TMEM_SHIM_ENDED;
}

int tmem_shim_input(struct tmem_shim *shim, const void *data, size_t bytes)
{
	const uint8_t *at = data, *end = at + bytes;
	unsigned long flags = tmem_shim_lock(shim);
	int64_t used = 0;

	shim->input_ns = tmem_shim_now(shim);
	/* a batch at a time under the lock, so that interrupts are not off for the whole of it */
	while (at < end && !is_over(shim)) {
		size_t left = (size_t)(end - at);
		size_t part = left < TMEM_INPUT_BATCH_BYTES ? left : TMEM_INPUT_BATCH_BYTES;

		if (shim->begun.op != TMEM_OP_NONE)
			used = complete_begun(shim, at, part);
		else if (shim->assembled)
			used = complete_message(shim, at, part);
		else
			used = take_and_keep(shim, at, part);
		if (used < 0)
			break;
		at += used;
		tmem_shim_advance(shim);
		if (at == end)
			break;
		tmem_shim_unlock(shim, flags);
		flags = tmem_shim_lock(shim);
	}
	tmem_shim_unlock(shim, flags);
	if (used >= 0)
		return 0;
	tmem_shim_reopen(shim);
	return TMEM_EILSEQ;
}

void tmem_shim_reopen(struct tmem_shim *shim)
{
	unsigned long flags = tmem_shim_lock(shim);
	bool wanted = shim->reopen_wanted;

	shim->reopen_wanted = false;
	tmem_shim_unlock(shim, flags);
	if (wanted)
		shim->callbacks.reopen(shim->callbacks.context);
}

bool tmem_shim_reopens(const struct tmem_shim *shim)
{
	return __atomic_load_n(&shim->reopen_wanted, __ATOMIC_RELAXED);
}
