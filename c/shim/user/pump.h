/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the pump and those who use the transport share. */
#ifndef TMEM_PUMP_H
#define TMEM_PUMP_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/epoll.h>

#include "stream.h"
#include "transport.h"

enum pump_state { PUMP_NEW, PUMP_RUNS, PUMP_STOPPED };

enum pump_wish {
	WISH_NONE,
	WISH_DRAIN, /* stop when everything was sent */
	WISH_SAVE,  /* stop when the session can be saved */
	WISH_STOP,
};

enum { PUMP_SEGMENTS = 64, PUMP_INPUT_BYTES = 256 * 1024 };

struct tmem_transport {
	struct tmem_shim *shim;
	void *memory;
	char path[TMEM_TRANSPORT_PATH_MAX + 1];
	int given_fd; /* -1: none, or in use */
	int epoll_fd;
	int wake_fd;
	pthread_t thread;

	pthread_mutex_t lock; /* for the next group; nobody waits or calls the shim under it, but
				 for tmem_shim_info */
	pthread_cond_t changed;
	enum pump_state state;
	enum pump_wish wish;
	bool joined;
	bool paused;
	bool rests; /* paused, and the pump knows */
	bool lose;  /* the stream is to be lost */
	int save_code;
	struct tmem_shim_saved saved;
	bool drained; /* of a pump that stopped: the host was there to the end */
	struct tmem_transport_info published;
	uint64_t event_next;
	uint64_t event_taken;
	struct tmem_transport_event events[TMEM_TRANSPORT_EVENTS_MAX];

	/* See tmem_pump_wake. */
	atomic_uint wanted;
	atomic_uint sleeps;

	/* The pump's own. */
	struct tmem_stream stream;
	struct tmem_transport_info info;
	bool reopen;            /* the shim wants another stream */
	bool nothing_left;      /* the shim had nothing to send when it was asked last */
	uint32_t retry_ms;      /* the pause before the next attempt; 0: the stream was good */
	uint64_t retry_ns;      /* when to open it */
	uint64_t look_ns;       /* when to look by itself at a port */
	uint64_t fill_ns;       /* when to send filler, if there is no session by then */
	uint64_t filler_bytes;  /* zeros to be written before anything else */
	uint64_t written_bytes; /* of the first segment */
	uint32_t segments_taken;
	struct tmem_shim_segment segments[PUMP_SEGMENTS];
	uint8_t input[PUMP_INPUT_BYTES];
};

#define NS_PER_MS ((uint64_t)1000000)

/* ---- the stream (pump_stream.c); the pump ---- */

/* Opens it, or says when to try again. */
void tmem_pump_open(struct tmem_transport *transport);
/* The host is at its other end. */
void tmem_pump_host_came(struct tmem_transport *transport);
/* It can not be used now: @code as stream.h has it. */
void tmem_pump_lost(struct tmem_transport *transport, int code);
/* The shim, or a test, wants a new beginning. A port goes on where it is: whoever is at its other
 * end may wait for the rest of a message, and gets enough zeros to see that none comes. */
void tmem_pump_begin_anew(struct tmem_transport *transport);
/* Move what there is, at most a turn's: whether more can be moved at once. */
bool tmem_pump_write(struct tmem_transport *transport);
bool tmem_pump_read(struct tmem_transport *transport);

/* ---- pump.c ---- */

/* The thread. */
void *tmem_pump(void *transport);

/* Has the pump look at everything once more. Atomic, any thread. */
void tmem_pump_wake(struct tmem_transport *transport);

#endif
