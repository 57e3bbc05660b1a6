// SPDX-License-Identifier: GPL-2.0-or-later
#include "core.h"

/* What goes out: HELLO, START and BYE from a buffer of their own, before anything else; else the
 * queue, in order. Nothing of the queue is handed out before a session runs. */

static void add(struct tmem_shim_segment *segments, uint32_t *count, const void *data,
		uint64_t bytes)
{
	struct tmem_shim_segment *last = *count ? &segments[*count - 1] : NULL;

	if (last && (const uint8_t *)last->data + last->bytes == data) {
		last->bytes += bytes;
		return;
	}
	segments[*count].data = data;
	segments[(*count)++].bytes = bytes;
}

/* The message of @entry; its payload, if it has one, stands in its slot already. */
static struct tmem_message message_of(struct tmem_shim *shim, struct tmem_entry *entry)
{
	struct tmem_message message = {
		.version = TMEM_WIRE_VERSION,
		.op = entry->op,
		.session = shim->session,
		.index = entry->index,
		.oid = entry->oid,
	};

	if (entry->pool < shim->config.pools && entry->op != TMEM_OP_NEW_POOL)
		message.pool = shim->pools[entry->pool].host_id;
	switch (entry->op) {
	case TMEM_OP_PUT_PAGE:
		message.payload_bytes = TMEM_PAGE_BYTES;
		break;
	case TMEM_OP_GET_PAGE:
		message.status = (int16_t)entry->count;
		if (entry->flags & TMEM_ENTRY_PRESENCE)
			message.flags |= TMEM_WIRE_PRESENCE;
		break;
	case TMEM_OP_FLUSH_RANGE:
		message.status = (int16_t)entry->count;
		break;
	case TMEM_OP_NEW_POOL:
		if (entry->slot)
			message.payload_bytes = TMEM_UUID_BYTES;
		if (entry->slot && entry->count)
			message.flags |= TMEM_WIRE_NEW_MOUNT;
		break;
	case TMEM_OP_DESTROY_POOL:
		if (entry->pool == shim->config.pools) {
			message.pool = (uint32_t)entry->index;
			message.index = 0;
		}
		break;
	case TMEM_OP_ECHO:
		shim->echo_queued = false;
		break;
	default:
		break;
	}
	return message;
}

/* Where the header of an entry without a page is. */
static uint8_t *head_of(struct tmem_shim *shim, uint64_t position)
{
	uint32_t place = position & (shim->config.queue_entries - 1);
	uint32_t piece = place / shim->piece_heads;

	return shim->head_pieces[piece] +
	       (place - piece * shim->piece_heads) * TMEM_WIRE_HEADER_BYTES;
}

/* Gives the entry its tag and digest and writes its header. Returns the message and its bytes. */
static const void *encode(struct tmem_shim *shim, uint64_t position, uint64_t *bytes)
{
	struct tmem_entry *entry = tmem_entry_at(shim, position);
	struct tmem_message message = message_of(shim, entry);
	const void *payload = NULL;
	uint8_t *to;

	if (message.payload_bytes) {
		payload = tmem_entry_page(shim, entry);
		to = (uint8_t *)tmem_entry_page(shim, entry) - TMEM_WIRE_HEADER_BYTES;
	} else {
		to = head_of(shim, position);
	}
	message.tag = entry->tag = ++shim->last_tag;
	shim->last_digest = tmem_wire_chain(shim->last_digest, &message, payload);
	entry->digest = shim->last_digest;
	entry->flags |= TMEM_ENTRY_TAGGED;
	*bytes = tmem_wire_encode(&message, shim->key, to);
	TMEM_COUNT(shim, messages_sent);
	return to;
}

