/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "image.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"

static bool open_file(struct image_watch *watch)
{
	void *window;

	watch->fd = open(watch->path, O_RDWR | O_CLOEXEC);
	if (watch->fd < 0) {
		CHECK_EQ(errno, ENOENT);
		return false;
	}
	/* More than the file has: it may grow, and pages beyond its end are never looked at. */
	window = mmap(NULL, (size_t)IMAGE_PAGES_MAX * IMAGE_PAGE_BYTES, PROT_READ, MAP_SHARED,
		      watch->fd, 0);
	CHECK(window != MAP_FAILED);
	watch->window = window;
	return true;
}

void image_watch_start(struct image_watch *watch, const char *path)
{
	watch->path = path;
	watch->window = NULL;
	(void)open_file(watch);
}

void image_watch_stop(struct image_watch *watch)
{
	if (watch->fd < 0)
		return;
	munmap((void *)watch->window, (size_t)IMAGE_PAGES_MAX * IMAGE_PAGE_BYTES);
	close(watch->fd);
}

static bool update_page(struct image *image, const struct image_watch *watch, uint32_t page,
			bool resident)
{
	const unsigned char *now = watch->window + (size_t)page * IMAGE_PAGE_BYTES;

	/* A page that comes or goes changes the file only by what is in it. */
	if (!resident) {
		static const unsigned char zeros[IMAGE_PAGE_BYTES];
		bool was_zero = memcmp(image->pages[page], zeros, sizeof(zeros)) == 0;

		image->resident[page] = 0;
		if (was_zero)
			return false;
		memset(image->pages[page], 0, IMAGE_PAGE_BYTES);
		return true;
	}
	image->resident[page] = 1;
	if (memcmp(image->pages[page], now, IMAGE_PAGE_BYTES) == 0)
		return false;
	memcpy(image->pages[page], now, IMAGE_PAGE_BYTES);
	return true;
}

bool image_update(struct image *image, struct image_watch *watch)
{
	unsigned char resident[IMAGE_PAGES_MAX];
	bool changed = false;
	struct stat status;
	uint32_t page_count;

	if (watch->fd < 0 && !open_file(watch))
		return false;
	CHECK_EQ(fstat(watch->fd, &status), 0);
	changed = (uint64_t)status.st_size != image->file_bytes;
	image->file_bytes = (uint64_t)status.st_size;
	page_count = (uint32_t)((image->file_bytes + IMAGE_PAGE_BYTES - 1) / IMAGE_PAGE_BYTES);
	CHECK(page_count <= IMAGE_PAGES_MAX);
	CHECK_EQ(mincore((void *)watch->window, (size_t)page_count * IMAGE_PAGE_BYTES, resident),
		 0);
	for (uint32_t page = 0; page < page_count; page++)
		if ((resident[page] & 1) != 0 || image->resident[page] != 0)
			changed |= update_page(image, watch, page, (resident[page] & 1) != 0);
	return changed;
}

void image_copy(struct image *to, const struct image *from)
{
	to->file_bytes = from->file_bytes;
	memcpy(to->resident, from->resident, sizeof(to->resident));
	for (uint32_t page = 0; page < IMAGE_PAGES_MAX; page++)
		if (from->resident[page] != 0)
			memcpy(to->pages[page], from->pages[page], IMAGE_PAGE_BYTES);
}

void image_write(const struct image *image, const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	CHECK(fd >= 0);
	CHECK_EQ(ftruncate(fd, 0), 0);
	CHECK_EQ(ftruncate(fd, (off_t)image->file_bytes), 0);
	for (uint32_t page = 0; page < IMAGE_PAGES_MAX; page++) {
		uint32_t run = 0;

		while (page + run < IMAGE_PAGES_MAX && image->resident[page + run] != 0)
			run++;
		if (run == 0)
			continue;
		CHECK_EQ(pwrite(fd, image->pages[page], (size_t)run * IMAGE_PAGE_BYTES,
				(off_t)page * IMAGE_PAGE_BYTES),
			 (ssize_t)run * IMAGE_PAGE_BYTES);
		page += run;
	}
	close(fd);
}
