/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where the arena's memory comes from: the engine's one seam to its host.
 *
 * A backing is a window of address space, of which ranges are reserved (backed by memory that can
 * be written without fault or failure) and returned. Offsets and lengths are multiples of
 * page_bytes. A range that is not reserved must not be touched. Reserved memory reads as zeros
 * until written. Everything returns 0 or a negative errno.
 */
#ifndef TMEM_BACKING_H
#define TMEM_BACKING_H

#include <stddef.h>
#include <stdint.h>

#include "engine.h"

struct tmem_backing {
	const struct tmem_backing_ops *ops;
	uint64_t page_bytes; /* of the memory: 4 KiB, or a huge page */
	uint64_t huge_bytes; /* of what reserve_huge reserves; 0: it cannot */
};

struct tmem_backing_ops {
	/* Makes the range safe to touch, and faults it in. -ENOSPC or -ENOMEM: the host has none.
	 */
	int (*reserve)(struct tmem_backing *backing, uint64_t offset, uint64_t bytes);
	/* Reserves @huge_bytes at @offset, a multiple of it and without memory so far, as one huge
	 * page; a fraction of the price of as many small ones, now and whenever it is mapped. Fails
	 * whenever there is none at hand, with nothing reserved; reserve may work all the same. */
	int (*reserve_huge)(struct tmem_backing *backing, uint64_t offset);
	/* Maps reserved memory: touching it costs no fault for each page. A hint. */
	void (*fetch)(struct tmem_backing *backing, uint64_t offset, uint64_t bytes);
	/* Gives the range back to the host; reserved or not. */
	int (*give_back)(struct tmem_backing *backing, uint64_t offset, uint64_t bytes);
	/* Maps @bytes from offset 0 and returns the address in *@ret; replaces an earlier
	 * mapping. */
	int (*map)(struct tmem_backing *backing, uint64_t bytes, void **ret);
	/* Bytes up to the end of the last range that was ever reserved. */
	uint64_t (*end_bytes)(struct tmem_backing *backing);
	/* Where the first byte at or after @offset is that no memory holds; at most end_bytes. */
	uint64_t (*first_hole)(struct tmem_backing *backing, uint64_t offset);
	/* Bytes of memory held now. */
	uint64_t (*held_bytes)(struct tmem_backing *backing);
	int (*read)(struct tmem_backing *backing, void *to, uint64_t offset, size_t bytes);
	void (*close)(struct tmem_backing *backing);
};

/*
 * A file, mapped shared; on tmpfs or hugetlbfs it is memory. Locked against a second opener. With
 * @create an absent file is made without a name, which tmem_backing_publish() gives it: nobody ever
 * sees a half-formatted arena.
 */
int tmem_backing_open_file(const char *path, int create, struct tmem_backing **ret,
			   struct tmem_error *error);
int tmem_backing_publish(struct tmem_backing *backing, struct tmem_error *error);

/* For looking only: read works, reserve, give_back and map do not. *@in_use: somebody has it
 * open. */
int tmem_backing_open_readonly(const char *path, struct tmem_backing **ret, uint32_t *in_use,
			       struct tmem_error *error);

#endif
