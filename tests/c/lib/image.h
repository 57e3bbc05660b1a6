/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Copies of a small sparse file that another process is changing through a mapping.
 *
 * Looking at a hole through a mapping would fill it, so a watch asks which pages of the file are in
 * memory and looks at these only; in a copy a hole stays a hole.
 */
#ifndef TMEM_TEST_IMAGE_H
#define TMEM_TEST_IMAGE_H

#include <stdbool.h>
#include <stdint.h>

enum {
	IMAGE_PAGE_BYTES = 4096,
	IMAGE_PAGES_MAX = 512,
};

struct image {
	uint64_t file_bytes;
	uint8_t resident[IMAGE_PAGES_MAX];
	unsigned char pages[IMAGE_PAGES_MAX][IMAGE_PAGE_BYTES];
};

struct image_watch {
	int fd; /* -1 until the file exists */
	const unsigned char *window;
	const char *path;
};

void image_watch_start(struct image_watch *watch, const char *path);
void image_watch_stop(struct image_watch *watch);

/* Brings @image up to date with the file; returns whether anything had changed. */
bool image_update(struct image *image, struct image_watch *watch);

/* Copies what image_write() needs. */
void image_copy(struct image *to, const struct image *from);

/* Makes the file at @path the same as @image, holes included. */
void image_write(const struct image *image, const char *path);

#endif
