/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "scratch.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "check.h"

static char directory[64];
static pid_t owner;

/* Runs in signal handlers, too: hence the bare system call instead of readdir(), which allocates.
 */
static void clean_up(void)
{
	static char entries[8192] __attribute__((aligned(8)));
	int fd;
	long bytes;

	if (getpid() != owner)
		return;
	fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	while (fd >= 0 && (bytes = syscall(SYS_getdents64, fd, entries, sizeof(entries))) > 0)
		for (long at = 0; at < bytes;) {
			const struct dirent64 *entry = (const struct dirent64 *)(entries + at);

			if (entry->d_type == DT_REG)
				unlinkat(fd, entry->d_name, 0);
			at += entry->d_reclen;
		}
	if (fd >= 0)
		close(fd);
	rmdir(directory);
}

static void clean_up_and_die(int signal_number)
{
	clean_up();
	signal(signal_number, SIG_DFL);
	raise(signal_number);
}

static void make_directory(void)
{
	const char *base = getenv("TMEM_TEST_DIR");

	snprintf(directory, sizeof(directory), "%s/tmem-test-XXXXXX", base ? base : "/dev/shm");
	if (!mkdtemp(directory))
		check_failed(__FILE__, __LINE__, "cannot make %s: %s", directory, strerror(errno));
	owner = getpid();
	atexit(clean_up);
	signal(SIGABRT, clean_up_and_die);
	signal(SIGINT, clean_up_and_die);
	signal(SIGTERM, clean_up_and_die);
}

void scratch_path(char *path, const char *name)
{
	if (directory[0] == '\0')
		make_directory();
	snprintf(path, SCRATCH_PATH_BYTES, "%s/%s", directory, name);
}

void scratch_memory(char *path)
{
	int fd = memfd_create("tmem-test", MFD_CLOEXEC);

	CHECK(fd >= 0);
	snprintf(path, SCRATCH_PATH_BYTES, "/proc/self/fd/%d", fd);
}
