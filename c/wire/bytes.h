/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Little-endian numbers at any address, and the hash: what differs between user space and kernel.
 */
#ifndef TMEM_BYTES_H
#define TMEM_BYTES_H

#ifdef __KERNEL__
#include <asm/unaligned.h>
#include <linux/string.h>
#include <linux/types.h>
#include <linux/xxhash.h>

#define tmem_load16(p) get_unaligned_le16(p)
#define tmem_load32(p) get_unaligned_le32(p)
#define tmem_load64(p) get_unaligned_le64(p)
#define tmem_store16(p, v) put_unaligned_le16(v, p)
#define tmem_store32(p, v) put_unaligned_le32(v, p)
#define tmem_store64(p, v) put_unaligned_le64(v, p)
#define tmem_xxh64(data, bytes, seed) xxh64(data, bytes, seed)

#else
#include <endian.h>
#include <stdint.h>
#include <string.h>
/* Inlined: a header's hash has a length that is known, and every message needs several. */
#define XXH_INLINE_ALL
#include <xxhash.h>

#define TMEM_BYTES(bits)                                                                           \
	static inline uint##bits##_t tmem_load##bits(const void *from)                             \
	{                                                                                          \
		uint##bits##_t value;                                                              \
		memcpy(&value, from, sizeof(value));                                               \
		return le##bits##toh(value);                                                       \
	}                                                                                          \
	static inline void tmem_store##bits(void *to, uint##bits##_t value)                        \
	{                                                                                          \
		value = htole##bits(value);                                                        \
		memcpy(to, &value, sizeof(value));                                                 \
	}

TMEM_BYTES(16)
TMEM_BYTES(32)
TMEM_BYTES(64)
#define tmem_xxh64(data, bytes, seed) XXH64(data, bytes, seed)
#endif

#endif
