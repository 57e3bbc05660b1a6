/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "page.h"

#include <string.h>

#include "random.h"
#include "tmem_abi.h"

enum { WORDS = TMEM_PAGE_BYTES / sizeof(uint64_t) };

/* Tells our pages from zeros and from leftovers of other programs. */
static const uint64_t magic = 0x746d656d70616765;

void page_make(void *page, uint32_t value)
{
	uint64_t words[WORDS];
	uint64_t first = magic ^ ((uint64_t)value << 32 | value);
	struct random random = {.state = value};

	for (uint32_t i = 0; i < WORDS; i++) {
		bool noisy;

		switch ((enum page_fill)(value >> 28)) {
		case PAGE_RAW:
			noisy = true;
			break;
		case PAGE_HALF:
			noisy = i % 32 < 16;
			break;
		case PAGE_SMALL:
			noisy = i % 32 == 0;
			break;
		default:
			noisy = false;
		}
		words[i] = noisy ? random_next(&random) : first;
	}
	words[0] = first;
	memcpy(page, words, sizeof(words));
}

bool page_equals(const void *page, uint32_t value)
{
	unsigned char wanted[TMEM_PAGE_BYTES];

	page_make(wanted, value);
	return memcmp(page, wanted, sizeof(wanted)) == 0;
}

uint32_t page_read(const void *page)
{
	uint64_t first;
	uint32_t value;

	memcpy(&first, page, sizeof(first));
	value = (uint32_t)(first ^ magic);
	return value != 0 && page_equals(page, value) ? value : 0;
}
