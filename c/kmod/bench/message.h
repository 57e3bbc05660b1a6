/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What goes over the bare port: as large as messages of tmem are, and nothing to decide on. The
 * module sends them, c/bench/guest/echo.c answers. In the guest's byte order. */
#ifndef TMEM_BENCH_MESSAGE_H
#define TMEM_BENCH_MESSAGE_H

#ifdef __KERNEL__
#include <linux/types.h>
#else
#include <stdint.h>
#endif

enum {
	TMEM_BENCH_HEADER_BYTES = 64,
	TMEM_BENCH_MESSAGE_BYTES = 64 + 4096,
	TMEM_BENCH_MAGIC = 0x68636562,
};

/* At the beginning of TMEM_BENCH_HEADER_BYTES; then come @payload_bytes. */
struct tmem_bench_header {
	uint32_t magic;
	uint32_t payload_bytes;
	uint32_t reply_bytes; /* to be sent at once, of any content; 0: no answer */
	uint32_t reserved;
};

#endif
