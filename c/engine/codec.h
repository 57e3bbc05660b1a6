/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Encodings of a page: one repeated word, LZ4, zstd, or as it is.
 *
 * A page that does not shrink to TMEM_ENCODED_MAX_BYTES (7/8 of a page) is kept raw: decoding it
 * would cost more than the eighth is worth.
 */
#ifndef TMEM_CODEC_H
#define TMEM_CODEC_H

#include "record.h"

struct tmem_encoded {
	const void *contents; /* in buffer, or the page itself if raw; nothing if same-filled */
	uint32_t length_bytes;
	uint8_t encoding;
	uint64_t checksum; /* as in a record */
	unsigned char buffer[TMEM_ENCODED_MAX_BYTES];
};

/* XXH3 of a page keyed by a secret of TMEM_SECRET_BYTES, with the widest vectors there are. */
uint64_t tmem_hash_page(const void *page, const uint8_t *secret);

/* Encodes the page at @page as @encoding wants (enum tmem_encoding); @secret keys the checksum.
 * Cannot fail: what cannot be encoded stays raw. */
void tmem_encode(const void *page, uint32_t encoding, int zstd_level, const uint8_t *secret,
		 struct tmem_encoded *ret);

/* The same for a page that is to stay raw, but leaves the checksum of one that is not same-filled
 * to the caller. */
void tmem_encode_unchecked(const void *page, struct tmem_encoded *ret);

/* Decodes @length_bytes at @contents, which may be damaged, into the page at @page; false, and
 * @page untouched, if they are not the page that @checksum was made of. */
bool tmem_decode(const void *contents, uint32_t length_bytes, uint8_t encoding, uint64_t checksum,
		 const uint8_t *secret, void *page);

/* The same without a page to put the contents into. */
bool tmem_verify(const void *contents, uint32_t length_bytes, uint8_t encoding, uint64_t checksum,
		 const uint8_t *secret);

#endif
