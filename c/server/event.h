/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What happened, kept until somebody asks (tmem_server_next_event). */
#ifndef TMEM_EVENT_H
#define TMEM_EVENT_H

#include <pthread.h>
#include <stdbool.h>

#include "server.h"

enum { TMEM_EVENTS_MAX = 4096, TMEM_EVENTS_PER_SECOND = 10 };

struct tmem_events {
	pthread_mutex_t lock;
	pthread_cond_t more;
	struct tmem_event *ring; /* of TMEM_EVENTS_MAX */
	uint32_t first;
	uint32_t count;
	uint32_t lost; /* since the last one that was kept */
};

/* What one guest has caused; belongs to who posts its events. */
struct tmem_event_rate {
	uint64_t second_ns; /* when it began */
	uint32_t posted;    /* in it */
	uint32_t lost;
};

uint64_t tmem_now_ns(void); /* CLOCK_BOOTTIME */

/* 0 or -ENOMEM. */
int tmem_events_init(struct tmem_events *events);
void tmem_events_deinit(struct tmem_events *events);
/* Whoever waits in tmem_events_next returns. */
void tmem_events_wake(struct tmem_events *events);

/* @client may be NULL. With @rate, which a guest's doing passes, what exceeds it is counted. */
__attribute__((format(printf, 6, 7))) void
tmem_events_post(struct tmem_events *events, struct tmem_event_rate *rate,
		 enum tmem_event_kind kind, int code, const char *client, const char *format, ...);

int tmem_events_next(struct tmem_events *events, uint32_t timeout_ms, struct tmem_event *ret);

#endif
