// SPDX-License-Identifier: GPL-2.0-or-later
#include "core.h"

enum verdict { RESUME = 1, NEW_EPOCH = 2 };

/* A refused HELLO is said again, but not at the pace of one that was lost. */
enum { REFUSED_FACTOR = 4 };

/* ---- HELLO and START ------------------------------------------------------------------ */

static void send_control(struct tmem_shim *shim, struct tmem_message *message, uint64_t key)
{
	message->version = TMEM_WIRE_VERSION;
	shim->control_bytes = tmem_wire_encode(message, key, shim->control);
	if (shim->pump_idle)
		shim->wake_wanted = true;
}

static uint64_t after_ms(struct tmem_shim *shim, uint64_t ms)
{
	return tmem_shim_now(shim) + ms * TMEM_NS_PER_MS;
}

void tmem_link_say_hello(struct tmem_shim *shim)
{
	struct tmem_message message = {.op = TMEM_OP_HELLO};
	struct tmem_map_writer map;

	shim->hello_ns = after_ms(shim, shim->config.hello_ms);
	/* the one before is still being sent */
	if (shim->control_bytes || shim->returned_bytes < shim->control_end)
		return;
	shim->state = TMEM_SHIM_HELLO;
	tmem_decoder_search(&shim->decoder);
	tmem_decoder_offer(&shim->decoder, 0, 0);
	tmem_map_begin(&map, shim->control + TMEM_WIRE_HEADER_BYTES,
		       TMEM_CONTROL_BYTES - TMEM_WIRE_HEADER_BYTES - 2 * TMEM_WIRE_TAIL_BYTES);
	tmem_map_uint(&map, "version_min", TMEM_WIRE_VERSION);
	tmem_map_uint(&map, "version_max", TMEM_WIRE_VERSION);
	tmem_map_uint(&map, "page_bytes", TMEM_PAGE_BYTES);
	tmem_map_bytes(&map, "boot_id", shim->config.boot_id, sizeof(shim->config.boot_id));
	tmem_map_text(&map, "implementation", shim->config.implementation);
	if (shim->session)
		tmem_map_uint(&map, "session", shim->session);
	if (shim->confirmed)
		tmem_map_uint(&map, "token", shim->confirmed);
	message.payload_bytes = (uint16_t)tmem_map_end(&map);
	message.tag = shim->hello_tag = tmem_platform_random();
	TMEM_COUNT(shim, hellos);
	send_control(shim, &message, 0);
}

struct hello {
	uint64_t verdict, session, key, epoch, tag, lease_ms, giveup_ms, version, rejoin,
		pools_kept;
};

static bool text_equal(const char *a, const char *b)
{
	while (*a && *a == *b) {
		a++;
		b++;
	}
	return *a == *b;
}

static bool read_hello(struct hello *hello, const void *payload, uint32_t bytes)
{
	struct tmem_map_reader map;
	struct tmem_map_value value;
	char key[TMEM_MAP_KEY_MAX + 1];
	const struct {
		const char *key;
		uint64_t *value;
	} fields[] = {
		{"verdict", &hello->verdict},
		{"session", &hello->session},
		{"key", &hello->key},
		{"epoch", &hello->epoch},
		{"tag", &hello->tag},
		{"lease_ms", &hello->lease_ms},
		{"giveup_ms", &hello->giveup_ms},
		{"version", &hello->version},
		{"rejoin", &hello->rejoin},
		{"pools_kept", &hello->pools_kept},
	};
	int found = tmem_map_open(&map, payload, bytes);

	memset(hello, 0, sizeof(*hello));
	hello->rejoin = true;
	if (found)
		return false;
	while ((found = tmem_map_next(&map, key, &value)) > 0) {
		for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
			if (text_equal(key, fields[i].key))
				*fields[i].value = value.number;
	}
	return !found;
}

static void refused(struct tmem_shim *shim, int verdict)
{
	shim->last_code = verdict;
	tmem_shim_tell(shim, TMEM_SHIM_REFUSED, verdict);
	if (verdict == TMEM_EUCLEAN || verdict == TMEM_ESTALE) {
		tmem_link_over(shim, true);
		tmem_link_lost(shim);
	} else if (verdict == TMEM_ENODEV) {
		tmem_link_over(shim, true);
	}
	shim->hello_ns = after_ms(shim, (uint64_t)shim->config.hello_ms * REFUSED_FACTOR);
	shim->state = TMEM_SHIM_HELLO;
	shim->wake_wanted = true;
}

