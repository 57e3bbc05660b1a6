/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Messages between guest and host: encode, decode, find the next one in a damaged stream. Used by
 * the server, the user-space shim and the kernel module; docs/protocol.md describes every byte.
 *
 * A message is a header of 64 bytes. If its payload is not empty, payload, zeros up to a multiple
 * of eight, and a tail of eight bytes follow. All numbers are little-endian.
 *
 *    0  u32  magic             40  u64  oid, first word
 *    4  u8   version           48  u64  oid, second word
 *    5  u8   op                56  u64  oid, third word
 *    6  u16  flags
 *    8  u16  payload bytes     payload: a page, a msgpack map, or what the op says
 *   10  i16  status, or count
 *   12  u32  check             tail: check of the header, all bits inverted, then zeros
 *   16  u32  tag
 *   20  u32  session
 *   24  u32  pool
 *   28  u32  reserved, zero
 *   32  u64  index
 *
 * The check is the low half of XXH64 over the header with the check as zero, seeded with the
 * session's key. Host and guest alone know the key, so nothing that a page contains can pass for a
 * header of the session, and a payload that was cut short and continued by other bytes has a wrong
 * tail (rule Q). HELLO and its answer have session 0 and key 0; they change nothing by themselves.
 */
#ifndef TMEM_WIRE_H
#define TMEM_WIRE_H

#include "tmem_abi.h"

#ifndef TMEM_CDEF
#ifdef __KERNEL__
#include <linux/types.h>
#else
#include <stddef.h>
#endif
#endif

enum tmem_wire {
	TMEM_WIRE_MAGIC = 0x6d654d54, /* "TMem" in the stream */
	TMEM_WIRE_VERSION = 1,
	TMEM_WIRE_HEADER_BYTES = 64,
	TMEM_WIRE_TAIL_BYTES = 8,
	TMEM_WIRE_PAYLOAD_MAX = 4096,
	TMEM_WIRE_MESSAGE_MAX = 64 + 4096 + 8,
	TMEM_WIRE_AHEAD_MAX = 32,       /* pages sent ahead of one get (rule S) */
	TMEM_WIRE_PRESENCE_PAGES = 128, /* pages of one presence bitmap (rule T) */
	TMEM_WIRE_RANGE_MAX = 32767,    /* pages of one FLUSH_RANGE */
};

enum tmem_wire_flags {
	TMEM_WIRE_REPLY = 1 << 0, /* from the host */
	/* Of a reply to PUT or any FLUSH: every request before this one that has no answer yet was
	 * done (TMEM_DONE), too. Other replies are never left out. */
	TMEM_WIRE_CUMULATIVE = 1 << 1,
	TMEM_WIRE_AHEAD = 1 << 2,    /* reply to GET: a page that follows the one asked for */
	TMEM_WIRE_PRESENCE = 1 << 3, /* GET: wanted; its reply: oid words 0 and 1 hold it */
	TMEM_WIRE_TOKEN = 1 << 4,    /* reply: oid word 2 holds the newest token */
	/* NEW_POOL of a shared pool: for a mount that was never a member under an earlier session
	 * (R-a: others stay out once a lapse was too long). */
	TMEM_WIRE_NEW_MOUNT = 1 << 5,
};

/* A header in the order of this machine. */
struct tmem_message {
	uint8_t version;
	uint8_t op;
	uint16_t flags;
	uint16_t payload_bytes;
	int16_t status; /* of a reply; in a request the count: pages wanted ahead, pages to flush */
	uint32_t check;
	uint32_t tag;
	uint32_t session;
	uint32_t pool;
	uint64_t index;
	struct tmem_oid oid;
};

/* Bytes of a whole message with a payload of @payload_bytes. */
uint32_t tmem_wire_bytes(uint32_t payload_bytes);

/*
 * Writes header and, for a payload, padding and tail of @message at @to, which has room for
 * tmem_wire_bytes(message->payload_bytes). The payload itself is at @to + TMEM_WIRE_HEADER_BYTES:
 * the caller puts it there, before or after. Sets message->check. Returns the message's bytes.
 */
