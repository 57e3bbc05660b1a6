/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "backing.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <linux/magic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "error.h"

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

enum { HUGE_BYTES = 2 << 20, HUGE_SLOW_NS = 20 * 1000 * 1000, HUGE_SKIP_MAX = 256 };

struct file_backing {
	struct tmem_backing backing;
	int fd;
	char *path;
	bool unpublished; /* a new arena, without a name until it is formatted */
	char *window;
	uint64_t window_bytes;
	uint32_t huge_skip; /* huge pages not to try for, after one that failed or was slow */
	uint32_t huge_skip_next;
};

static struct file_backing *file_of(struct tmem_backing *backing)
{
	return (struct file_backing *)backing;
}

static int file_reserve(struct tmem_backing *backing, uint64_t offset, uint64_t bytes)
{
	struct file_backing *file = file_of(backing);

	/* Without this a full tmpfs would answer a store with SIGBUS. */
	while (fallocate(file->fd, 0, (off_t)offset, (off_t)bytes) != 0)
		if (errno != EINTR)
			return -errno;
	/* One call instead of a fault for each page; on a kernel before 5.14 the faults come one
	 * by one, which is slower and otherwise the same. */
	if (file->window != NULL)
		(void)madvise(file->window + offset, bytes, MADV_POPULATE_WRITE);
	return 0;
}

static void file_fetch(struct tmem_backing *backing, uint64_t offset, uint64_t bytes)
{
	(void)madvise(file_of(backing)->window + offset, bytes, MADV_POPULATE_READ);
}

