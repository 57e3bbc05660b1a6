/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The client's side of our own protocol, as docs/protocol.md has it. */
#include <string.h>

#include "map.h"
#include "service.h"

static void send_message(struct service_client *client, struct tmem_message *message, uint64_t key,
			 const void *payload)
{
	char bytes[TMEM_WIRE_MESSAGE_MAX];
	uint32_t length;

	memcpy(bytes + TMEM_WIRE_HEADER_BYTES, payload, message->payload_bytes);
	length = tmem_wire_encode(message, key, bytes);
	memcpy(service_text(client, length), bytes, length);
	service_send(client);
}

/* The next message, which must be a reply to @op. Its payload is static memory. */
static const void *receive_message(struct service_client *client, uint8_t op,
				   struct tmem_message *ret)
{
	static char bytes[TMEM_WIRE_MESSAGE_MAX];
	const void *payload;
	size_t have = 0;
	size_t used = 0;
	enum tmem_wire_found found;

	/* a byte at a time: nothing that follows must be taken */
	do {
		service_receive(client, bytes + have++, 1);
		found = tmem_decoder_next(&client->decoder, bytes, have, ret, &payload, &used);
	} while (found == TMEM_WIRE_MORE && have < sizeof(bytes));
	if (found != TMEM_WIRE_FOUND || ret->op != op)
		service_bad_reply(client, bytes, have);
	return payload;
}

struct offer {
	uint64_t session;
	uint64_t key;
	int64_t verdict;
	uint64_t tag;
};

static void read_offer(const struct service_client *client, const struct tmem_message *reply,
		       const void *payload, struct offer *offer)
{
	struct tmem_map_reader reader;
	struct tmem_map_value value;
	char key[TMEM_MAP_KEY_MAX + 1];

	memset(offer, 0, sizeof(*offer));
	if (tmem_map_open(&reader, payload, reply->payload_bytes) != 0)
		service_bad_reply(client, payload, reply->payload_bytes);
	while (tmem_map_next(&reader, key, &value) == 1) {
		if (strcmp(key, "session") == 0)
			offer->session = value.number;
		else if (strcmp(key, "key") == 0)
			offer->key = value.number;
		else if (strcmp(key, "verdict") == 0)
			offer->verdict = (int64_t)value.number;
		else if (strcmp(key, "tag") == 0)
			offer->tag = value.number;
	}
	if (offer->verdict != 1 && offer->verdict != 2)
		bench_fail("%s: the server refuses a session: %lld", client->name,
			   (long long)offer->verdict);
}

static void hello(struct service_client *client, struct offer *offer)
{
	struct tmem_message message = {.version = TMEM_WIRE_VERSION, .op = TMEM_OP_HELLO, .tag = 1};
	struct tmem_map_writer writer;
	const void *payload;
	uint8_t map[256];

	tmem_map_begin(&writer, map, sizeof(map));
	tmem_map_uint(&writer, "version_min", TMEM_WIRE_VERSION);
	tmem_map_uint(&writer, "version_max", TMEM_WIRE_VERSION);
	tmem_map_uint(&writer, "page_bytes", TMEM_PAGE_BYTES);
	tmem_map_bytes(&writer, "boot_id", "benchmark client", 16);
	tmem_map_text(&writer, "implementation", client->name);
	message.payload_bytes = (uint16_t)tmem_map_end(&writer);
	send_message(client, &message, 0, map);
	payload = receive_message(client, TMEM_OP_HELLO, &message);
	read_offer(client, &message, payload, offer);
}

