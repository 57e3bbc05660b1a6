/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Our server: an arena with room for the set, one client, one worker. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "server.h"
#include "service.h"
#include "store.h"

static void make_client(struct tmem_engine *engine, const char *name, enum tmem_encoding encoding,
			uint64_t bytes)
{
	struct tmem_client *client;
	struct tmem_client_info info;

	if (tmem_client_create(engine, name, &client) != 0)
		bench_fail("cannot create a client");
	tmem_client_info(client, &info);
	info.settings.encoding = encoding;
	info.settings.persistent_quota_bytes = bytes;
	if (tmem_client_set(client, &info.settings) != 0)
		bench_fail("cannot set up a client");
}

void service_serve_tmem(const char *path, const char *folder, uint32_t pages, const char *encoding)
{
	const struct bench_data data = {.folder = folder};
	struct tmem_options options = {.budget_bytes = bench_room_bytes(pages), .create = 1};
	struct tmem_server_options server_options = {.workers = 1};
	struct tmem_channel_options channel = {.peer_uid = -1};
	struct tmem_server *server;
	struct tmem_engine *engine;
	struct tmem_error error;
	const char *state;

	if (tmem_engine_open(bench_path(&data, encoding), &options, &engine, &error) != 0)
		bench_fail("%s", error.message);
	if (tmem_engine_set_shared_auth_all(engine, 1) != 0)
		bench_fail("cannot allow shared pools");
	/* open, and gone with the process */
	unlink(bench_path(&data, encoding));
	snprintf(channel.client, sizeof(channel.client), "bench");
	snprintf(channel.path, sizeof(channel.path), "%s", path);
	make_client(engine, channel.client,
		    strcmp(encoding, "lz4") == 0 ? TMEM_ENCODING_LZ4 : TMEM_ENCODING_RAW,
		    options.budget_bytes);
	state = bench_path(&data, encoding);
	if (tmem_server_start(engine, state, &server_options, &server, &error) != 0)
		bench_fail("%s", error.message);
	unlink(state);
	if (tmem_server_listen(server, &channel, &error) < 0)
		bench_fail("%s", error.message);
	for (;;)
		pause();
}
