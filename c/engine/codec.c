/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "codec.h"

#include <lz4.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>
#include <zstd.h>
#if defined(__x86_64__)
#include <xxh_x86dispatch.h>
#endif

uint64_t tmem_hash_page(const void *page, const uint8_t *secret)
{
	/* xxh_x86dispatch.h turns this name into the one that looks at the processor. */
	return XXH3_64bits_withSecret(page, TMEM_PAGE_BYTES, secret, TMEM_SECRET_BYTES);
}

/* zstd's contexts are large and slow to make: one of each for a thread, freed when it ends. */
struct zstd_contexts {
	ZSTD_CCtx *compress;
	ZSTD_DCtx *decompress;
};

static pthread_key_t contexts_key;
static pthread_once_t contexts_once = PTHREAD_ONCE_INIT;

static void free_contexts(void *memory)
{
	struct zstd_contexts *contexts = memory;

	ZSTD_freeCCtx(contexts->compress);
	ZSTD_freeDCtx(contexts->decompress);
	free(contexts);
}

static void make_key(void)
{
	pthread_key_create(&contexts_key, free_contexts);
}

static struct zstd_contexts *thread_contexts(void)
{
	struct zstd_contexts *contexts;

	pthread_once(&contexts_once, make_key);
	contexts = pthread_getspecific(contexts_key);
	if (contexts == NULL) {
		contexts = calloc(1, sizeof(*contexts));
		if (contexts == NULL)
			return NULL;
		contexts->compress = ZSTD_createCCtx();
		contexts->decompress = ZSTD_createDCtx();
		if (contexts->compress == NULL || contexts->decompress == NULL ||
		    pthread_setspecific(contexts_key, contexts) != 0) {
			free_contexts(contexts);
			return NULL;
		}
	}
	return contexts;
}

static bool is_same_filled(const char *page, uint64_t first_word)
{
	/* The last word first: most pages that start alike differ there. */
	if (memcmp(page + TMEM_PAGE_BYTES - 8, &first_word, 8) != 0)
		return false;
	return memcmp(page, page + 8, TMEM_PAGE_BYTES - 8) == 0;
}

static size_t compress(const void *page, uint32_t encoding, int zstd_level, unsigned char *to)
{
	if (encoding == TMEM_ENCODING_LZ4) {
		int length = LZ4_compress_default(page, (char *)to, TMEM_PAGE_BYTES,
						  TMEM_ENCODED_MAX_BYTES);
		return length > 0 ? (size_t)length : 0;
	}
	if (encoding == TMEM_ENCODING_ZSTD) {
		struct zstd_contexts *contexts = thread_contexts();
		size_t length;

		if (contexts == NULL)
			return 0;
		length = ZSTD_compressCCtx(contexts->compress, to, TMEM_ENCODED_MAX_BYTES, page,
					   TMEM_PAGE_BYTES, zstd_level);
		return ZSTD_isError(length) ? 0 : length;
	}
	return 0;
}

static void set_same(uint64_t word, struct tmem_encoded *ret)
{
	ret->encoding = TMEM_ENCODING_SAME;
	ret->checksum = word;
	ret->length_bytes = 0;
	ret->contents = NULL;
}

static void set_raw(const void *page, struct tmem_encoded *ret)
{
	ret->encoding = TMEM_ENCODING_RAW;
	ret->length_bytes = TMEM_PAGE_BYTES;
	ret->contents = page;
}

void tmem_encode_unchecked(const void *page, struct tmem_encoded *ret)
{
	uint64_t first_word;

	memcpy(&first_word, page, sizeof(first_word));
	if (is_same_filled(page, first_word))
		set_same(first_word, ret);
	else
		set_raw(page, ret);
}

void tmem_encode(const void *page, uint32_t encoding, int zstd_level, const uint8_t *secret,
		 struct tmem_encoded *ret)
{
	uint64_t first_word;
	size_t length_bytes;

	memcpy(&first_word, page, sizeof(first_word));
	if (is_same_filled(page, first_word)) {
		set_same(first_word, ret);
		return;
	}
	length_bytes = compress(page, encoding, zstd_level, ret->buffer);
	/* after the compression, which has brought the page into the cache */
	ret->checksum = tmem_hash_page(page, secret);
	if (length_bytes > 0) {
		ret->encoding = (uint8_t)encoding;
		ret->length_bytes = (uint32_t)length_bytes;
		ret->contents = ret->buffer;
	} else {
		set_raw(page, ret);
	}
}

static bool decompress(const void *contents, uint32_t length_bytes, uint8_t encoding, void *page)
{
	struct zstd_contexts *zstd;

	switch (encoding) {
	case TMEM_ENCODING_LZ4:
		return LZ4_decompress_safe(contents, page, (int)length_bytes, TMEM_PAGE_BYTES) ==
		       TMEM_PAGE_BYTES;
	case TMEM_ENCODING_ZSTD:
		zstd = thread_contexts();
		return zstd != NULL &&
		       ZSTD_decompressDCtx(zstd->decompress, page, TMEM_PAGE_BYTES, contents,
					   length_bytes) == TMEM_PAGE_BYTES;
	default:
		return false;
	}
}

/* Whether the contents are those that @checksum was made of; decoded into @plain unless raw. */
static bool verify(const void *contents, uint32_t length_bytes, uint8_t encoding, uint64_t checksum,
		   const uint8_t *secret, void *plain)
{
	if (encoding == TMEM_ENCODING_RAW)
		return length_bytes == TMEM_PAGE_BYTES &&
		       tmem_hash_page(contents, secret) == checksum;
	return decompress(contents, length_bytes, encoding, plain) &&
	       tmem_hash_page(plain, secret) == checksum;
}

bool tmem_verify(const void *contents, uint32_t length_bytes, uint8_t encoding, uint64_t checksum,
		 const uint8_t *secret)
{
	char plain[TMEM_PAGE_BYTES] __attribute__((aligned(64)));

	return encoding == TMEM_ENCODING_SAME ||
	       verify(contents, length_bytes, encoding, checksum, secret, plain);
}

bool tmem_decode(const void *contents, uint32_t length_bytes, uint8_t encoding, uint64_t checksum,
		 const uint8_t *secret, void *page)
{
	char plain[TMEM_PAGE_BYTES] __attribute__((aligned(64)));

	if (encoding == TMEM_ENCODING_SAME) {
		for (size_t i = 0; i < TMEM_PAGE_BYTES; i += sizeof(checksum))
			memcpy((char *)page + i, &checksum, sizeof(checksum));
		return true;
	}
	/* Verified before the caller's page is touched: a failed get leaves it alone (rule 14). */
	if (!verify(contents, length_bytes, encoding, checksum, secret, plain))
		return false;
	memcpy(page, encoding == TMEM_ENCODING_RAW ? contents : plain, TMEM_PAGE_BYTES);
	return true;
}
