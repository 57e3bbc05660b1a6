/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "stream.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

enum { VECTORS = 64 };

int tmem_stream_init(struct tmem_stream *stream)
{
	*stream = (struct tmem_stream){.fd = -1, .gathered = malloc(TMEM_STREAM_GATHER_BYTES)};
	return stream->gathered ? 0 : -ENOMEM;
}

void tmem_stream_destroy(struct tmem_stream *stream)
{
	tmem_stream_close(stream);
	free(stream->gathered);
}

static int connect_socket(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd, code = 0;

	if (strlen(path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	memcpy(address.sun_path, path, strlen(path));
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&address, sizeof(address))) {
		code = -errno;
		close(fd);
	}
	return code ? code : fd;
}

int tmem_stream_open(struct tmem_stream *stream, const char *path, int epoll_fd)
{
	struct stat about;
	int fd;

	if (stat(path, &about))
		return -errno;
	if (S_ISSOCK(about.st_mode))
		fd = connect_socket(path);
	else if (S_ISCHR(about.st_mode))
		fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
	else
		return -ENOTSUP;
	if (fd < 0)
		return S_ISCHR(about.st_mode) ? -errno : fd;
	return tmem_stream_adopt(stream, fd, epoll_fd);
}

int tmem_stream_adopt(struct tmem_stream *stream, int fd, int epoll_fd)
{
	struct epoll_event wanted = {
		.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
		.data.ptr = stream,
	};
	int flags = fcntl(fd, F_GETFL), code = 0;
	struct stat about;

	if (flags < 0 || fstat(fd, &about) || fcntl(fd, F_SETFL, flags | O_NONBLOCK) ||
	    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &wanted)) {
		code = -errno;
		close(fd);
		return code;
	}
	stream->fd = fd;
	stream->port = S_ISCHR(about.st_mode);
	stream->up = stream->readable = stream->writable = !stream->port;
	return stream->port ? tmem_stream_look(stream) == -ENODEV ? -ENODEV : 0 : 0;
}

void tmem_stream_close(struct tmem_stream *stream)
{
	if (stream->fd >= 0)
		close(stream->fd);
	stream->fd = -1;
	stream->up = stream->readable = stream->writable = false;
}

/* A port that was unplugged says so when it is read. */
static int hung_up(struct tmem_stream *stream)
{
	char byte;

	if (!stream->port)
		return -ECONNRESET;
	stream->up = stream->readable = stream->writable = false;
	/* What the host sent before it left is of no use without the host. */
	while (read(stream->fd, &byte, 1) < 0)
		if (errno != EINTR)
			return errno == EAGAIN ? -ENOTCONN : -errno;
	return -ENOTCONN;
}

int tmem_stream_event(struct tmem_stream *stream, uint32_t events)
{
	if (stream->port && events & (EPOLLHUP | EPOLLERR))
		return hung_up(stream);
	stream->up = true;
	if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		stream->readable = true;
	if (events & EPOLLOUT)
		stream->writable = true;
	return 0;
}

int tmem_stream_look(struct tmem_stream *stream)
{
	struct pollfd now = {.fd = stream->fd, .events = POLLIN | POLLOUT};

	while (poll(&now, 1, 0) < 0)
		if (errno != EINTR)
			return -errno;
	/* These bits have the same values for poll and epoll. */
	return tmem_stream_event(stream, (uint32_t)now.revents);
}

int64_t tmem_stream_read(struct tmem_stream *stream, void *to, uint64_t bytes)
{
	ssize_t got;

	do
		got = read(stream->fd, to, bytes);
	while (got < 0 && errno == EINTR);
	/* A port gives at most one of its buffers at a time. */
	if (got < 0 || (!stream->port && (uint64_t)got < bytes))
		stream->readable = false;
	if (got < 0)
		return errno == EAGAIN ? 0 : -errno;
	return got ? got : hung_up(stream);
}

static ssize_t write_socket(struct tmem_stream *stream, const struct tmem_shim_segment *segments,
			    uint32_t count, uint64_t skip)
{
	struct iovec vectors[VECTORS];
	struct msghdr message = {.msg_iov = vectors,
				 .msg_iovlen = count < VECTORS ? count : VECTORS};

	for (size_t i = 0; i < message.msg_iovlen; i++) {
		uint64_t from = i ? 0 : skip;

		vectors[i].iov_base = (uint8_t *)(uintptr_t)segments[i].data + from;
		vectors[i].iov_len = segments[i].bytes - from;
	}
	return sendmsg(stream->fd, &message, MSG_NOSIGNAL);
}

static ssize_t write_port(struct tmem_stream *stream, const struct tmem_shim_segment *segments,
			  uint32_t count, uint64_t skip)
{
	uint64_t gathered = 0;

	for (uint32_t i = 0; i < count && gathered < TMEM_STREAM_GATHER_BYTES; i++) {
		uint64_t from = i ? 0 : skip;
		uint64_t bytes = segments[i].bytes - from;

		if (bytes > TMEM_STREAM_GATHER_BYTES - gathered)
			bytes = TMEM_STREAM_GATHER_BYTES - gathered;
		memcpy(stream->gathered + gathered, (const uint8_t *)segments[i].data + from,
		       bytes);
		gathered += bytes;
	}
	return write(stream->fd, stream->gathered, gathered);
}

int64_t tmem_stream_write(struct tmem_stream *stream, const struct tmem_shim_segment *segments,
			  uint32_t count, uint64_t skip)
{
	ssize_t put;

	do
		put = stream->port ? write_port(stream, segments, count, skip)
				   : write_socket(stream, segments, count, skip);
	while (put < 0 && errno == EINTR);
	if (put > 0)
		return put;
	stream->writable = false;
	return !put || errno == EAGAIN ? 0 : -errno;
}