static int file_give_back(struct tmem_backing *backing, uint64_t offset, uint64_t bytes)
{
	while (fallocate(file_of(backing)->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			 (off_t)offset, (off_t)bytes) != 0)
		if (errno != EINTR)
			return -errno;
	return 0;
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* One huge page where the file has none: the kernel allocates, clears, charges and maps it in one
 * go. Needs no mount option (Linux 6.1); an older kernel, a full tmpfs and one without huge pages
 * all refuse. It has to find a page there to replace, and the file to reach so far: the last. */
static int collapse(struct file_backing *file, uint64_t offset)
{
	uint64_t last = offset + HUGE_BYTES - TMEM_PAGE_BYTES;
	int code;

	if (fallocate(file->fd, 0, (off_t)last, TMEM_PAGE_BYTES) != 0)
		return -errno;
	if (madvise(file->window + offset, HUGE_BYTES, MADV_COLLAPSE) == 0)
		return 0;
	code = -errno;
	(void)file_give_back(&file->backing, last, TMEM_PAGE_BYTES);
	return code;
}

/*
 * A kernel that has no huge page at hand makes one, by moving and reclaiming what others have, for
 * as long as it takes. Whether it will cannot be known before: after one that took long, or failed,
 * the next ones are not tried for, twice as many each time.
 */
static int file_reserve_huge(struct tmem_backing *backing, uint64_t offset)
{
	struct file_backing *file = file_of(backing);
	uint64_t start_ns;
	int code;

	if (file->huge_skip > 0) {
		file->huge_skip--;
		return -EAGAIN;
	}
	start_ns = now_ns();
	code = collapse(file, offset);
	if (code == 0 && now_ns() - start_ns < HUGE_SLOW_NS) {
		file->huge_skip_next = 1;
		return 0;
	}
	file->huge_skip = file->huge_skip_next;
	if (file->huge_skip_next < HUGE_SKIP_MAX)
		file->huge_skip_next *= 2;
	return code;
}

/* Maps the file where an offset that is a multiple of @unit has an address that is, too: else no
 * huge page of the file is mapped as one. */
static void *map_aligned(int fd, uint64_t bytes, uint64_t unit)
{
	char *room = mmap(NULL, bytes + unit, PROT_NONE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	uint64_t before = unit == 0 ? 0 : -(uintptr_t)room & (unit - 1);
	void *window;

	if (room == MAP_FAILED)
		return MAP_FAILED;
	window = mmap(room + before, bytes, PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_NORESERVE | MAP_FIXED, fd, 0);
	if (window == MAP_FAILED) {
		munmap(room, bytes + unit);
		return MAP_FAILED;
	}
	if (before > 0)
		munmap(room, before);
	if (before < unit)
		munmap(room + before + bytes, unit - before);
	return window;
}

static int file_map(struct tmem_backing *backing, uint64_t bytes, void **ret)
{
	struct file_backing *file = file_of(backing);
	void *window = map_aligned(file->fd, bytes, backing->huge_bytes);

	if (window == MAP_FAILED)
		return -errno;
	if (file->window != NULL)
		munmap(file->window, file->window_bytes);
	/* A core dump of the service must not carry the guests' memory. */
	(void)madvise(window, bytes, MADV_DONTDUMP);
	file->window = window;
	file->window_bytes = bytes;
	*ret = window;
	return 0;
}

static uint64_t file_end_bytes(struct tmem_backing *backing)
{
	struct stat st;

	if (fstat(file_of(backing)->fd, &st) != 0)
		return 0;
	return (uint64_t)st.st_size;
}

static uint64_t file_first_hole(struct tmem_backing *backing, uint64_t offset)
{
	off_t hole = lseek(file_of(backing)->fd, (off_t)offset, SEEK_HOLE);

	/* Beyond the end there is nothing but hole. */
	return hole < 0 ? offset : (uint64_t)hole;
}

static uint64_t file_held_bytes(struct tmem_backing *backing)
{
	struct stat st;

	if (fstat(file_of(backing)->fd, &st) != 0)
		return 0;
	return (uint64_t)st.st_blocks * 512;
}

static int file_read(struct tmem_backing *backing, void *to, uint64_t offset, size_t bytes)
{
	char *at = to;

	while (bytes > 0) {
		ssize_t got = pread(file_of(backing)->fd, at, bytes, (off_t)offset);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (got == 0) {
			memset(at, 0, bytes);
			return 0;
		}
		at += got;
		offset += (uint64_t)got;
		bytes -= (size_t)got;
	}
	return 0;
}

static void file_close(struct tmem_backing *backing)
{
	struct file_backing *file = file_of(backing);

	if (file->window != NULL)
		munmap(file->window, file->window_bytes);
	close(file->fd);
	free(file->path);
	free(file);
}

static const struct tmem_backing_ops file_ops = {
	.reserve = file_reserve,
	.reserve_huge = file_reserve_huge,
	.fetch = file_fetch,
	.give_back = file_give_back,
	.map = file_map,
	.end_bytes = file_end_bytes,
	.first_hole = file_first_hole,
	.held_bytes = file_held_bytes,
	.read = file_read,
	.close = file_close,
};

/* A file without a name: a kill before it is published leaves nothing behind. */
static int open_new(struct file_backing *file, struct tmem_error *error)
{
	char *copy = strdup(file->path);
	int code;

	if (copy == NULL)
		return tmem_fail(error, -ENOMEM, "%s: out of memory", file->path);
	file->fd = open(dirname(copy), O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
	code = file->fd < 0 ? -errno : 0;
	free(copy);
	if (code != 0)
		return tmem_fail(error, code, "%s: cannot create the arena: %s", file->path,
				 strerror(-code));
	file->unpublished = true;
	return 0;
}

static int file_init(const char *path, int flags, int create, struct file_backing **ret,
		     struct tmem_error *error)
{
	struct file_backing *file = calloc(1, sizeof(*file));
	struct statfs fs;
	struct stat st;
	int code;

	*ret = NULL;
	if (file == NULL || (file->path = strdup(path)) == NULL) {
		free(file);
		return tmem_fail(error, -ENOMEM, "%s: out of memory", path);
	}
	file->backing.ops = &file_ops;
	/* O_NONBLOCK: a named pipe is refused below, not waited for */
	file->fd = open(path, flags | O_CLOEXEC | O_NONBLOCK);
	if (file->fd < 0 && errno == ENOENT && create) {
		code = open_new(file, error);
		if (code != 0)
			goto fail;
	} else if (file->fd < 0) {
		code = -errno;
		tmem_fail(error, code, "%s: cannot open the arena: %s", path, strerror(-code));
		goto fail;
	}
	if (fstat(file->fd, &st) != 0 || fstatfs(file->fd, &fs) != 0) {
		code = tmem_fail(error, -errno, "%s: %s", path, strerror(errno));
		goto fail_close;
	}
	if (!S_ISREG(st.st_mode)) {
		code = tmem_fail(error, -EINVAL, "%s: not a regular file", path);
		goto fail_close;
	}
	file->backing.page_bytes =
		fs.f_type == HUGETLBFS_MAGIC ? (uint64_t)fs.f_bsize : TMEM_PAGE_BYTES;
	file->backing.huge_bytes = fs.f_type == TMPFS_MAGIC ? HUGE_BYTES : 0;
	file->huge_skip_next = 1;
	*ret = file;
	return 0;
fail_close:
	close(file->fd);
fail:
	free(file->path);
	free(file);
	return code;
}

int tmem_backing_open_file(const char *path, int create, struct tmem_backing **ret,
			   struct tmem_error *error)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	struct file_backing *file;
	int code = file_init(path, O_RDWR, create, &file, error);

	if (code != 0)
		return code;
	if (fcntl(file->fd, F_OFD_SETLK, &lock) != 0) {
		file_close(&file->backing);
		return tmem_fail(error, -EBUSY, "%s: the arena is in use by another process", path);
	}
	*ret = &file->backing;
	return 0;
}

int tmem_backing_publish(struct tmem_backing *backing, struct tmem_error *error)
{
	struct file_backing *file = file_of(backing);
	char self[32];

	if (!file->unpublished)
		return 0;
	snprintf(self, sizeof(self), "/proc/self/fd/%d", file->fd);
	/* of two creators racing for the name one loses here */
	if (linkat(AT_FDCWD, self, AT_FDCWD, file->path, AT_SYMLINK_FOLLOW) != 0)
		return tmem_fail(error, -errno, "%s: cannot create the arena: %s", file->path,
				 strerror(errno));
	file->unpublished = false;
	return 0;
}

int tmem_backing_open_readonly(const char *path, struct tmem_backing **ret, uint32_t *in_use,
			       struct tmem_error *error)
{
	struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET};
	struct file_backing *file;
	int code = file_init(path, O_RDONLY, 0, &file, error);

	if (code != 0)
		return code;
	*in_use = fcntl(file->fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
	*ret = &file->backing;
	return 0;
}
