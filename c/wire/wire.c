// SPDX-License-Identifier: GPL-2.0-or-later
#include "wire.h"

#include "bytes.h"
#ifndef __KERNEL__
#include <stdbool.h>
#endif

enum { CHECK_AT = 12, SAMPLES = 8, SAMPLE_STRIDE_BYTES = 520 };
enum {
	KNOWN_FLAGS = TMEM_WIRE_REPLY | TMEM_WIRE_CUMULATIVE | TMEM_WIRE_AHEAD |
		      TMEM_WIRE_PRESENCE | TMEM_WIRE_TOKEN | TMEM_WIRE_NEW_MOUNT,
};

static uint32_t padding(uint32_t payload_bytes)
{
	return -payload_bytes & 7;
}

uint32_t tmem_wire_bytes(uint32_t payload_bytes)
{
	if (!payload_bytes)
		return TMEM_WIRE_HEADER_BYTES;
	return TMEM_WIRE_HEADER_BYTES + payload_bytes + padding(payload_bytes) +
	       TMEM_WIRE_TAIL_BYTES;
}

static void store_header(const struct tmem_message *message, uint32_t session, uint8_t *to)
{
	tmem_store32(to, TMEM_WIRE_MAGIC);
	to[4] = message->version;
	to[5] = message->op;
	tmem_store16(to + 6, message->flags);
	tmem_store16(to + 8, message->payload_bytes);
	tmem_store16(to + 10, (uint16_t)message->status);
	tmem_store32(to + CHECK_AT, 0);
	tmem_store32(to + 16, message->tag);
	tmem_store32(to + 20, session);
	tmem_store32(to + 24, message->pool);
	tmem_store32(to + 28, 0);
	tmem_store64(to + 32, message->index);
	for (int i = 0; i < TMEM_OID_WORDS; i++)
		tmem_store64(to + 40 + 8 * i, message->oid.words[i]);
}

static void load_header(struct tmem_message *message, const uint8_t *from)
{
	message->version = from[4];
	message->op = from[5];
	message->flags = tmem_load16(from + 6);
	message->payload_bytes = tmem_load16(from + 8);
	message->status = (int16_t)tmem_load16(from + 10);
	message->check = tmem_load32(from + CHECK_AT);
	message->tag = tmem_load32(from + 16);
	message->session = tmem_load32(from + 20);
	message->pool = tmem_load32(from + 24);
	message->index = tmem_load64(from + 32);
	for (int i = 0; i < TMEM_OID_WORDS; i++)
		message->oid.words[i] = tmem_load64(from + 40 + 8 * i);
}

uint32_t tmem_wire_encode_parts(struct tmem_message *message, uint64_t key, void *header,
				void *tail)
{
	uint32_t zeros = padding(message->payload_bytes);

	store_header(message, message->session, header);
	message->check = (uint32_t)tmem_xxh64(header, TMEM_WIRE_HEADER_BYTES, key);
	tmem_store32((uint8_t *)header + CHECK_AT, message->check);
	if (!message->payload_bytes)
		return 0;
	tmem_store64(tail, 0);
	tmem_store64((uint8_t *)tail + zeros, (uint32_t)~message->check);
	return zeros + TMEM_WIRE_TAIL_BYTES;
}

uint32_t tmem_wire_encode(struct tmem_message *message, uint64_t key, void *to)
{
	uint8_t *header = to;
	uint8_t *tail = header + TMEM_WIRE_HEADER_BYTES + message->payload_bytes;

	tmem_wire_encode_parts(message, key, header, tail);
	return tmem_wire_bytes(message->payload_bytes);
}

uint32_t tmem_wire_peek(const void *untrusted_data, size_t bytes,
			struct tmem_message *untrusted_ret)
{
	if (bytes < TMEM_WIRE_HEADER_BYTES || tmem_load32(untrusted_data) != TMEM_WIRE_MAGIC)
		return 0;
	load_header(untrusted_ret, untrusted_data);
	if (untrusted_ret->payload_bytes > TMEM_WIRE_PAYLOAD_MAX)
		return 0;
	return tmem_wire_bytes(untrusted_ret->payload_bytes);
}

static bool check_holds(const uint8_t *header, uint32_t check, uint64_t key)
{
	uint8_t copy[TMEM_WIRE_HEADER_BYTES];

	memcpy(copy, header, sizeof(copy));
	tmem_store32(copy + CHECK_AT, 0);
	return check == (uint32_t)tmem_xxh64(copy, sizeof(copy), key);
}

static bool tail_holds(const uint8_t *tail, uint32_t payload_bytes, uint32_t check)
{
	uint32_t zeros = padding(payload_bytes);

	for (uint32_t i = 0; i < zeros; i++)
		if (tail[i])
			return false;
	return tmem_load64(tail + zeros) == (uint32_t)~check;
}

/* Whether the header at @from may begin a message, and with which key; @message is loaded from it.
 */
