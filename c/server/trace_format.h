/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A trace file: operations that a server has served. docs/trace.md describes every byte. All
 * numbers are little-endian. */
#ifndef TMEM_TRACE_FORMAT_H
#define TMEM_TRACE_FORMAT_H

#include "engine.h"

enum tmem_trace_format {
	TMEM_TRACE_VERSION = 1,
	TMEM_TRACE_MAGIC_BYTES = 8,          /* "TMEMTRC\n" */
	TMEM_TRACE_BLOCK_MAGIC = 0x42544d54, /* "TMTB" in the file */
	TMEM_TRACE_BLOCK_RECORDS = 4096,     /* at most, in one block */
	TMEM_TRACE_BLOCK_PAGES = 256,
	TMEM_TRACE_BLOCK_CLIENTS = 64,
	TMEM_TRACE_CLIENTS_MAX = 65536,
};

enum tmem_trace_block_kind {
	TMEM_TRACE_BLOCK_IS_CLIENTS = 1,
	TMEM_TRACE_BLOCK_IS_RECORDS = 2,
	TMEM_TRACE_BLOCK_IS_END = 3,
};

/* Beside enum tmem_op: a pool that the client had when it was first seen. */
enum { TMEM_TRACE_OP_POOL = 128 };

enum tmem_trace_record_flags {
	TMEM_TRACE_HAS_PAGE = 1 << 0,   /* the put's page is in the block */
	TMEM_TRACE_PRESENCE = 1 << 1,   /* GET: a presence bitmap was asked for */
	TMEM_TRACE_NEW_MOUNT = 1 << 2,  /* NEW_POOL */
	TMEM_TRACE_POOLS_KEPT = 1 << 3, /* START: the persistent pools were kept */
};

struct tmem_trace_header {
	uint8_t magic[8];
	uint32_t version;
	uint32_t flags;      /* enum tmem_trace_flags */
	uint64_t started_ns; /* since 1970 */
	uint64_t check;      /* XXH64 of what is before it */
};

struct tmem_trace_block {
	uint32_t magic;
	uint8_t kind; /* enum tmem_trace_block_kind */
	uint8_t zero;
	uint16_t worker;
	uint32_t records; /* or clients */
	uint32_t pages;
	uint32_t stored_bytes; /* that follow: one zstd frame */
	uint32_t zero_too;
	uint64_t number;        /* of the block in the file, from 0 */
	uint64_t dropped;       /* records of this worker that are missing before this block */
	uint64_t payload_check; /* XXH64 of what follows, seeded with number */
	uint64_t check;         /* XXH64 of what is before it */
};

/* One operation that was served. */
struct tmem_trace_record {
	uint64_t time_ns;    /* since the start of the recording */
	uint64_t index;      /* NEW_POOL, POOL: the flag word asked for */
	struct tmem_oid oid; /* NEW_POOL, POOL: words 0 and 1 the uuid, word 2 the flags granted */
	uint32_t pool;       /* NEW_POOL: the id given */
	uint32_t ahead;      /* GET: pages that were sent ahead */
	uint16_t client;     /* number in the file */
	int16_t count;       /* pages wanted ahead, pages to flush */
	int16_t result;      /* enum tmem_result; START: 1 resume, 2 new epoch */
	uint8_t op;
	uint8_t flags; /* enum tmem_trace_record_flags */
};

/* A client, as it was when its first operation was recorded. */
struct tmem_trace_client {
	uint32_t number;
	uint32_t name_bytes;
	uint64_t cap_bytes;
	uint64_t persistent_quota_bytes;
	uint32_t weight;
	uint32_t trust_group;
	uint32_t encoding;
	int32_t zstd_level;
	uint32_t dedup;
	uint32_t frozen;
	char name[128]; /* zeros behind it */
};

struct tmem_trace_end {
	uint64_t records; /* in the file */
	uint64_t dropped; /* missing in it */
	uint64_t duration_ns;
	int64_t code; /* 0, or a negative errno: why writing ended early */
};

#endif
