/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "service.h"
#include "store.h"

/* a minute: an arena or a set is faulted in before its server listens */
enum { START_TRIES = 6000, TRY_EACH_US = 10000 };

static const char *file_of(const struct bench_data *data, const char *name, const char *kind)
{
	char file[64];

	snprintf(file, sizeof(file), "%s.%s", name, kind);
	return bench_path(data, file);
}

char *service_socket_path(const struct bench_data *data, const char *name)
{
	static char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	const char *file = file_of(data, name, "sock");

	if ((size_t)snprintf(path, sizeof(path), "%s", file) >= sizeof(path))
		bench_fail("%s: too long for the path of a socket", file);
	return path;
}

static int unix_socket(const char *path, struct sockaddr_un *address)
{
	memset(address, 0, sizeof(*address));
	address->sun_family = AF_UNIX;
	snprintf(address->sun_path, sizeof(address->sun_path), "%s", path);
	return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

int service_listen(const char *path)
{
	struct sockaddr_un address;
	int fd = unix_socket(path, &address);

	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0 ||
	    listen(fd, 8) != 0)
		bench_fail("cannot listen at %s: %s", path, strerror(errno));
	return fd;
}

static int connect_to(const char *path)
{
	struct sockaddr_un address;
	int fd = unix_socket(path, &address);

	if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
		close(fd);
		return -1;
	}
	return fd;
}

/* The last line of what it printed; static memory. */
static const char *last_words(const struct bench_data *data, const char *name)
{
	static char said[512];
	int fd = open(file_of(data, name, "log"), O_RDONLY | O_CLOEXEC);
	off_t end = fd < 0 ? 0 : lseek(fd, 0, SEEK_END);
	off_t from = end > (off_t)sizeof(said) - 1 ? end - (off_t)sizeof(said) + 1 : 0;
	ssize_t length = fd < 0 ? 0 : pread(fd, said, sizeof(said) - 1, from);
	char *line;

	if (fd >= 0)
		close(fd);
	while (length > 0 && said[length - 1] == '\n')
		length--;
	if (length <= 0)
		return "it said nothing";
	said[length] = 0;
	line = strrchr(said, '\n');
	return line == NULL ? said : line + 1;
}

/* In the child. */
static void become(const struct bench_data *data, const char *name, char *const argv[],
		   pid_t parent)
{
	int log = open(file_of(data, name, "log"), O_WRONLY | O_CREAT | O_TRUNC, 0600);

	/* it must not outlive us */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent || log < 0)
		_exit(1);
	dup2(log, STDOUT_FILENO);
	dup2(log, STDERR_FILENO);
	if (!bench_pin(1)) {
		fputs("a second processor is needed: the server's\n", stderr);
		_exit(1);
	}
	execvp(argv[0], argv);
	fprintf(stderr, "%s: %s\n", argv[0], strerror(errno));
	_exit(127);
}

static void check_alive(const struct service_server *server, const struct bench_data *data)
{
	int status;

	if (waitpid(server->pid, &status, WNOHANG) == server->pid)
		bench_fail("%s has ended: %s", server->name, last_words(data, server->name));
}

void service_server_start(struct service_server *server, const struct bench_data *data,
			  const char *name, char *const argv[])
{
	const char *path = service_socket_path(data, name);
	pid_t self = getpid();

	memset(server, 0, sizeof(*server));
	server->name = name;
	snprintf(server->path, sizeof(server->path), "%s", path);
	server->pid = fork();
	if (server->pid < 0)
		bench_fail("cannot start %s: %s", name, strerror(errno));
	if (server->pid == 0)
		become(data, name, argv, self);
	for (int tries = 0; (server->fd = connect_to(server->path)) < 0; tries++) {
		check_alive(server, data);
		if (tries == START_TRIES)
			bench_fail("%s does not listen at %s: %s", name, server->path,
				   last_words(data, name));
		usleep(TRY_EACH_US);
	}
	if (clock_getcpuclockid(server->pid, &server->processor_time) != 0)
		bench_fail("%s: its processor time cannot be read", name);
}

void service_start_tmem(struct service_server *server, const struct bench_data *data,
			const char *name, char *encoding)
{
	char *path = service_socket_path(data, name);
	char pages[16];
	char folder[sizeof(server->path)];
	char *command[] = {SERVICE_SELF, "serve-tmem", path, folder, pages, encoding, NULL};

	snprintf(folder, sizeof(folder), "%s", data->folder);
	snprintf(pages, sizeof(pages), "%u", data->page_count);
	service_server_start(server, data, name, command);
}

uint64_t service_server_ns(const struct service_server *server)
{
	struct timespec time;

	if (clock_gettime(server->processor_time, &time) != 0)
		bench_fail("%s: its processor time cannot be read: %s", server->name,
			   strerror(errno));
	return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

void service_server_stop(struct service_server *server, const struct bench_data *data)
{
	check_alive(server, data);
	kill(server->pid, SIGKILL);
	waitpid(server->pid, NULL, 0);
	unlink(server->path);
}