static bool is_possible(const struct tmem_decoder *decoder, const uint8_t *from,
			const struct tmem_message *message, uint64_t *key)
{
	bool offered = decoder->offered && message->session == decoder->offered;
	bool start = message->op == TMEM_OP_START && offered;
	bool hello = message->op == TMEM_OP_HELLO && !message->session;

	if (tmem_load32(from) != TMEM_WIRE_MAGIC || tmem_load32(from + 28))
		return false;
	if (!(message->flags & TMEM_WIRE_REPLY) != !decoder->replies)
		return false;
	if (message->payload_bytes > TMEM_WIRE_PAYLOAD_MAX)
		return false;
	if (hello) {
		*key = 0;
		return true;
	}
	if (message->version != TMEM_WIRE_VERSION || message->flags & ~KNOWN_FLAGS)
		return false;
	if (start) {
		*key = decoder->offered_key;
		return true;
	}
	*key = decoder->key;
	return !decoder->searching && decoder->session && message->session == decoder->session;
}

enum tmem_wire_found tmem_decoder_finish(const struct tmem_message *message, const void *data,
					 const void **payload)
{
	const uint8_t *content = (const uint8_t *)data + TMEM_WIRE_HEADER_BYTES;

	*payload = NULL;
	if (!message->payload_bytes)
		return TMEM_WIRE_FOUND;
	if (!tail_holds(content + message->payload_bytes, message->payload_bytes, message->check))
		return TMEM_WIRE_DAMAGED;
	*payload = content;
	return TMEM_WIRE_FOUND;
}

/* Looks for a message at @from, of which @bytes are there. */
static enum tmem_wire_found decode_here(const struct tmem_decoder *decoder, const uint8_t *from,
					size_t bytes, struct tmem_message *ret,
					const void **payload)
{
	uint64_t key;

	if (bytes < TMEM_WIRE_HEADER_BYTES) {
		static const uint8_t magic[] = {'T', 'M', 'e', 'm'};
		size_t seen = bytes < sizeof(magic) ? bytes : sizeof(magic);

		return memcmp(from, magic, seen) ? TMEM_WIRE_DAMAGED : TMEM_WIRE_MORE;
	}
	load_header(ret, from);
	if (!is_possible(decoder, from, ret, &key) || !check_holds(from, ret->check, key))
		return TMEM_WIRE_DAMAGED;
	if (bytes < tmem_wire_bytes(ret->payload_bytes))
		return TMEM_WIRE_MORE;
	return tmem_decoder_finish(ret, from, payload);
}

/* The next place from @from on, before @end, at which a magic may begin. */
static const uint8_t *next_place(const uint8_t *from, const uint8_t *end)
{
	const uint8_t *found = from < end ? memchr(from, 'T', end - from) : NULL;

	return found ? found : end;
}

enum tmem_wire_found tmem_decoder_next(struct tmem_decoder *decoder, const void *data, size_t bytes,
				       struct tmem_message *ret, const void **payload, size_t *used)
{
	const uint8_t *from = data, *end = from + bytes;
	enum tmem_wire_found found = decode_here(decoder, from, bytes, ret, payload);

	while (found == TMEM_WIRE_DAMAGED && decoder->searching) {
		const uint8_t *next = next_place(from + 1, end);

		decoder->skipped_bytes += next - from;
		from = next;
		found = decode_here(decoder, from, end - from, ret, payload);
	}
	*used = from - (const uint8_t *)data;
	if (found == TMEM_WIRE_FOUND)
		*used += tmem_wire_bytes(ret->payload_bytes);
	else
		*payload = NULL;
	return found;
}

void tmem_decoder_init(struct tmem_decoder *decoder, int replies)
{
	memset(decoder, 0, sizeof(*decoder));
	decoder->replies = replies;
	decoder->searching = true;
}

void tmem_decoder_search(struct tmem_decoder *decoder)
{
	decoder->searching = true;
	decoder->session = 0;
	decoder->key = 0;
}

void tmem_decoder_offer(struct tmem_decoder *decoder, uint32_t session, uint64_t key)
{
	decoder->offered = session;
	decoder->offered_key = key;
}

void tmem_decoder_begin(struct tmem_decoder *decoder, uint32_t session, uint64_t key)
{
	decoder->session = session;
	decoder->key = key;
	decoder->searching = false;
	decoder->offered = 0;
	decoder->offered_key = 0;
}

uint64_t tmem_wire_chain(uint64_t chain, const struct tmem_message *message, const void *payload)
{
	uint8_t header[TMEM_WIRE_HEADER_BYTES];
	uint64_t samples[SAMPLES];

	store_header(message, 0, header);
	chain = tmem_xxh64(header, sizeof(header), chain);
	if (!message->payload_bytes)
		return chain;
	if (message->payload_bytes != TMEM_PAGE_BYTES)
		return tmem_xxh64(payload, message->payload_bytes, chain);
	for (int i = 0; i < SAMPLES; i++)
		memcpy(&samples[i], (const uint8_t *)payload + i * SAMPLE_STRIDE_BYTES,
		       sizeof(samples[i]));
	return tmem_xxh64(samples, sizeof(samples), chain);
}
