/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The decoder and the map reader on any bytes. Since no fuzzer finds a keyed check, the input says
 * what the stream is made of: messages that are right, messages with a changed byte, messages that
 * are cut, and bytes as they are. What must hold: nothing is read beyond what is there
 * (sanitizers), a message that is found is one that was sent, and the stream comes to its end.
 */
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "map.h"
#include "wire.h"

enum { STREAM_MAX = 64 * 1024, SENT_MAX = 256, SESSION = 7 };
static const uint64_t KEY = 0x1122334455667788;

struct input {
	const uint8_t *data;
	size_t bytes;
};

static uint8_t stream[STREAM_MAX];
static size_t stream_bytes;
static struct tmem_message sent[SENT_MAX];
static int sent_count;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static uint8_t next(struct input *input)
{
	if (input->bytes == 0)
		return 0;
	input->bytes--;
	return *input->data++;
}

static void add_message(struct input *input, uint8_t kind)
{
	static const uint8_t ops[] = {TMEM_OP_PUT_PAGE, TMEM_OP_GET_PAGE, TMEM_OP_FLUSH_PAGE,
				      TMEM_OP_HELLO, TMEM_OP_START};
	struct tmem_message message = {.version = TMEM_WIRE_VERSION};
	size_t whole;

	message.op = ops[next(input) % sizeof(ops)];
	message.payload_bytes = next(input) * 17 % (TMEM_WIRE_PAYLOAD_MAX + 1);
	message.session = message.op == TMEM_OP_HELLO ? 0 : SESSION;
	message.tag = (uint32_t)sent_count;
	message.index = next(input);
	whole = tmem_wire_bytes(message.payload_bytes);
	if (sent_count == SENT_MAX || whole > STREAM_MAX - stream_bytes)
		return;
	memset(stream + stream_bytes + TMEM_WIRE_HEADER_BYTES, next(input), message.payload_bytes);
	tmem_wire_encode(&message, message.session ? KEY : 0, stream + stream_bytes);
	sent[sent_count++] = message;
	if (kind == 1)
		stream[stream_bytes + next(input) * 31 % whole] ^= next(input);
	if (kind == 2)
		whole = next(input) * 31 % whole;
	stream_bytes += whole;
}

static void build(struct input *input)
{
	stream_bytes = 0;
	sent_count = 0;
	while (input->bytes) {
		uint8_t kind = next(input) % 4;
		size_t raw = next(input);

		if (kind < 3) {
			add_message(input, kind);
			continue;
		}
		while (raw-- && input->bytes && stream_bytes < STREAM_MAX)
			stream[stream_bytes++] = next(input);
	}
}

/* A message that is found was sent: all of it, but for bytes of the payload, which have no check.
 */
static void check_sent(const struct tmem_message *found)
{
	CHECK(found->tag < (uint32_t)sent_count);
	CHECK(found->op == sent[found->tag].op);
	CHECK(found->check == sent[found->tag].check);
	CHECK(found->index == sent[found->tag].index);
	CHECK(found->payload_bytes == sent[found->tag].payload_bytes);
}

/* Who has seen no more than the header of a message comes to the same. */
static void check_finish(struct tmem_decoder *decoder, const uint8_t *whole, const void *payload)
{
	struct tmem_message begun;
	const void *found;
	size_t used;

	if (!payload)
		return;
	CHECK_EQ(tmem_decoder_next(decoder, whole, TMEM_WIRE_HEADER_BYTES, &begun, &found, &used),
		 TMEM_WIRE_MORE);
	CHECK_EQ(used, 0);
	CHECK_EQ(tmem_decoder_finish(&begun, whole, &found), TMEM_WIRE_FOUND);
	CHECK(found == payload);
}

static void decode_all(uint8_t piece_bytes)
{
	struct tmem_decoder decoder;
	size_t from = 0, seen = 0;

	tmem_decoder_init(&decoder, 0);
	tmem_decoder_begin(&decoder, SESSION, KEY);
	tmem_decoder_offer(&decoder, SESSION, KEY);
	while (from < stream_bytes) {
		struct tmem_message message;
		const void *payload;
		size_t used;
		/* a copy of exact size: reading beyond it is an error that the sanitizer sees */
		uint8_t *exact = malloc(seen - from + 1);
		enum tmem_wire_found found;

		memcpy(exact, stream + from, seen - from);
		found = tmem_decoder_next(&decoder, exact, seen - from, &message, &payload, &used);
		CHECK(used <= seen - from);
		from += used;
		if (found == TMEM_WIRE_FOUND) {
			check_sent(&message);
			check_finish(&decoder,
				     exact + used - tmem_wire_bytes(message.payload_bytes),
				     payload);
		} else if (found == TMEM_WIRE_DAMAGED) {
			CHECK(!decoder.searching && !used);
			tmem_decoder_search(&decoder);
		} else if (seen == stream_bytes) {
			free(exact);
			return;
		} else {
			seen += piece_bytes + 1;
			seen = seen > stream_bytes ? stream_bytes : seen;
		}
		free(exact);
	}
}

static void read_map(const uint8_t *data, size_t bytes)
{
	struct tmem_map_reader reader;
	struct tmem_map_value value;
	char key[TMEM_MAP_KEY_MAX + 1];
	int entries = 0;

	if (tmem_map_open(&reader, data, bytes))
		return;
	while (tmem_map_next(&reader, key, &value) == 1) {
		CHECK(++entries <= TMEM_MAP_ENTRIES_MAX);
		if (value.data)
			CHECK((const uint8_t *)value.data + value.bytes <= data + bytes);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct input input = {data, bytes};
	uint8_t piece_bytes = next(&input);

	read_map(data, bytes);
	build(&input);
	decode_all(piece_bytes);
	return 0;
}
