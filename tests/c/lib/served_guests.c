// SPDX-License-Identifier: GPL-2.0-or-later
#include "served_guests.h"

#include <stdio.h>

#include "check.h"
#include "scratch.h"
#include "setup.h"

enum { ARENA_BYTES = 64 << 20 };

struct tmem_engine *engine;
static struct tmem_server *server;
struct tmem_transport *transports[GUESTS];
struct tmem_shim *shims[GUESTS];

static void socket_path(char *path, int guest)
{
	char name[32];

	snprintf(name, sizeof(name), "socket%d", guest);
	scratch_path(path, name);
}

void start_server(void)
{
	/* long, so that a slow machine expels nobody */
	const struct tmem_server_options options = {
		.workers = 2, .lease_ms = 1000, .expel_ms = 48000, .giveup_ms = 60000};
	char path[SCRATCH_PATH_BYTES];
	struct tmem_error error;

	engine = setup_engine("arena", ARENA_BYTES);
	CHECK_EQ(tmem_engine_set_shared_auth_all(engine, 1), 0);
	scratch_path(path, "state");
	if (tmem_server_start(engine, path, &options, &server, &error) != 0)
		check_failed(__FILE__, __LINE__, "%s", error.message);
	for (int i = 0; i < GUESTS; i++) {
		struct tmem_channel_options channel = {.peer_uid = -1};

		snprintf(channel.client, sizeof(channel.client), "guest%d", i);
		socket_path(path, i);
		snprintf(channel.path, sizeof(channel.path), "%s", path);
		if (tmem_server_listen(server, &channel, &error) < 0)
			check_failed(__FILE__, __LINE__, "%s", error.message);
	}
}

void stop_server(void)
{
	tmem_server_stop(server, 1000);
	tmem_engine_close(engine);
}

void start_guests(const char *test)
{
	for (int i = 0; i < GUESTS; i++) {
		struct tmem_transport_options options = {.fd = -1};
		char path[SCRATCH_PATH_BYTES];

		socket_path(path, i);
		snprintf(options.path, sizeof(options.path), "%s", path);
		snprintf((char *)options.config.boot_id, sizeof(options.config.boot_id), "%d%s", i,
			 test);
		options.config.queue_entries = 64;
		options.config.staged_pages = 32;
		CHECK_EQ(tmem_transport_new(&options, &transports[i]), 0);
		shims[i] = tmem_transport_shim(transports[i]);
		CHECK_EQ(tmem_transport_start(transports[i]), 0);
	}
}

void stop_guests(void)
{
	for (int i = 0; i < GUESTS; i++) {
		CHECK_EQ(tmem_transport_wait(transports[i], PATIENCE_MS), 0);
		CHECK_EQ(tmem_transport_stop(transports[i], 1, PATIENCE_MS), 0);
		tmem_transport_free(transports[i]);
	}
}

uint32_t pool_of(int guest, uint32_t flags, const uint8_t *uuid)
{
	int id = tmem_shim_new_pool(shims[guest], flags, uuid);

	CHECK(id >= 0);
	CHECK_EQ(tmem_shim_pool_wait(shims[guest], (uint32_t)id, PATIENCE_MS), TMEM_DONE);
	return (uint32_t)id;
}

uint64_t guest_counter(int guest, size_t offset)
{
	struct tmem_shim_counters counters;

	tmem_shim_counters(shims[guest], &counters);
	return *(uint64_t *)((uint8_t *)&counters + offset);
}

struct tmem_oid oid_of(uint64_t object)
{
	return (struct tmem_oid){{object + 1, 0, 5}};
}
