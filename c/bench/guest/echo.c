// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The host's end of the bare port (c/kmod/bench/raw.c): reads messages, and sends what they ask
 * for. It does what any host must do with the bytes, and nothing else.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "../../kmod/bench/message.h"
#include "slice.h"

enum { INPUT_BYTES = 1 << 20, REPLY_BYTES_MAX = 1 << 20 };

static uint8_t input[INPUT_BYTES], replies[REPLY_BYTES_MAX];

static void fail(const char *what)
{
	fprintf(stderr, "bench_echo: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int connect_to(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (strlen(path) >= sizeof(address.sun_path)) {
		errno = ENAMETOOLONG;
		fail(path);
	}
	strcpy(address.sun_path, path);
	if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof(address)) != 0)
		fail(path);
	return fd;
}

static void reply(int fd, uint64_t bytes)
{
	while (bytes > 0) {
		size_t piece = bytes < REPLY_BYTES_MAX ? bytes : REPLY_BYTES_MAX;
		ssize_t sent = send(fd, replies, piece, MSG_NOSIGNAL);

		if (sent < 0)
			fail("send");
		bytes -= (uint64_t)sent;
	}
}

/* Whole messages at the beginning of @input; adds up what they want. Returns their bytes. */
static size_t take_messages(size_t filled, uint64_t *reply_bytes)
{
	size_t at = 0;

	while (filled - at >= TMEM_BENCH_HEADER_BYTES) {
		struct tmem_bench_header untrusted;

		memcpy(&untrusted, input + at, sizeof(untrusted));
		if (untrusted.magic != TMEM_BENCH_MAGIC ||
		    untrusted.payload_bytes > TMEM_BENCH_MESSAGE_BYTES ||
		    untrusted.reply_bytes > REPLY_BYTES_MAX) {
			errno = EBADMSG;
			fail("the guest");
		}
		if (filled - at < TMEM_BENCH_HEADER_BYTES + untrusted.payload_bytes)
			break;
		at += TMEM_BENCH_HEADER_BYTES + untrusted.payload_bytes;
		*reply_bytes += untrusted.reply_bytes;
	}
	return at;
}

int main(int argc, char **argv)
{
	size_t filled = 0;
	int fd;

	if (argc != 2) {
		fprintf(stderr, "usage: bench_echo SOCKET\n");
		return 2;
	}
	fd = connect_to(argv[1]);
	/* as the service does */
	tmem_take_short_slices();
	for (;;) {
		ssize_t bytes = recv(fd, input + filled, sizeof(input) - filled, 0);
		uint64_t reply_bytes = 0;
		size_t taken;

		if (bytes <= 0)
			return bytes < 0;
		filled += (size_t)bytes;
		taken = take_messages(filled, &reply_bytes);
		filled -= taken;
		memmove(input, input + taken, filled);
		reply(fd, reply_bytes);
	}
}
