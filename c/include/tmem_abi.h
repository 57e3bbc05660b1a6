/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-or-later */
/*
 * The tmem ABI: what guest and host agree on, whatever carries it.
 *
 * Every number that crosses between guest and host stands here and nowhere else: C includes this
 * file, Python reads it through cffi (hence enumerators instead of macros for the constants).
 * Op codes, pool flag bits and the two private error codes keep the values of Xen's
 * public/tmem.h; what Xen did not have starts at 16.
 *
 * Vocabulary: a client (one guest as the host sees it) owns pools; a pool holds objects, named by
 * a 192-bit oid; an object holds pages, named by a 64-bit index. (pool, oid, index) is a handle.
 */
#ifndef TMEM_ABI_H
#define TMEM_ABI_H

#ifndef TMEM_CDEF
#ifdef __KERNEL__
#include <linux/types.h>
#else
#include <stdint.h>
#endif
#endif

/* The version of this ABI, carried in bits 24-31 of the pool flags as Xen did. */
enum { TMEM_ABI_VERSION = 1 };

/* Sizes and limits. Counts that are not here (clients, pools of the host, objects) have none. */
enum {
	TMEM_PAGE_SHIFT = 12,
	TMEM_PAGE_BYTES = 4096,
	TMEM_UUID_BYTES = 16,
	TMEM_BOOT_ID_BYTES = 16,
	TMEM_OID_WORDS = 3,
	TMEM_POOLS_PER_CLIENT_MAX = 16384,
};

enum tmem_op {
	TMEM_OP_NEW_POOL = 1,
	TMEM_OP_DESTROY_POOL = 2,
	TMEM_OP_PUT_PAGE = 4,
	TMEM_OP_GET_PAGE = 5,
	TMEM_OP_FLUSH_PAGE = 6,
	TMEM_OP_FLUSH_OBJECT = 7,
	TMEM_OP_FLUSH_RANGE = 16,
	TMEM_OP_FLUSH_POOL = 17,
	/* of the channel: docs/protocol.md */
	TMEM_OP_HELLO = 32, /* asks for a session; changes nothing on the host */
	TMEM_OP_START = 33, /* takes the session that the answer to HELLO offered */
	TMEM_OP_ECHO = 34,  /* brings the newest token back (rule R); keeps the channel alive */
	TMEM_OP_BYE = 35,   /* ends the session: a guest in order, the host with the reason */
	TMEM_OP_STAT = 36,  /* what the host holds for this client */
	TMEM_OP_POOLS = 37, /* which pools the client has */
};

/* The flag word of a new pool. Bits that no field names must be zero. */
enum tmem_pool_flags {
	TMEM_POOL_PERSISTENT = 1 << 0, /* pages stay until flushed; else ephemeral */
	TMEM_POOL_SHARED = 1 << 1, /* one store for all who join by the same uuid; ephemeral only */
	TMEM_POOL_PRECOMPRESSED = 1 << 2, /* never accepted */
	TMEM_POOL_PAGE_SIZE_SHIFT = 4,    /* bits 4-7: page size = 2^(n + 12); only n = 0 */
	TMEM_POOL_PAGE_SIZE_MASK = 0xf,
	TMEM_POOL_VERSION_SHIFT = 24, /* bits 24-31: TMEM_ABI_VERSION */
	TMEM_POOL_VERSION_MASK = 0xff,
};

/*
 * Result codes: positive or zero is an answer, negative is a refusal or an error. The negative
 * ones are errno values (given as numbers: both ends must agree, whatever their libc), but for the
 * two that Xen took from outside errno's range.
 */
enum tmem_result {
	TMEM_MISS = 0,     /* get: no such page; destroy: no such pool */
	TMEM_DONE = 1,     /* put stored, get hit, flush done (present or not), pool destroyed */
	TMEM_EPERM = -1,   /* persistent and shared at once */
	TMEM_ENOENT = -2,  /* no such client */
	TMEM_EIO = -5,     /* a stored page was damaged; it is dropped */
	TMEM_EAGAIN = -11, /* put: the shared pool is not served now */
	TMEM_ENOMEM = -12, /* put of a new page: the host has no room */
	TMEM_EEXIST = -17, /* a client of this name exists */
	TMEM_ENODEV = -19, /* no such pool of this client, or the client is gone */
	TMEM_EINVAL = -22, /* a reserved flag bit, an unknown setting */
	TMEM_ENOSPC = -28, /* put over an existing page failed; the old page is gone */
	TMEM_EBUSY = -16,  /* setting can not change while the client holds pools */
	TMEM_ENAMETOOLONG = -36,
	TMEM_EPROTO = -71,     /* another ABI version than ours */
	TMEM_EOPNOTSUPP = -95, /* a page size other than 4096 bytes, a precompressed pool */
	TMEM_EDQUOT = -122,    /* put of a new page: over the client's cap or persistent quota */
	TMEM_EMFILE = -24,     /* pool_new: TMEM_POOLS_PER_CLIENT_MAX reached */
	TMEM_EFROZEN = -1000,  /* put of a new page, or a new pool, by a frozen client */
	TMEM_EEMPTY = -1001,   /* get on a pool that holds no pages; not counted as a get */

	/* of the channel; in answers to HELLO and START, and as the reason of a host's BYE */
	TMEM_EILSEQ = -84,      /* the stream was damaged; resume */
	TMEM_ECONNRESET = -104, /* another session of this client has taken over */
	TMEM_ESHUTDOWN = -108,  /* the service is going down; resume when it is back */
	TMEM_ETIMEDOUT = -110,  /* the lease lapsed: expelled from the shared pools (R-a) */
	TMEM_ESTALE = -116,     /* the guest was put back to an earlier moment (R-e) */
	TMEM_EUCLEAN = -117,    /* the host says that the client's pages are gone (rule P) */
};

/* The name of an object inside a pool. */
struct tmem_oid {
	uint64_t words[3];
};

#endif