static void begin(struct service_client *client)
{
	struct tmem_message message = {.version = TMEM_WIRE_VERSION, .op = TMEM_OP_START};
	struct offer offer;

	tmem_decoder_init(&client->decoder, true);
	hello(client, &offer);
	tmem_decoder_offer(&client->decoder, (uint32_t)offer.session, offer.key);
	message.session = (uint32_t)offer.session;
	send_message(client, &message, offer.key, "");
	(void)receive_message(client, TMEM_OP_START, &message);
	if (message.status != TMEM_DONE)
		bench_fail("%s: no session: %d", client->name, message.status);
	tmem_decoder_begin(&client->decoder, (uint32_t)offer.session, offer.key);
	client->request = (struct tmem_message){
		.version = TMEM_WIRE_VERSION,
		.op = TMEM_OP_NEW_POOL,
		.tag = 1,
		.session = (uint32_t)offer.session,
		.index = TMEM_POOL_PERSISTENT | TMEM_ABI_VERSION << TMEM_POOL_VERSION_SHIFT};
	send_message(client, &client->request, offer.key, "");
	(void)receive_message(client, TMEM_OP_NEW_POOL, &message);
	if (message.status < 0)
		bench_fail("%s: no pool: %d", client->name, message.status);
	client->request.pool = message.pool;
	client->tag_answered = 1;
}

static void name_page(struct service_client *client, uint8_t op, uint16_t payload_bytes,
		      uint32_t page)
{
	const struct bench_handle *handle = &client->pages->data->handles[page];

	client->request.op = op;
	client->request.payload_bytes = payload_bytes;
	client->request.tag++;
	client->request.index = handle->index;
	client->request.oid.words[0] = handle->object;
}

static void put(struct service_client *client, uint32_t page)
{
	char tail[16];
	uint32_t tail_bytes;

	name_page(client, TMEM_OP_PUT_PAGE, TMEM_PAGE_BYTES, page);
	tail_bytes = tmem_wire_encode_parts(&client->request, client->decoder.key,
					    service_text(client, TMEM_WIRE_HEADER_BYTES), tail);
	service_payload(client, page);
	memcpy(service_text(client, tail_bytes), tail, tail_bytes);
}

static void get(struct service_client *client, uint32_t page)
{
	name_page(client, TMEM_OP_GET_PAGE, 0, page);
	tmem_wire_encode(&client->request, client->decoder.key,
			 service_text(client, TMEM_WIRE_HEADER_BYTES));
}

/* The first reply: done, under the tag that is next or, for @cumulative ones, a later one. */
static size_t reply_of(struct service_client *client, uint8_t op, const char *data, size_t bytes,
		       uint32_t *answered, const char **page)
{
	struct tmem_message reply;
	const void *payload;
	size_t used;
	enum tmem_wire_found found =
		tmem_decoder_next(&client->decoder, data, bytes, &reply, &payload, &used);

	if (found == TMEM_WIRE_MORE)
		return 0;
	if (found != TMEM_WIRE_FOUND || reply.op != op)
		service_bad_reply(client, data, bytes);
	if (reply.status != TMEM_DONE)
		bench_fail("%s: the answer is %d", client->name, reply.status);
	*answered = reply.tag - client->tag_answered;
	if (*answered == 0 || (*answered > 1 && !(reply.flags & TMEM_WIRE_CUMULATIVE)))
		bench_fail("%s: a reply out of turn: %u after %u", client->name, reply.tag,
			   client->tag_answered);
	client->tag_answered = reply.tag;
	*page = reply.payload_bytes == TMEM_PAGE_BYTES ? payload : NULL;
	return used;
}

static size_t put_reply(struct service_client *client, const char *data, size_t bytes,
			uint32_t *answered)
{
	const char *page;

	return reply_of(client, TMEM_OP_PUT_PAGE, data, bytes, answered, &page);
}

static size_t get_reply(struct service_client *client, const char *data, size_t bytes,
			const char **page)
{
	uint32_t answered;
	size_t used = reply_of(client, TMEM_OP_GET_PAGE, data, bytes, &answered, page);

	if (used > 0 && *page == NULL)
		bench_fail("%s: a get without a page", client->name);
	return used;
}

const struct service_protocol service_speaks_tmem = {
	.begin = begin,
	.put = put,
	.get = get,
	.put_reply = put_reply,
	.get_reply = get_reply,
};
