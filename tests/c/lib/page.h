/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Page contents that name themselves: a page is made from a 32-bit value, and the value can be read
 * back from any whole page. So a test remembers one number for each handle, and a page that is
 * torn, stale or of another handle is told from the right one. Value 0 means "no page".
 *
 * The top four bits choose how well the page compresses, hence its encoding and size class.
 */
#ifndef TMEM_TEST_PAGE_H
#define TMEM_TEST_PAGE_H

#include <stdbool.h>
#include <stdint.h>

enum page_fill {
	PAGE_RAW = 0,   /* random words: no encoding shrinks it */
	PAGE_HALF = 1,  /* LZ4 makes a little over half of it */
	PAGE_SMALL = 2, /* LZ4 makes some 200 bytes of it */
	PAGE_SAME = 3,  /* one word repeated */
	PAGE_FILLS = 4,
};

/* @number is 1 .. 2^28 - 1. */
static inline uint32_t page_value(enum page_fill fill, uint32_t number)
{
	return (uint32_t)fill << 28 | number;
}

void page_make(void *page, uint32_t value);

bool page_equals(const void *page, uint32_t value);

/* The value of a whole page, or 0 if it is not one that page_make made. */
uint32_t page_read(const void *page);

#endif
