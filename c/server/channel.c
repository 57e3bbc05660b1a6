/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "channel.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "error.h"

enum { BACKLOG = 128 };

static void free_channel(struct tmem_channel *channel)
{
	if (channel->fd >= 0)
		close(channel->fd);
	free(channel);
}

void tmem_channel_close(struct tmem_worker *worker, struct tmem_channel *channel)
{
	struct stat status;

	/* nothing reconnects from here on */
	if (channel->kind == TMEM_CHANNEL_CONNECTS)
		channel->kind = TMEM_CHANNEL_ADOPTED;
	while (channel->sockets != NULL)
		tmem_socket_close(worker, channel->sockets);
	if (channel->kind == TMEM_CHANNEL_LISTENS && lstat(channel->options.path, &status) == 0 &&
	    status.st_dev == channel->device && status.st_ino == channel->inode)
		(void)unlink(channel->options.path);
	free_channel(channel);
}

/* A file that nobody listens at is what a killed server left. */
static int clear_path(const char *path, struct tmem_error *error)
{
	struct stat status;
	int fd;

	if (lstat(path, &status) != 0)
		return 0;
	if (!S_ISSOCK(status.st_mode))
		return tmem_fail(error, -EADDRINUSE, "%s is there and is no socket", path);
	fd = tmem_channel_connect_to(path);
	if (fd >= 0 || fd == -EAGAIN) {
		if (fd >= 0)
			close(fd);
		return tmem_fail(error, -EADDRINUSE, "%s: somebody listens there", path);
	}
	if (fd != -ECONNREFUSED)
		return tmem_fail(error, -EADDRINUSE, "%s is in the way: %s", path, strerror(-fd));
	if (unlink(path) != 0)
		return tmem_fail(error, -errno, "%s is stale, and stays: %s", path,
				 strerror(errno));
	return 0;
}

static int start_listening(struct tmem_channel *channel, struct tmem_error *error)
{
	const struct tmem_channel_options *options = &channel->options;
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct stat status;
	int code = clear_path(options->path, error);

	if (code != 0)
		return code;
	channel->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	memcpy(address.sun_path, options->path, strlen(options->path));
	/* Nobody can connect before listen(), so the rights are right from the beginning. */
	if (channel->fd < 0 ||
	    bind(channel->fd, (const struct sockaddr *)&address, sizeof(address)) != 0 ||
	    chmod(options->path, options->mode != 0 ? options->mode : 0600) != 0 ||
	    listen(channel->fd, BACKLOG) != 0 || lstat(options->path, &status) != 0)
		return tmem_fail(error, -errno, "cannot listen at %s: %s", options->path,
				 strerror(errno));
	channel->device = status.st_dev;
	channel->inode = status.st_ino;
	return 0;
}

static int check_options(const struct tmem_channel_options *options, bool has_path,
			 struct tmem_error *error)
{
	size_t bytes = strnlen(options->path, sizeof(options->path));

	if (strnlen(options->client, sizeof(options->client)) == sizeof(options->client))
		return tmem_fail(error, TMEM_ENAMETOOLONG, "a client's name has at most %d bytes",
				 TMEM_CLIENT_NAME_MAX);
	if (has_path && (bytes == 0 || bytes > TMEM_SERVER_PATH_MAX))
		return tmem_fail(error, -EINVAL,
				 "a socket's path has 1 to %d bytes; this one has %zu",
				 TMEM_SERVER_PATH_MAX, bytes);
	if (options->mode & ~0777u)
		return tmem_fail(error, -EINVAL, "%s: rights of %o are none of a socket",
				 options->path, options->mode);
	return 0;
}

/* What the worker is to do with a new channel. */
struct opening {
	struct tmem_channel *channel;
	int fd; /* adopted */
	int code;
};

static void open_channel(struct tmem_worker *worker, void *context)
{
	struct opening *opening = context;
	struct tmem_channel *channel = opening->channel;

	channel->next = worker->channels;
	worker->channels = channel;
	if (channel->kind == TMEM_CHANNEL_ADOPTED)
		opening->code = tmem_socket_open(worker, channel, opening->fd);
	else
		tmem_channel_try(worker, channel);
}

/* Takes the channel out of the server's list, if it is there: who does so closes it. */
static struct tmem_channel *forget_channel(struct tmem_server *server, int64_t number)
{
	struct tmem_channel **at = &server->channels;
	struct tmem_channel *channel;

	pthread_mutex_lock(&server->lock);
	while (*at != NULL && (*at)->number != number)
		at = &(*at)->next_of_server;
	channel = *at;
	if (channel != NULL)
		*at = channel->next_of_server;
	pthread_mutex_unlock(&server->lock);
	return channel;
}

