/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "guest.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "check.h"

enum { SEGMENTS = 64, INPUT_BYTES = 64 << 10 };

static void wake(void *context)
{
	struct guest *guest = context;

	if (!__atomic_exchange_n(&guest->woken, 1, __ATOMIC_ACQ_REL))
		CHECK_EQ(write(guest->wake[1], "", 1), 1);
}

static void reopen(void *context)
{
	guest_cut(context);
}

static void event(void *context, int kind, int64_t code)
{
	struct guest *guest = context;

	(void)code;
	__atomic_add_fetch(&guest->events[kind], 1, __ATOMIC_RELAXED);
}

/* ---- the pump -------------------------------------------------------------------------------- */

struct output {
	struct tmem_shim_segment segments[SEGMENTS];
	uint32_t count, at;
	uint64_t offset;
};

static void open_stream(struct guest *guest, struct output *output)
{
	struct tmem_channel_options options = {.peer_uid = -1};
	struct tmem_error error;
	int pair[2];

	pthread_mutex_lock(&guest->lock);
	guest->cut = 0;
	if (guest->server != NULL) {
		CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
		CHECK_EQ(fcntl(pair[0], F_SETFL, O_NONBLOCK), 0);
		snprintf(options.client, sizeof(options.client), "%s", guest->name);
		if (tmem_server_adopt(guest->server, pair[1], &options, &error) > 0)
			guest->fd = pair[0];
		else
			close(pair[0]);
	}
	pthread_mutex_unlock(&guest->lock);
	output->count = output->at = 0;
	output->offset = 0;
	if (guest->fd >= 0)
		tmem_shim_opened(guest->shim);
}

static void close_stream(struct guest *guest)
{
	if (guest->fd >= 0)
		close(guest->fd);
	guest->fd = -1;
	tmem_shim_closed(guest->shim);
}

/* Writes what there is. False: the stream is gone. */
static int push(struct guest *guest, struct output *output)
{
	for (;;) {
		struct iovec parts[SEGMENTS];
		uint32_t count = 0;
		ssize_t sent;

		if (output->at == output->count) {
			output->at = 0;
			output->offset = 0;
			output->count = tmem_shim_output(guest->shim, output->segments, SEGMENTS);
			if (output->count == 0)
				return 1;
		}
		for (uint32_t i = output->at; i < output->count; i++) {
			uint64_t skip = i == output->at ? output->offset : 0;

			parts[count].iov_base = (uint8_t *)output->segments[i].data + skip;
			parts[count++].iov_len = output->segments[i].bytes - skip;
		}
		sent = writev(guest->fd, parts, (int)count);
		if (sent < 0)
			return errno == EAGAIN || errno == EINTR;
		tmem_shim_sent(guest->shim, (uint64_t)sent);
		while (sent > 0) {
			uint64_t left = output->segments[output->at].bytes - output->offset;
			uint64_t part = (uint64_t)sent < left ? (uint64_t)sent : left;

			output->offset += part;
			sent -= (ssize_t)part;
			if (part == left) {
				output->at++;
				output->offset = 0;
			}
		}
	}
}

static int pull(struct guest *guest, void *buffer)
{
	for (;;) {
		ssize_t bytes = read(guest->fd, buffer, INPUT_BYTES);

		if (bytes < 0)
			return errno == EAGAIN || errno == EINTR;
		if (bytes == 0)
			return 0;
		tmem_shim_input(guest->shim, buffer, (size_t)bytes);
		if (__atomic_load_n(&guest->cut, __ATOMIC_ACQUIRE))
			return 0;
	}
}

static void *pump(void *argument)
{
	struct guest *guest = argument;
	struct output *output = calloc(1, sizeof(*output));
	void *buffer = malloc(INPUT_BYTES);

	while (!__atomic_load_n(&guest->stop, __ATOMIC_ACQUIRE)) {
		struct pollfd ready[2] = {{.fd = guest->wake[0], .events = POLLIN},
					  {.fd = guest->fd, .events = POLLIN}};
		uint64_t next_ns, now_ns;
		char byte[8];
		int wait_ms = 20;

		if (guest->fd < 0)
			open_stream(guest, output);
		next_ns = tmem_shim_tick(guest->shim);
		if (guest->fd >= 0 &&
		    (__atomic_load_n(&guest->cut, __ATOMIC_ACQUIRE) || !push(guest, output))) {
			close_stream(guest);
			continue;
		}
		now_ns = tmem_platform_now_ns();
		if (next_ns <= now_ns)
			wait_ms = 0;
		else if (next_ns - now_ns < 20000000)
			wait_ms = (int)((next_ns - now_ns) / 1000000);
		ready[1].fd = guest->fd;
		if (output->at < output->count)
			ready[1].events |= POLLOUT;
		poll(ready, 2, wait_ms);
		if (ready[0].revents) {
			CHECK(read(guest->wake[0], byte, sizeof(byte)) >= 0);
			__atomic_store_n(&guest->woken, 0, __ATOMIC_RELEASE);
		}
		if (guest->fd >= 0 && !pull(guest, buffer))
			close_stream(guest);
	}
	if (guest->fd >= 0)
		push(guest, output);
	free(buffer);
	free(output);
	return NULL;
}

/* ---- for the tests ----------------------------------------------------------------------------
 */

void guest_start(struct guest *guest, struct tmem_server *server, const char *name, uint8_t boot,
		 const struct tmem_shim_config *config)
{
	struct tmem_shim_config ours = {.hello_ms = 100};
	struct tmem_shim_callbacks callbacks = {
		.context = guest, .wake = wake, .reopen = reopen, .event = event};

	memset(guest, 0, sizeof(*guest));
	if (config != NULL)
		ours = *config;
	memset(ours.boot_id, boot, sizeof(ours.boot_id));
	snprintf(ours.implementation, sizeof(ours.implementation), "test");
	snprintf(guest->name, sizeof(guest->name), "%s", name);
	guest->server = server;
	guest->fd = -1;
	CHECK(posix_memalign(&guest->memory, 64, tmem_shim_bytes(&ours)) == 0);
	guest->shim = tmem_shim_init(guest->memory, &ours, &callbacks);
	CHECK(guest->shim != NULL);
	CHECK_EQ(pipe2(guest->wake, O_CLOEXEC | O_NONBLOCK), 0);
	pthread_mutex_init(&guest->lock, NULL);
	CHECK_EQ(pthread_create(&guest->pump, NULL, pump, guest), 0);
}

void guest_use(struct guest *guest, struct tmem_server *server)
{
	pthread_mutex_lock(&guest->lock);
	guest->server = server;
	pthread_mutex_unlock(&guest->lock);
	guest_cut(guest);
}

void guest_cut(struct guest *guest)
{
	__atomic_store_n(&guest->cut, 1, __ATOMIC_RELEASE);
	wake(guest);
}

void guest_stop(struct guest *guest, int orderly)
{
	if (orderly)
		tmem_shim_end(guest->shim);
	__atomic_store_n(&guest->stop, 1, __ATOMIC_RELEASE);
	wake(guest);
	pthread_join(guest->pump, NULL);
	if (guest->fd >= 0)
		close(guest->fd);
	close(guest->wake[0]);
	close(guest->wake[1]);
	pthread_mutex_destroy(&guest->lock);
	tmem_shim_destroy(guest->shim);
	free(guest->memory);
}