static void send_start(struct tmem_shim *shim, const struct hello *hello)
{
	struct tmem_message message = {.op = TMEM_OP_START, .session = (uint32_t)hello->session};

	if (shim->offer_resumes) {
		message.tag = (uint32_t)hello->tag;
		/* a digest that is not known is none that the host can have, but for its last tag 0
		 */
		if (!tmem_replay_digest(shim, message.tag, &message.index))
			message.index = ~shim->answered_digest;
	}
	shim->offer = message;
	shim->state = TMEM_SHIM_START;
	shim->hello_ns = after_ms(shim, shim->config.hello_ms);
	tmem_decoder_offer(&shim->decoder, message.session, hello->key);
	send_control(shim, &message, hello->key);
}

void tmem_link_hello_reply(struct tmem_shim *shim, const struct tmem_message *message,
			   const void *payload)
{
	struct hello hello;

	if (shim->state != TMEM_SHIM_HELLO || message->tag != shim->hello_tag)
		return;
	if (!payload || !read_hello(&hello, payload, message->payload_bytes)) {
		refused(shim, TMEM_EPROTO);
		return;
	}
	if (hello.verdict != RESUME && hello.verdict != NEW_EPOCH) {
		refused(shim, (int64_t)hello.verdict < 0 ? (int)hello.verdict : TMEM_EPROTO);
		return;
	}
	if (hello.version != TMEM_WIRE_VERSION || !hello.session || hello.session > UINT32_MAX ||
	    (hello.verdict == RESUME && !shim->session)) {
		refused(shim, TMEM_EPROTO);
		return;
	}
	shim->offer_resumes = hello.verdict == RESUME;
	shim->offer_rejoin = hello.rejoin;
	shim->offer_keeps_pools = hello.pools_kept;
	shim->offered_epoch = hello.epoch;
	shim->offered_key = hello.key;
	shim->offered_lease_ms = (uint32_t)hello.lease_ms;
	shim->offered_giveup_ms = (uint32_t)hello.giveup_ms;
	/* the host will not have it again, but does not know that we know before START */
	if (!shim->offer_resumes && shim->session)
		tmem_link_over(shim, false);
	send_start(shim, &hello);
}

static void begin(struct tmem_shim *shim)
{
	uint64_t now_ns = tmem_shim_now(shim);

	shim->session = shim->offer.session;
	shim->key = shim->offered_key;
	shim->epoch = shim->offered_epoch;
	shim->lease_ms = shim->offered_lease_ms;
	if (shim->offered_giveup_ms)
		shim->giveup_ms = shim->offered_giveup_ms;
	shim->token = 0; /* one is good for the session and the service that gave it */
	shim->state = TMEM_SHIM_RUNNING;
	shim->last_code = 0;
	shim->hello_ns = TMEM_NEVER;
	shim->heard_ns = now_ns;
	shim->echo_ns = now_ns;
	tmem_decoder_begin(&shim->decoder, shim->session, shim->key);
}

void tmem_link_start_reply(struct tmem_shim *shim, const struct tmem_message *message)
{
	uint32_t replayed;

	if (shim->state != TMEM_SHIM_START || message->session != shim->offer.session)
		return;
	if (message->status == TMEM_ESTALE) {
		refused(shim, TMEM_ESTALE);
		shim->hello_ns = tmem_shim_now(shim);
		return;
	}
	if (message->status != TMEM_DONE) {
		shim->hello_ns = after_ms(shim, shim->config.hello_ms);
		shim->state = TMEM_SHIM_HELLO;
		shim->wake_wanted = true;
		return;
	}
	if (shim->offer_resumes) {
		replayed = tmem_replay_resume(shim, shim->offer.tag, shim->offer.index);
		begin(shim);
		TMEM_COUNT(shim, sessions_resumed);
		tmem_shim_tell(shim, TMEM_SHIM_RESUMED, replayed);
	} else {
		if (!shim->offer_keeps_pools)
			tmem_link_lost(shim);
		tmem_replay_epoch(shim);
		tmem_pools_epoch(shim, shim->offer_rejoin, shim->offer_keeps_pools);
		shim->confirmed = 0;
		begin(shim);
		TMEM_COUNT(shim, sessions_new);
		tmem_shim_tell(shim, TMEM_SHIM_STARTED, (int64_t)shim->epoch);
	}
	shim->progress_ns = shim->answered < shim->head ? tmem_shim_now(shim) : TMEM_NEVER;
	tmem_shim_advance(shim);
}