static void close_channel(struct tmem_worker *worker, void *context)
{
	struct tmem_channel *channel = context;
	struct tmem_channel **at = &worker->channels;

	while (*at != channel)
		at = &(*at)->next;
	*at = channel->next;
	tmem_channel_close(worker, channel);
}

void tmem_channels_reap(struct tmem_worker *worker)
{
	struct tmem_channel *channel = worker->channels;

	worker->has_ended_channel = false;
	while (channel != NULL) {
		struct tmem_channel *next = channel->next;

		if (channel->kind == TMEM_CHANNEL_ADOPTED && channel->sockets == NULL &&
		    forget_channel(worker->server, channel->number) != NULL)
			close_channel(worker, channel);
		channel = next;
	}
}

static void come_back(struct tmem_worker *worker, void *context)
{
	(void)worker;
	tmem_session_comes_back(context);
}

/* Takes @channel, filled in but for its session, and @fd. */
static int64_t add_channel(struct tmem_server *server, struct tmem_channel *channel, int fd,
			   struct tmem_error *error)
{
	struct opening opening = {.channel = channel, .fd = fd};
	int64_t number;
	int code = tmem_session_make(server, channel->options.client, &channel->session, error);

	if (code != 0) {
		free_channel(channel);
		return code;
	}
	tmem_worker_do(channel->session->worker, come_back, channel->session);
	pthread_mutex_lock(&server->lock);
	number = channel->number = ++server->next_channel;
	channel->next_of_server = server->channels;
	server->channels = channel;
	pthread_mutex_unlock(&server->lock);
	tmem_worker_do(channel->session->worker, open_channel, &opening);
	if (opening.code == 0)
		return number;
	(void)tmem_server_remove_channel(server,
					 number); /* there is nothing it could be reaped for */
	return tmem_fail(error, opening.code, "the connection cannot be served: %s",
			 strerror(-opening.code));
}

static struct tmem_channel *make_channel(enum tmem_channel_kind kind,
					 const struct tmem_channel_options *options,
					 struct tmem_error *error)
{
	struct tmem_channel *channel;

	if (check_options(options, kind != TMEM_CHANNEL_ADOPTED, error) != 0)
		return NULL;
	channel = calloc(1, sizeof(*channel));
	if (channel == NULL) {
		(void)tmem_fail(error, -ENOMEM, "out of memory");
		return NULL;
	}
	channel->watch = TMEM_WATCH_LISTENER;
	channel->kind = kind;
	channel->fd = -1;
	channel->options = *options;
	channel->retry_ns = UINT64_MAX;
	channel->wait_ms = TMEM_CHANNEL_WAIT_MS;
	return channel;
}

int64_t tmem_server_listen(struct tmem_server *server, const struct tmem_channel_options *options,
			   struct tmem_error *error)
{
	struct tmem_channel *channel = make_channel(TMEM_CHANNEL_LISTENS, options, error);
	int code;

	if (channel == NULL)
		return error->code;
	code = start_listening(channel, error);
	if (code != 0) {
		free_channel(channel);
		return code;
	}
	return add_channel(server, channel, -1, error);
}

int64_t tmem_server_connect(struct tmem_server *server, const struct tmem_channel_options *options,
			    struct tmem_error *error)
{
	struct tmem_channel *channel = make_channel(TMEM_CHANNEL_CONNECTS, options, error);

	return channel != NULL ? add_channel(server, channel, -1, error) : error->code;
}

int64_t tmem_server_adopt(struct tmem_server *server, int fd,
			  const struct tmem_channel_options *options, struct tmem_error *error)
{
	struct tmem_channel *channel = make_channel(TMEM_CHANNEL_ADOPTED, options, error);
	socklen_t bytes = sizeof(int);
	int64_t number;
	int type = 0;

	if (channel == NULL) {
		close(fd);
		return error->code;
	}
	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &bytes) != 0 || type != SOCK_STREAM) {
		free_channel(channel);
		close(fd);
		return tmem_fail(error, -EINVAL, "descriptor %d is no stream socket", fd);
	}
	number = add_channel(server, channel, fd, error);
	if (number < 0)
		close(fd);
	return number;
}

int tmem_server_remove_channel(struct tmem_server *server, int64_t number)
{
	struct tmem_channel *channel = forget_channel(server, number);

	if (channel == NULL)
		return TMEM_ENOENT;
	tmem_worker_do(channel->session->worker, close_channel, channel);
	return 0;
}
