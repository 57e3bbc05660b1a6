/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The stream of bytes under the user-space transport: a unix socket, or the device of a
 * virtio-serial port. What differs between the two is here and nowhere else:
 *
 *   - A port stays open while the host comes and goes. While the host is away poll() says POLLHUP
 *     at once, read() returns 0 and what was written is lost. So its readiness is edge-triggered:
 *     who waits for the host sleeps.
 *   - A port cuts a write at 32 KiB, and costs the kernel an allocation and a virtqueue buffer for
 *     each write: messages are gathered into one. A blocking write would spin with interrupts off.
 *   - A socket that broke is opened again, and begins empty. A port begins where it stopped,
 * perhaps in the middle of a message.
 */
#ifndef TMEM_STREAM_H
#define TMEM_STREAM_H

#include "shim.h"

struct tmem_stream {
	int fd; /* -1: closed */
	bool port;
	bool up; /* the host is there */
	bool readable;
	bool writable;
	uint8_t *gathered; /* of a port: TMEM_STREAM_GATHER_BYTES, for one write */
};

enum { TMEM_STREAM_GATHER_BYTES = 32 * 1024 };

/* Closed. 0 or -ENOMEM. */
int tmem_stream_init(struct tmem_stream *stream);
void tmem_stream_destroy(struct tmem_stream *stream);

/*
 * Opens @path and has @epoll_fd watch it (with the stream as its data). 0 or a negative errno,
 * among them: -ENOENT, -ECONNREFUSED (nobody listens), -EMFILE of a port (another process has it
 * open), -ENOTSUP (neither a socket nor a character device).
 */
int tmem_stream_open(struct tmem_stream *stream, const char *path, int epoll_fd);

/* The same with @fd, a connected stream socket or an open port; takes it, also when it fails. */
int tmem_stream_adopt(struct tmem_stream *stream, int fd, int epoll_fd);

void tmem_stream_close(struct tmem_stream *stream);

/* Takes what epoll said of the stream. 0, -ENOTCONN (the host has left its port; the stream stays
 * open), or another negative errno: it is of no use any more. */
int tmem_stream_event(struct tmem_stream *stream, uint32_t events);

/* Looks by itself: a wake-up can be lost on the way from the host. Returns as above. */
int tmem_stream_look(struct tmem_stream *stream);

/* Bytes read, 0: nothing there now (then readable is false), or a negative errno as above. */
int64_t tmem_stream_read(struct tmem_stream *stream, void *to, uint64_t bytes);

/* Writes from @segments (@count > 0, in order), without the first @skip bytes. Bytes written, 0: no
 * room now (then writable is false), or a negative errno as above. */
int64_t tmem_stream_write(struct tmem_stream *stream, const struct tmem_shim_segment *segments,
			  uint32_t count, uint64_t skip);

#endif