static uint32_t take_queue(struct tmem_shim *shim, struct tmem_shim_segment *segments, uint32_t max)
{
	uint32_t count = 0;

	for (uint32_t batch = 0; batch < TMEM_BATCH_ENTRIES && shim->taken < shim->head;) {
		struct tmem_entry *entry = tmem_entry_at(shim, shim->taken);
		const void *data;
		uint64_t bytes;

		if (entry->op != TMEM_OP_NONE) {
			/* it may need a segment of its own */
			if (count == max)
				break;
			data = encode(shim, shim->taken, &bytes);
			add(segments, &count, data, bytes);
			shim->output_bytes += bytes;
			batch++;
		}
		entry->end_bytes = shim->output_bytes;
		shim->taken++;
	}
	return count;
}

static uint32_t take_control(struct tmem_shim *shim, struct tmem_shim_segment *segments)
{
	segments[0].data = shim->control;
	segments[0].bytes = shim->control_bytes;
	shim->output_bytes += shim->control_bytes;
	shim->control_end = shim->output_bytes;
	shim->control_bytes = 0;
	TMEM_COUNT(shim, messages_sent);
	return 1;
}

/* An orderly end, after everything that was queued before it. */
static void say_bye(struct tmem_shim *shim)
{
	struct tmem_message message = {
		.version = TMEM_WIRE_VERSION,
		.op = TMEM_OP_BYE,
		.session = shim->session,
	};

	if (shim->returned_bytes < shim->control_end)
		return;
	message.tag = ++shim->last_tag;
	shim->bye_sent = true;
	shim->control_bytes = tmem_wire_encode(&message, shim->key, shim->control);
}

uint32_t tmem_shim_output(struct tmem_shim *shim, struct tmem_shim_segment *segments, uint32_t max)
{
	unsigned long flags = tmem_shim_lock(shim);
	bool running = shim->state == TMEM_SHIM_RUNNING;
	uint32_t count = 0;

	if (running)
		tmem_shim_advance(shim);
	if (shim->ending && running && !shim->bye_sent && shim->taken == shim->head)
		say_bye(shim);
	if (max && shim->control_bytes && shim->state != TMEM_SHIM_CLOSED)
		count = take_control(shim, segments);
	else if (max && running && !shim->bye_sent)
		count = take_queue(shim, segments, max);
	if (shim->bye_sent && !shim->control_bytes && running && count == 0)
		shim->state = TMEM_SHIM_ENDED;
	/* entries that are not sent need nothing given back */
	tmem_shim_returned(shim);
	shim->pump_idle = count == 0;
	shim->wake_wanted = false;
	tmem_shim_unlock(shim, flags);
	return count;
}

void tmem_shim_returned(struct tmem_shim *shim)
{
	while (shim->returned < shim->taken &&
	       tmem_entry_at(shim, shim->returned)->end_bytes <= shim->returned_bytes)
		shim->returned++;
	tmem_queue_trim(shim);
}

void tmem_shim_sent(struct tmem_shim *shim, uint64_t bytes)
{
	unsigned long flags = tmem_shim_lock(shim);

	shim->returned_bytes += bytes;
	tmem_shim_returned(shim);
	tmem_shim_advance(shim);
	tmem_shim_unlock(shim, flags);
}

void tmem_shim_opened(struct tmem_shim *shim)
{
	unsigned long flags = tmem_shim_lock(shim);

	if (shim->state != TMEM_SHIM_CLOSED)
		tmem_link_broken(shim, TMEM_ECONNRESET);
	shim->reopen_wanted = false;
	shim->output_bytes = shim->returned_bytes = shim->control_end = 0;
	for (uint64_t position = shim->returned; position < shim->taken; position++)
		tmem_entry_at(shim, position)->end_bytes = 0;
	tmem_shim_returned(shim);
	if (shim->state == TMEM_SHIM_CLOSED)
		tmem_link_say_hello(shim);
	tmem_shim_unlock(shim, flags);
}

void tmem_shim_closed(struct tmem_shim *shim)
{
	unsigned long flags = tmem_shim_lock(shim);

	tmem_link_broken(shim, TMEM_ECONNRESET);
	shim->reopen_wanted = false;
	tmem_shim_unlock(shim, flags);
}
