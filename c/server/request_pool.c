/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "map.h"
#include "request.h"

enum { POOLS_PER_REPLY = 1024 };

int tmem_request_new_pool(struct tmem_session *session, const struct tmem_message *request,
			  const void *untrusted_uuid, struct tmem_message *reply)
{
	uint32_t flags = (uint32_t)request->index;
	bool new_mount = (request->flags & TMEM_WIRE_NEW_MOUNT) != 0;
	uint32_t pool, granted;
	int code;

	/* The bits that the engine does not know are checked there; those it has no room for here.
	 */
	if (request->index > UINT32_MAX)
		return TMEM_EINVAL;
	if (flags & TMEM_POOL_SHARED && !new_mount &&
	    !tmem_session_may_rejoin(session, untrusted_uuid, tmem_now_ns()))
		return TMEM_ETIMEDOUT;
	code = tmem_pool_new(session->client, untrusted_uuid, flags, &pool, &granted);
	if (code != 0)
		return code;
	if (granted & TMEM_POOL_SHARED) {
		tmem_session_start_clock(session);
		if (tmem_session_join(session, pool) != 0) {
			(void)tmem_pool_destroy(session->client, pool);
			return TMEM_ENOMEM;
		}
		if (new_mount)
			tmem_session_new_mount(session, untrusted_uuid);
	}
	reply->pool = pool;
	reply->index = granted;
	return TMEM_DONE;
}

uint32_t tmem_request_list_pools(struct tmem_session *session, uint64_t untrusted_after,
				 uint8_t *to)
{
	uint32_t ids[POOLS_PER_REPLY];
	int64_t after = untrusted_after == UINT64_MAX ? -1 : (int64_t)untrusted_after;
	uint32_t count;

	if (untrusted_after != UINT64_MAX && untrusted_after >= UINT32_MAX)
		return 0;
	count = tmem_pool_list(session->client, after, ids, POOLS_PER_REPLY);
	for (uint32_t i = 0; i < count; i++)
		for (int byte = 0; byte < 4; byte++)
			to[4 * i + byte] = (uint8_t)(ids[i] >> 8 * byte);
	return 4 * count;
}

uint32_t tmem_request_report(struct tmem_session *session, uint8_t *to)
{
	struct tmem_map_writer writer;
	struct tmem_counters counters;
	struct tmem_client_info info;

	tmem_client_info(session->client, &info);
	tmem_client_counters(session->client, &counters);
	tmem_map_begin(&writer, to, TMEM_WIRE_PAYLOAD_MAX);
	tmem_map_uint(&writer, "ephemeral_pages", info.ephemeral_pages);
	tmem_map_uint(&writer, "persistent_pages", info.persistent_pages);
	tmem_map_uint(&writer, "ephemeral_bytes", info.ephemeral_bytes);
	tmem_map_uint(&writer, "persistent_bytes", info.persistent_bytes);
	tmem_map_uint(&writer, "cap_bytes", info.settings.cap_bytes);
	tmem_map_uint(&writer, "persistent_quota_bytes", info.settings.persistent_quota_bytes);
	tmem_map_uint(&writer, "weight", info.settings.weight);
	tmem_map_uint(&writer, "frozen", info.settings.frozen);
	tmem_map_uint(&writer, "pools", info.pools);
	tmem_map_uint(&writer, "epoch", session->durable.epoch);
	tmem_map_uint(&writer, "session", session->durable.session);
	for (uint32_t i = 0; i < tmem_counter_count; i++)
		tmem_map_uint(&writer, tmem_counter_texts[i].name,
			      ((const uint64_t *)&counters)[i]);
	return (uint32_t)tmem_map_end(&writer);
}
