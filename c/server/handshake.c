/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "handshake.h"

#include <string.h>

#include "map.h"
#include "request.h"

#define IMPLEMENTATION "kvm-tmem"

struct hello_fields {
	struct tmem_hello hello;
	uint64_t version_min;
	uint64_t version_max;
	uint64_t page_bytes;
	bool has_boot_id;
};

/* What people read; a guest's control characters are not for their terminals. */
static void take_implementation(char *to, const struct tmem_map_value *value)
{
	uint32_t bytes = value->bytes < TMEM_IMPLEMENTATION_BYTES - 1
				 ? value->bytes
				 : TMEM_IMPLEMENTATION_BYTES - 1;

	for (uint32_t i = 0; i < bytes; i++) {
		char c = ((const char *)value->data)[i];

		to[i] = c >= ' ' && c <= '~' ? c : '?';
	}
}

static bool take_field(struct hello_fields *fields, const char *key,
		       const struct tmem_map_value *value)
{
	const struct {
		const char *key;
		uint64_t *number;
	} numbers[] = {
		{"version_min", &fields->version_min}, {"version_max", &fields->version_max},
		{"page_bytes", &fields->page_bytes},   {"session", &fields->hello.session},
		{"token", &fields->hello.token},
	};

	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		if (strcmp(key, numbers[i].key) == 0) {
			*numbers[i].number = value->number;
			return value->kind == TMEM_MAP_UINT;
		}
	if (strcmp(key, "boot_id") == 0) {
		fields->has_boot_id =
			value->kind == TMEM_MAP_BYTES && value->bytes == TMEM_BOOT_ID_BYTES;
		if (fields->has_boot_id)
			memcpy(fields->hello.boot_id, value->data, TMEM_BOOT_ID_BYTES);
		return fields->has_boot_id;
	}
	if (strcmp(key, "implementation") == 0) {
		if (value->kind != TMEM_MAP_TEXT)
			return false;
		take_implementation(fields->hello.implementation, value);
	}
	return true;
}

/* Reads HELLO's map: NULL, or what is wrong with it. */
static const char *read_hello(const struct tmem_message *message, const void *untrusted_payload,
			      struct hello_fields *ret)
{
	char key[TMEM_MAP_KEY_MAX + 1];
	struct tmem_map_reader reader;
	struct tmem_map_value value;
	int more;

	memset(ret, 0, sizeof(*ret));
	if (tmem_map_open(&reader, untrusted_payload, message->payload_bytes) != 0)
		return "its payload is no map";
	while ((more = tmem_map_next(&reader, key, &value)) > 0)
		if (!take_field(ret, key, &value))
			return "a field has the wrong type";
	if (more < 0)
		return "its map is damaged";
	if (!ret->has_boot_id)
		return "it has no boot_id of 16 bytes";
	return NULL;
}

static uint32_t write_hello_reply(const struct tmem_server *server, const struct tmem_offer *offer,
				  uint8_t *to)
{
	struct tmem_map_writer writer;

	tmem_map_begin(&writer, to, TMEM_WIRE_PAYLOAD_MAX);
	tmem_map_int(&writer, "verdict", offer->verdict);
	tmem_map_uint(&writer, "version_min", TMEM_WIRE_VERSION);
	tmem_map_uint(&writer, "version_max", TMEM_WIRE_VERSION);
	tmem_map_uint(&writer, "version", TMEM_WIRE_VERSION);
	tmem_map_text(&writer, "implementation", IMPLEMENTATION);
	if (offer->verdict > 0) {
		tmem_map_uint(&writer, "session", offer->session);
		tmem_map_uint(&writer, "key", offer->key);
		tmem_map_uint(&writer, "epoch", offer->epoch);
		tmem_map_uint(&writer, "tag", offer->tag);
		tmem_map_uint(&writer, "lease_ms", server->times.lease_ns / 1000000);
		tmem_map_uint(&writer, "expel_ms", server->times.expel_ns / 1000000);
		tmem_map_uint(&writer, "giveup_ms", server->times.giveup_ns / 1000000);
		tmem_map_bool(&writer, "rejoin", offer->rejoin);
		tmem_map_bool(&writer, "pools_kept", offer->pools_kept);
	}
	return (uint32_t)tmem_map_end(&writer);
}

void tmem_handshake_hello(struct tmem_connection *connection, const struct tmem_message *message,
			  const void *untrusted_payload)
{
	struct tmem_session *session = connection->session;
	struct tmem_offer *offer = &connection->offer;
	struct hello_fields fields;
	struct tmem_message reply = {.status = TMEM_DONE};
	const char *wrong = read_hello(message, untrusted_payload, &fields);

	memset(offer, 0, sizeof(*offer));
	if (wrong != NULL) {
		offer->verdict = TMEM_EPROTO;
		tmem_add(&session->counters.refused_messages, 1);
		tmem_connection_report_bad(connection, TMEM_EPROTO, "HELLO", wrong);
	} else if (fields.version_min > TMEM_WIRE_VERSION ||
		   fields.version_max < TMEM_WIRE_VERSION) {
		offer->verdict = TMEM_EPROTO;
	} else if (fields.page_bytes != TMEM_PAGE_BYTES) {
		offer->verdict = TMEM_EOPNOTSUPP;
	} else {
		tmem_session_offer(session, &fields.hello, offer);
	}
	if (offer->verdict < 0)
		reply.status = (int16_t)offer->verdict;
	tmem_decoder_offer(&connection->decoder, offer->session, offer->key);
	connection->turn->over = true;
	tmem_reply_left_out(connection);
	tmem_reply(connection, message, 0, &reply,
		   write_hello_reply(session->server, offer, tmem_reply_payload(connection->turn)));
}

void tmem_handshake_start(struct tmem_connection *connection, const struct tmem_message *message)
{
	struct tmem_session *session = connection->session;
	struct tmem_offer *offer = &connection->offer;
	struct tmem_message reply = {.status = TMEM_EILSEQ};
	uint64_t key = connection->decoder.offered_key;

	tmem_reply_left_out(connection);
	reply.status = (int16_t)tmem_session_start(session, offer, connection, message->tag,
						   message->index);
	if (reply.status == TMEM_DONE) {
		tmem_decoder_begin(&connection->decoder, offer->session, offer->key);
		reply.flags = TMEM_WIRE_TOKEN;
		reply.oid.words[2] = tmem_session_token(session, tmem_now_ns());
		if (tmem_tracing(session))
			tmem_trace_begins(session, offer);
	} else {
		tmem_decoder_offer(&connection->decoder, 0, 0);
	}
	tmem_reply(connection, message, key, &reply, 0);
	connection->turn->over = true;
}
