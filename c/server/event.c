/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "event.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { NS_PER_MS = 1000000, NS_PER_SECOND = 1000000000 };

uint64_t tmem_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return (uint64_t)now.tv_sec * NS_PER_SECOND + (uint64_t)now.tv_nsec;
}

int tmem_events_init(struct tmem_events *events)
{
	pthread_condattr_t attributes;

	memset(events, 0, sizeof(*events));
	events->ring = calloc(TMEM_EVENTS_MAX, sizeof(*events->ring));
	if (events->ring == NULL)
		return -ENOMEM;
	pthread_mutex_init(&events->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&events->more, &attributes);
	pthread_condattr_destroy(&attributes);
	return 0;
}

void tmem_events_deinit(struct tmem_events *events)
{
	if (events->ring == NULL)
		return;
	pthread_cond_destroy(&events->more);
	pthread_mutex_destroy(&events->lock);
	free(events->ring);
}

void tmem_events_wake(struct tmem_events *events)
{
	pthread_mutex_lock(&events->lock);
	pthread_cond_broadcast(&events->more);
	pthread_mutex_unlock(&events->lock);
}

/* Room for one more, or NULL. Holds the lock. */
static struct tmem_event *room(struct tmem_events *events)
{
	struct tmem_event *event;

	if (events->count == TMEM_EVENTS_MAX)
		return NULL;
	event = &events->ring[(events->first + events->count++) % TMEM_EVENTS_MAX];
	memset(event, 0, sizeof(*event));
	return event;
}

static void add_lost(struct tmem_events *events, uint64_t now_ns, const char *client,
		     uint32_t *lost)
{
	struct tmem_event *event = *lost != 0 ? room(events) : NULL;

	if (event == NULL)
		return;
	event->time_ns = now_ns;
	event->kind = TMEM_EVENT_LOST;
	event->code = (int32_t)(*lost < INT32_MAX ? *lost : INT32_MAX);
	snprintf(event->client, sizeof(event->client), "%s", client != NULL ? client : "");
	snprintf(event->detail, sizeof(event->detail), "%u events were dropped", *lost);
	*lost = 0;
}

static bool within(struct tmem_event_rate *rate, uint64_t now_ns)
{
	if (rate == NULL)
		return true;
	if (now_ns - rate->second_ns >= NS_PER_SECOND) {
		rate->second_ns = now_ns;
		rate->posted = 0;
	}
	if (rate->posted == TMEM_EVENTS_PER_SECOND) {
		rate->lost++;
		return false;
	}
	rate->posted++;
	return true;
}

void tmem_events_post(struct tmem_events *events, struct tmem_event_rate *rate,
		      enum tmem_event_kind kind, int code, const char *client, const char *format,
		      ...)
{
	uint64_t now_ns = tmem_now_ns();
	struct tmem_event *event;
	va_list args;

	if (!within(rate, now_ns))
		return;
	pthread_mutex_lock(&events->lock);
	if (rate != NULL)
		add_lost(events, now_ns, client, &rate->lost);
	add_lost(events, now_ns, NULL, &events->lost);
	event = room(events);
	if (event == NULL) {
		events->lost++;
	} else {
		event->time_ns = now_ns;
		event->kind = kind;
		event->code = code;
		snprintf(event->client, sizeof(event->client), "%s", client != NULL ? client : "");
		va_start(args, format);
		vsnprintf(event->detail, sizeof(event->detail), format, args);
		va_end(args);
		pthread_cond_signal(&events->more);
	}
	pthread_mutex_unlock(&events->lock);
}

int tmem_events_next(struct tmem_events *events, uint32_t timeout_ms, struct tmem_event *ret)
{
	struct timespec until;
	int found = 0;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += timeout_ms / 1000;
	until.tv_nsec += (long)(timeout_ms % 1000) * NS_PER_MS;
	if (until.tv_nsec >= NS_PER_SECOND) {
		until.tv_sec++;
		until.tv_nsec -= NS_PER_SECOND;
	}
	pthread_mutex_lock(&events->lock);
	if (events->count == 0 && timeout_ms != 0)
		(void)pthread_cond_timedwait(&events->more, &events->lock, &until);
	if (events->count != 0) {
		*ret = events->ring[events->first];
		events->first = (events->first + 1) % TMEM_EVENTS_MAX;
		events->count--;
		found = 1;
	}
	pthread_mutex_unlock(&events->lock);
	return found;
}
