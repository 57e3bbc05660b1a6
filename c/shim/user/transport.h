/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The shim in user space: a tmem_shim with its memory, and the pump, a thread that moves bytes
 * between it and a unix socket or a virtio-serial port, sends its echoes, and opens the stream
 * again with growing pauses when it is lost. It never spins, and never waits in a read or a write.
 *
 * The front-end functions of shim.h and frontends.h take tmem_transport_shim(); its transport's
 * half is the pump's.
 */
#ifndef TMEM_TRANSPORT_H
#define TMEM_TRANSPORT_H

#include "frontends.h"
#include "shim.h"

struct tmem_transport;

enum {
	TMEM_TRANSPORT_PATH_MAX = 107,
	TMEM_TRANSPORT_EVENTS_MAX = 64,   /* kept, the newest ones */
	TMEM_TRANSPORT_RETRY_MIN_MS = 10, /* from one attempt to open to the next, doubling */
	TMEM_TRANSPORT_RETRY_MAX_MS = 1000,
};

struct tmem_transport_options {
	char path[108]; /* of a unix socket or a character device; empty: only @fd, once */
	int32_t fd;     /* a connected stream socket or an open port, to begin with; -1: none */
	struct tmem_shim_config config;
};

/* Makes a shim without a stream. Takes options->fd, also when it fails. 0, -EINVAL (the
 * configuration is not possible), -ENOMEM, or what the kernel answered. */
int tmem_transport_new(const struct tmem_transport_options *options, struct tmem_transport **ret);

struct tmem_shim *tmem_transport_shim(struct tmem_transport *transport);

/* Starts the pump. Before: tmem_shim_restore, tmem_shim_adopt_pool. 0 or a negative errno. */
int tmem_transport_start(struct tmem_transport *transport);

/*
 * Stops the pump and ends every wait; nothing can be started afterwards. With @orderly the session
 * is ended (BYE) once everything queued was sent, for at most @patience_ms: 0, or -ETIMEDOUT or
 * -ENOTCONN when it was not. Without, the host takes it for a guest that fell silent. May be called
 * again, and while other threads are in the front-end functions.
 */
int tmem_transport_stop(struct tmem_transport *transport, int orderly, uint32_t patience_ms);

/*
 * Waits until every operation was answered, and stops the pump in such a way that a shim of another
 * process can go on with the session (tmem_shim_restore). 0; -EBUSY after @timeout_ms, and -ENOENT
 * without a session: then nothing was stopped.
 */
int tmem_transport_save(struct tmem_transport *transport, uint32_t timeout_ms,
			struct tmem_shim_saved *ret);

/* Stops without order what was not stopped. Nobody is in any function of it any more. */
void tmem_transport_free(struct tmem_transport *transport);

/* Waits for a session: 0, or -ETIMEDOUT. */
int tmem_transport_wait(struct tmem_transport *transport, uint32_t timeout_ms);

/* Loses the stream, as a channel does. */
void tmem_transport_break(struct tmem_transport *transport);

/* With @paused the pump does nothing, as in a guest that does not run; no echo is sent. Returns
 * once it does nothing. */
void tmem_transport_pause(struct tmem_transport *transport, int paused);

struct tmem_transport_info {
	uint32_t connected; /* the host is at the other end */
	int32_t error;   /* why not: what the last attempt gave; -ENOTCONN: a port nobody is at */
	uint64_t opened; /* times the host was there anew */
	uint64_t reads;
	uint64_t writes;
	uint64_t bytes_received;
	uint64_t bytes_sent;
};

void tmem_transport_info(struct tmem_transport *transport, struct tmem_transport_info *ret);

struct tmem_transport_event {
	int32_t event; /* enum tmem_shim_event */
	uint32_t lost; /* events before this one that nobody took in time */
	int64_t code;
};

/* Waits for the oldest event nobody has taken. 1 with *@ret, or 0 after @timeout_ms. */
int tmem_transport_next_event(struct tmem_transport *transport, uint32_t timeout_ms,
			      struct tmem_transport_event *ret);

/* ---- operations that no single call of shim.h is ------------------------------------------- */

/* Flushes @count pages from @first on, or (op FLUSH_POOL) the pool, and waits for the host as
 * tmem_shim_flush_page_wait does. Task. */
int tmem_transport_flush(struct tmem_shim *shim, uint32_t op, uint32_t pool,
			 const struct tmem_oid *oid, uint64_t first, uint64_t count);

/*
 * Puts or gets (op PUT_PAGE, GET_PAGE) @count pages from @first on, page by page at @pages, with up
 * to @depth requests (1 .. 256) under way, and waits for all. @results: the answer to each. Returns
 * how many were TMEM_DONE. Task.
 */
uint64_t tmem_transport_run(struct tmem_shim *shim, uint32_t op, uint32_t pool,
			    const struct tmem_oid *oid, uint64_t first, uint64_t count,
			    uint32_t depth, void *pages, int32_t *results);

#endif
