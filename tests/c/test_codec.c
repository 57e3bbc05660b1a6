/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Encodings: what is encoded comes back, and damaged contents never pass for a page. */
#include <string.h>

#include "check.h"
#include "codec.h"
#include "page.h"
#include "random.h"

static uint8_t secret[TMEM_SECRET_BYTES];
static const uint32_t encodings[] = {TMEM_ENCODING_RAW, TMEM_ENCODING_LZ4, TMEM_ENCODING_ZSTD};

enum { ENCODINGS = sizeof(encodings) / sizeof(encodings[0]) };

static void make_secret(uint64_t seed)
{
	struct random random = {.state = seed};

	for (size_t i = 0; i < sizeof(secret); i++)
		secret[i] = (uint8_t)random_next(&random);
}

static bool decode(const struct tmem_encoded *encoded, void *page)
{
	return tmem_decode(encoded->contents, encoded->length_bytes, encoded->encoding,
			   encoded->checksum, secret, page);
}

static void check_round_trip(const unsigned char *page, uint32_t encoding)
{
	unsigned char back[TMEM_PAGE_BYTES];
	struct tmem_encoded encoded;

	tmem_encode(page, encoding, 1, secret, &encoded);
	CHECK(encoded.length_bytes <= TMEM_ENCODED_MAX_BYTES ||
	      (encoded.encoding == TMEM_ENCODING_RAW && encoded.length_bytes == TMEM_PAGE_BYTES));
	memset(back, 0xee, sizeof(back));
	CHECK(decode(&encoded, back));
	CHECK(memcmp(page, back, sizeof(back)) == 0);
}

/* Pages of every compressibility: the first @noise bytes are random. */
static void make_noisy(unsigned char *page, uint32_t noise, uint64_t seed)
{
	struct random random = {.state = seed};

	for (uint32_t i = 0; i < TMEM_PAGE_BYTES; i++)
		page[i] = i < noise ? (unsigned char)random_next(&random) : (unsigned char)(i / 64);
}

static void every_page_comes_back(void)
{
	unsigned char page[TMEM_PAGE_BYTES];

	make_secret(1);
	for (uint32_t noise = 0; noise <= TMEM_PAGE_BYTES; noise += 64)
		for (int i = 0; i < ENCODINGS; i++) {
			make_noisy(page, noise, noise);
			check_round_trip(page, encodings[i]);
		}
}

static void chosen_encoding_is_used(void)
{
	unsigned char page[TMEM_PAGE_BYTES];
	struct tmem_encoded encoded;

	make_secret(2);
	for (int i = 0; i < ENCODINGS; i++) {
		make_noisy(page, 1000, 3);
		tmem_encode(page, encodings[i], 1, secret, &encoded);
		CHECK_EQ(encoded.encoding, encodings[i]);
		/* What does not shrink to 7/8 of a page is kept as it is. */
		make_noisy(page, 3700, 3);
		tmem_encode(page, encodings[i], 1, secret, &encoded);
		CHECK_EQ(encoded.encoding, TMEM_ENCODING_RAW);
		CHECK_EQ(encoded.length_bytes, TMEM_PAGE_BYTES);
	}
}

static void same_filled_pages_have_no_contents(void)
{
	static const uint64_t words[] = {0, ~0ull, 0x0123456789abcdef, 0x0101010101010101};
	unsigned char page[TMEM_PAGE_BYTES];
	struct tmem_encoded encoded;

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		for (size_t at = 0; at < sizeof(page); at += sizeof(words[i]))
			memcpy(page + at, &words[i], sizeof(words[i]));
		tmem_encode(page, TMEM_ENCODING_LZ4, 1, secret, &encoded);
		CHECK_EQ(encoded.encoding, TMEM_ENCODING_SAME);
		CHECK_EQ(encoded.length_bytes, 0);
		check_round_trip(page, TMEM_ENCODING_RAW);
		/* One byte that differs, wherever, makes it another page. */
		for (size_t at = 0; at < sizeof(page); at += 117) {
			page[at] ^= 1;
			tmem_encode(page, TMEM_ENCODING_RAW, 1, secret, &encoded);
			CHECK_EQ(encoded.encoding, TMEM_ENCODING_RAW);
			page[at] ^= 1;
		}
	}
}

static void damage_is_noticed(void)
{
	unsigned char page[TMEM_PAGE_BYTES];
	unsigned char back[TMEM_PAGE_BYTES];
	unsigned char damaged[TMEM_PAGE_BYTES];
	struct tmem_encoded encoded;
	struct random random = {.state = 4};

	make_secret(4);
	for (int i = 0; i < ENCODINGS; i++)
		for (int round = 0; round < 500; round++) {
			uint32_t at;

			make_noisy(page, random_below(&random, 3000), (uint64_t)round);
			tmem_encode(page, encodings[i], 1, secret, &encoded);
			memcpy(damaged, encoded.contents, encoded.length_bytes);
			at = random_below(&random, encoded.length_bytes);
			damaged[at] ^= (unsigned char)(1 + random_below(&random, 255));
			/* Some damage of compressed contents decodes to the same page. */
			if (tmem_decode(damaged, encoded.length_bytes, encoded.encoding,
					encoded.checksum, secret, back))
				CHECK(memcmp(page, back, sizeof(back)) == 0);
			else
				CHECK(encoded.length_bytes > 0);
			CHECK(!tmem_decode(encoded.contents, encoded.length_bytes, encoded.encoding,
					   encoded.checksum ^ 1, secret, back));
		}
}

static void arbitrary_contents_are_refused(void)
{
	unsigned char contents[TMEM_PAGE_BYTES];
	unsigned char page[TMEM_PAGE_BYTES];
	struct random random = {.state = 5};

	for (int round = 0; round < 3000; round++) {
		uint32_t length_bytes = random_below(&random, sizeof(contents) + 1);

		for (uint32_t i = 0; i < length_bytes; i++)
			contents[i] = (unsigned char)random_next(&random);
		for (uint8_t encoding = 0; encoding < 6; encoding++)
			if (encoding != TMEM_ENCODING_SAME)
				CHECK(!tmem_decode(contents, length_bytes, encoding, 42, secret,
						   page));
	}
}

/* Pages of one trust group look like nothing to another. */
static void checksum_depends_on_the_secret(void)
{
	unsigned char page[TMEM_PAGE_BYTES];
	unsigned char back[TMEM_PAGE_BYTES];
	struct tmem_encoded encoded;

	make_noisy(page, 2000, 6);
	make_secret(6);
	tmem_encode(page, TMEM_ENCODING_RAW, 1, secret, &encoded);
	make_secret(7);
	CHECK(!decode(&encoded, back));
}

int main(int argc, char **argv)
{
	static const struct test tests[] = {
		{"every_page_comes_back", every_page_comes_back},
		{"chosen_encoding_is_used", chosen_encoding_is_used},
		{"same_filled_pages_have_no_contents", same_filled_pages_have_no_contents},
		{"damage_is_noticed", damage_is_noticed},
		{"arbitrary_contents_are_refused", arbitrary_contents_are_refused},
		{"checksum_depends_on_the_secret", checksum_depends_on_the_secret},
	};

	return RUN_TESTS(tests, argc, argv);
}
