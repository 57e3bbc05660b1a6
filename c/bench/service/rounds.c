/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One run: the servers are started, filled in a round that does not count, and then take turns.
 * Every put after the first round replaces a page, so that nobody asks the kernel for memory while
 * a clock runs.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "service.h"

enum { CONTENDERS = 5, DEPTH_1_SHARE = 4 };

struct contender {
	struct service_server server;
	struct service_client client;
	struct bench_time time;
	uint64_t server_ns;
};

/* One kind of work that the contenders do in turns. */
struct contest {
	bool get;
	uint32_t depth;
	const uint32_t *order;
	uint32_t batches;
};

static void choose(struct contender *contender, const struct contest *contest)
{
	const struct service_protocol *protocol = contender->client.protocol;

	if (protocol->choose != NULL)
		protocol->choose(&contender->client, contest->get, contest->depth);
	contender->time = (struct bench_time){0};
	contender->server_ns = 0;
}

static void take_turn(struct contender *contender, const struct contest *contest, uint32_t slice)
{
	uint32_t first;
	uint32_t end;
	uint64_t server_ns;
	struct bench_time start;

	bench_slice(contest->batches, slice, BENCH_SLICES, &first, &end);
	server_ns = service_server_ns(&contender->server);
	start = bench_now();
	service_client_run(&contender->client, contest->get, contest->order, first, end,
			   contest->depth);
	bench_add_since(&contender->time, &start);
	contender->server_ns += service_server_ns(&contender->server) - server_ns;
}

/* Two samples: of the time that passed here, and of the server's processor time. */
static void report(const struct contender *contender, const struct contest *contest, uint32_t round)
{
	struct bench_time server = {.wall_ns = contender->server_ns};
	uint64_t operations = (uint64_t)contest->batches * contest->depth;
	char series[64];

	snprintf(series, sizeof(series), "%s_%u_%s", contest->get ? "get" : "put", contest->depth,
		 contender->client.name);
	bench_sample(series, round, &contender->time, operations);
	strncat(series, "_server", sizeof(series) - strlen(series) - 1);
	bench_sample(series, round, &server, operations);
}

static void run_contest(struct contender *contenders, const struct contest *contest, uint32_t round)
{
	for (uint32_t i = 0; i < CONTENDERS; i++)
		choose(&contenders[i], contest);
	for (uint32_t turn = 0; turn < BENCH_SLICES; turn++)
		for (uint32_t i = 0; i < CONTENDERS; i++)
			take_turn(&contenders[i], contest,
				  (turn + i * BENCH_SLICES / CONTENDERS) % BENCH_SLICES);
	for (uint32_t i = 0; round > 0 && i < CONTENDERS; i++)
		report(&contenders[i], contest, round);
}

static void speak(struct contender *contender, const struct service_pages *pages,
		  const struct service_protocol *protocol)
{
	service_client_open(&contender->client, contender->server.name, protocol, pages,
			    contender->server.fd);
}

static void start_raw(struct contender *contender, const struct service_pages *pages)
{
	char slots[16];
	char *command[] = {SERVICE_SELF, "serve-raw", service_socket_path(pages->data, "raw"),
			   slots, NULL};

	snprintf(slots, sizeof(slots), "%u", pages->data->plain_count);
	service_server_start(&contender->server, pages->data, "raw", command);
	speak(contender, pages, &service_speaks_raw);
}

static void start_tmem(struct contender *contender, const struct service_pages *pages,
		       const char *name, char *encoding)
{
	service_start_tmem(&contender->server, pages->data, name, encoding);
	speak(contender, pages, &service_speaks_tmem);
}

static void start_redis(struct contender *contender, const struct service_pages *pages)
{
	char *path = service_socket_path(pages->data, "redis");
	char *command[] = {"redis-server", "--port",      "0",  "--unixsocket",
			   path,           "--save",      "",   "--appendonly",
			   "no",           "--daemonize", "no", NULL};

	service_server_start(&contender->server, pages->data, "redis", command);
	speak(contender, pages, &service_speaks_redis);
}

static void start_memcached(struct contender *contender, const struct service_pages *pages)
{
	char *path = service_socket_path(pages->data, "memcached");
	char room_mib[16];
	/* -M: a set that has no room fails instead of evicting; -u is asked for from root alone */
	char *command[] = {"memcached", "-s",     path,
			   "-t",        "1",      "-M",
			   "-m",        room_mib, geteuid() == 0 ? "-u" : NULL,
			   "root",      NULL};

	snprintf(room_mib, sizeof(room_mib), "%u", (pages->data->plain_count >> 7) + 128);
	service_server_start(&contender->server, pages->data, "memcached", command);
	speak(contender, pages, &service_speaks_memcached);
}

/* Each has more memory than the set needs: nobody evicts. */
static void start_all(struct contender *contenders, const struct service_pages *pages)
{
	start_raw(&contenders[0], pages);
	start_tmem(&contenders[1], pages, "tmem_raw", "raw");
	start_tmem(&contenders[2], pages, "tmem_lz4", "lz4");
	start_redis(&contenders[3], pages);
	start_memcached(&contenders[4], pages);
}

static void stop_all(struct contender *contenders, const struct bench_data *data)
{
	for (uint32_t i = 0; i < CONTENDERS; i++) {
		service_client_close(&contenders[i].client);
		service_server_stop(&contenders[i].server, data);
	}
}

static void run(const struct service_pages *pages)
{
	static struct contender contenders[CONTENDERS];
	const struct bench_data *data = pages->data;
	/* two orders: a server that stores pages as they come must not find them in a row */
	uint32_t *put_order = bench_shuffled(data->plain, data->plain_count);
	uint32_t *get_order = bench_shuffled(put_order, data->plain_count / SERVICE_DEPTH_MAX *
								SERVICE_DEPTH_MAX);
	/* whole batches: up to 63 pages of the set are left out */
	uint32_t batches = data->plain_count / SERVICE_DEPTH_MAX;
	uint32_t single = data->plain_count / DEPTH_1_SHARE;
	const struct contest contests[] = {
		{false, SERVICE_DEPTH_MAX, put_order, batches},
		{true, SERVICE_DEPTH_MAX, get_order, batches},
		{false, 1, put_order, single},
		{true, 1, get_order, single},
	};

	start_all(contenders, pages);
	for (uint32_t round = 0; round <= data->rounds; round++)
		for (size_t i = 0; i < sizeof(contests) / sizeof(*contests); i++)
			run_contest(contenders, &contests[i], round);
	stop_all(contenders, data);
	free(put_order);
	free(get_order);
}

static const char *real_page(const struct service_pages *pages, uint32_t number)
{
	return bench_page(pages->data, number);
}

static const char *made_up_page(const struct service_pages *pages, uint32_t number)
{
	return pages->made_up + (uint64_t)number * TMEM_PAGE_BYTES;
}

void service_real(const struct bench_data *data)
{
	const struct service_pages pages = {.data = data, .page = real_page};

	run(&pages);
}

void service_incompressible(const struct bench_data *data)
{
	uint64_t words = (uint64_t)data->page_count * TMEM_PAGE_BYTES / sizeof(uint64_t);
	uint64_t *made_up = bench_alloc(words * sizeof(*made_up));
	const struct service_pages pages = {
		.data = data, .page = made_up_page, .made_up = (const char *)made_up};
	uint64_t state = 2;

	for (uint64_t i = 0; i < words; i++)
		made_up[i] = bench_random(&state);
	run(&pages);
	free(made_up);
}