uint32_t tmem_wire_encode(struct tmem_message *message, uint64_t key, void *to);

/* The same in two parts, for who sends the payload from elsewhere: the header at @header, padding
 * and tail at @tail (room for 16 bytes). Returns the bytes at @tail, 0 without a payload. */
uint32_t tmem_wire_encode_parts(struct tmem_message *message, uint64_t key, void *header,
				void *tail);

enum tmem_wire_found {
	TMEM_WIRE_MORE = 0,    /* not yet a whole message; *@used bytes are of no interest. @ret is
				* it, if what follows them has at least its header */
	TMEM_WIRE_FOUND = 1,   /* @ret is one, of *@used bytes */
	TMEM_WIRE_DAMAGED = 2, /* what should be a message is none; nothing is used */
};

/* One direction of one connection. */
struct tmem_decoder {
	uint64_t key;     /* of the session, once there is one */
	uint32_t session; /* 0: none */
	uint32_t
		replies; /* non-zero: this end takes what the host sends, else what a guest sends */
	uint32_t searching; /* non-zero: only HELLO and START, or their replies, are looked for */
	uint64_t skipped_bytes; /* passed over while searching, since the decoder was made */
	uint64_t offered_key;   /* of an offered session: START and its reply are taken with it */
	uint32_t offered;       /* its number; 0: none */
};

/* @replies: non-zero for the guest's end, which takes what the host sends. */
void tmem_decoder_init(struct tmem_decoder *decoder, int replies);

/*
 * Looks at the next @bytes of the stream. Nothing beyond them is read, and no number in them is
 * believed before the check holds: a message is of this direction, our version and session, and of
 * a payload length that is possible, its reserved bits are zero, its check and its tail right.
 * HELLO, and START of the offered session, are taken at any time, the rest only in step.
 *
 * In step, what is no message is TMEM_WIRE_DAMAGED; the caller then ends the connection or
 * searches. Searching, what is neither HELLO nor START is passed over: *@used tells how much, also
 * with TMEM_WIRE_MORE. A message is at the end of the *@used bytes; *@payload points to its payload
 * in the data (NULL without one). What was found does not change whether the decoder searches: that
 * is the caller's to say, once it has looked at the message.
 */
enum tmem_wire_found tmem_decoder_next(struct tmem_decoder *decoder, const void *data, size_t bytes,
				       struct tmem_message *ret, const void **payload,
				       size_t *used);

/* The same for a message of which tmem_decoder_next has seen the header (TMEM_WIRE_MORE), once
 * @data has all of it, from its header on: @message, as it was found then. Not TMEM_WIRE_MORE. */
enum tmem_wire_found tmem_decoder_finish(const struct tmem_message *message, const void *data,
					 const void **payload);

/*
 * What the next message seems to be, from a header of which nothing is checked but that it has the
 * magic and a possible length: good for guesses alone. Returns the bytes that the message would
 * have, or 0.
 */
uint32_t tmem_wire_peek(const void *untrusted_data, size_t bytes,
			struct tmem_message *untrusted_ret);

/* The stream is not to be trusted from here on: look for a new beginning. Forgets the session. */
void tmem_decoder_search(struct tmem_decoder *decoder);

/* A session that the other end may take by START from now on; forgets an earlier offer. */
void tmem_decoder_offer(struct tmem_decoder *decoder, uint32_t session, uint64_t key);

/* In step: from the next byte on, messages of this session are taken. Forgets the offer. */
void tmem_decoder_begin(struct tmem_decoder *decoder, uint32_t session, uint64_t key);

/*
 * The digest of everything that was sent under tags up to and with this message's: what both ends
 * compare when a session is resumed, so that a guest put back to an earlier moment is recognised
 * even when its tags have caught up (R-e). Takes what the message asks for, whatever session
 * carries it, and of a page eight words. @payload NULL when there is none.
 */
uint64_t tmem_wire_chain(uint64_t chain, const struct tmem_message *message, const void *payload);

#endif
