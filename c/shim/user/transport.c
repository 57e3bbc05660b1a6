/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "transport.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "pump.h"

static void wake(void *context)
{
	tmem_pump_wake(context);
}

static void reopen(void *context)
{
	struct tmem_transport *transport = context;

	transport->reopen = true;
}

static void event(void *context, int event, int64_t code)
{
	struct tmem_transport *transport = context;
	struct tmem_transport_event *slot;

	/* These two come from the pump alone. */
	if (event == TMEM_SHIM_STARTED || event == TMEM_SHIM_RESUMED)
		transport->retry_ms = 0;
	pthread_mutex_lock(&transport->lock);
	slot = &transport->events[transport->event_next++ % TMEM_TRANSPORT_EVENTS_MAX];
	*slot = (struct tmem_transport_event){.event = event, .code = code};
	pthread_cond_broadcast(&transport->changed);
	pthread_mutex_unlock(&transport->lock);
}

static int make_shim(struct tmem_transport *transport, const struct tmem_shim_config *config)
{
	const struct tmem_shim_callbacks callbacks = {
		.context = transport,
		.wake = wake,
		.reopen = reopen,
		.event = event,
	};
	uint64_t bytes = tmem_shim_bytes(config);

	if (!bytes)
		return -EINVAL;
	transport->memory = aligned_alloc(64, (bytes + 63) & ~(uint64_t)63);
	if (!transport->memory)
		return -ENOMEM;
	transport->shim = tmem_shim_init(transport->memory, NULL, config, &callbacks);
	return transport->shim ? 0 : -EINVAL;
}

static int make_files(struct tmem_transport *transport)
{
	struct epoll_event wanted = {.events = EPOLLIN, .data.ptr = NULL};

	transport->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	transport->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (transport->epoll_fd < 0 || transport->wake_fd < 0 ||
	    epoll_ctl(transport->epoll_fd, EPOLL_CTL_ADD, transport->wake_fd, &wanted))
		return -errno;
	return tmem_stream_init(&transport->stream);
}

int tmem_transport_new(const struct tmem_transport_options *options, struct tmem_transport **ret)
{
	struct tmem_transport *transport = calloc(1, sizeof(*transport));
	pthread_condattr_t clock;
	int code;

	if (!transport) {
		if (options->fd >= 0)
			close(options->fd);
		return -ENOMEM;
	}
	transport->given_fd = options->fd;
	transport->epoll_fd = transport->wake_fd = transport->stream.fd = -1;
	memcpy(transport->path, options->path, sizeof(transport->path) - 1);
	pthread_mutex_init(&transport->lock, NULL);
	pthread_condattr_init(&clock);
	pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
	pthread_cond_init(&transport->changed, &clock);
	pthread_condattr_destroy(&clock);
	transport->state = PUMP_NEW;
	code = make_files(transport);
	if (!code)
		code = make_shim(transport, &options->config);
	if (code) {
		tmem_transport_free(transport);
		return code;
	}
	*ret = transport;
	return 0;
}

struct tmem_shim *tmem_transport_shim(struct tmem_transport *transport)
{
	return transport->shim;
}

int tmem_transport_start(struct tmem_transport *transport)
{
	int code = pthread_create(&transport->thread, NULL, tmem_pump, transport);

	if (!code)
		transport->state = PUMP_RUNS;
	return -code;
}

/* ---- waiting for the pump ------------------------------------------------------------------ */

static struct timespec after_ms(uint32_t timeout_ms)
{
	struct timespec end;

	clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_sec += timeout_ms / 1000;
	end.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
	if (end.tv_nsec >= 1000000000) {
		end.tv_sec++;
		end.tv_nsec -= 1000000000;
	}
	return end;
}

/* Tells the pump what is wanted of it. */
static void want(struct tmem_transport *transport, enum pump_wish wish)
{
	transport->wish = wish;
	pthread_cond_broadcast(&transport->changed);
	tmem_pump_wake(transport);
}

/* With the lock held: waits for the pump to stop, false after @timeout_ms. */
static bool stopped(struct tmem_transport *transport, const struct timespec *end)
{
	while (transport->state == PUMP_RUNS)
		if (pthread_cond_timedwait(&transport->changed, &transport->lock, end))
			return transport->state != PUMP_RUNS;
	return true;
}

static void join(struct tmem_transport *transport)
{
	while (transport->state == PUMP_RUNS)
		pthread_cond_wait(&transport->changed, &transport->lock);
	if (transport->state != PUMP_STOPPED || transport->joined)
		return;
	transport->joined = true;
	pthread_mutex_unlock(&transport->lock);
	pthread_join(transport->thread, NULL);
	pthread_mutex_lock(&transport->lock);
}

int tmem_transport_stop(struct tmem_transport *transport, int orderly, uint32_t patience_ms)
{
	int code = 0;

	pthread_mutex_lock(&transport->lock);
	if (orderly && transport->state == PUMP_RUNS) {
		struct timespec end = after_ms(patience_ms);

		transport->paused = false;
		pthread_mutex_unlock(&transport->lock);
		tmem_shim_end(transport->shim);
		pthread_mutex_lock(&transport->lock);
		want(transport, WISH_DRAIN);
		if (!stopped(transport, &end))
			code = -ETIMEDOUT;
		else if (!transport->drained)
			code = -ENOTCONN;
	}
	want(transport, WISH_STOP);
	join(transport);
	pthread_mutex_unlock(&transport->lock);
	tmem_shim_end(transport->shim);
	return code;
}

int tmem_transport_save(struct tmem_transport *transport, uint32_t timeout_ms,
			struct tmem_shim_saved *ret)
{
	struct timespec end = after_ms(timeout_ms);
	int code;

	pthread_mutex_lock(&transport->lock);
	transport->save_code = TMEM_EBUSY;
	want(transport, WISH_SAVE);
	while (transport->state == PUMP_RUNS && transport->save_code == TMEM_EBUSY)
		if (pthread_cond_timedwait(&transport->changed, &transport->lock, &end))
			break;
	code = transport->save_code;
	*ret = transport->saved;
	if (transport->state == PUMP_RUNS)
		want(transport, WISH_NONE);
	else
		join(transport);
	pthread_mutex_unlock(&transport->lock);
	return code;
}

void tmem_transport_free(struct tmem_transport *transport)
{
	if (transport->shim) {
		tmem_transport_stop(transport, false, 0);
		tmem_shim_destroy(transport->shim);
	}
	if (transport->given_fd >= 0)
		close(transport->given_fd);
	tmem_stream_destroy(&transport->stream);
	if (transport->epoll_fd >= 0)
		close(transport->epoll_fd);
	if (transport->wake_fd >= 0)
		close(transport->wake_fd);
	pthread_cond_destroy(&transport->changed);
	pthread_mutex_destroy(&transport->lock);
	free(transport->memory);
	free(transport);
}

int tmem_transport_wait(struct tmem_transport *transport, uint32_t timeout_ms)
{
	struct timespec end = after_ms(timeout_ms);
	struct tmem_shim_info info;
	int code = 0;

	pthread_mutex_lock(&transport->lock);
	for (;;) {
		/* The event comes after the state has changed, so no change is missed. */
		tmem_shim_info(transport->shim, &info);
		if (info.state == TMEM_SHIM_RUNNING || code)
			break;
		code = pthread_cond_timedwait(&transport->changed, &transport->lock, &end);
	}
	pthread_mutex_unlock(&transport->lock);
	return info.state == TMEM_SHIM_RUNNING ? 0 : -ETIMEDOUT;
}

void tmem_transport_break(struct tmem_transport *transport)
{
	pthread_mutex_lock(&transport->lock);
	transport->lose = true;
	pthread_mutex_unlock(&transport->lock);
	tmem_pump_wake(transport);
}

void tmem_transport_pause(struct tmem_transport *transport, int paused)
{
	pthread_mutex_lock(&transport->lock);
	transport->paused = paused;
	pthread_cond_broadcast(&transport->changed);
	tmem_pump_wake(transport);
	while (transport->state == PUMP_RUNS && transport->paused && !transport->rests)
		pthread_cond_wait(&transport->changed, &transport->lock);
	pthread_mutex_unlock(&transport->lock);
}

/* ---- looking at it ------------------------------------------------------------------------- */

void tmem_transport_info(struct tmem_transport *transport, struct tmem_transport_info *ret)
{
	pthread_mutex_lock(&transport->lock);
	*ret = transport->published;
	pthread_mutex_unlock(&transport->lock);
}

int tmem_transport_next_event(struct tmem_transport *transport, uint32_t timeout_ms,
			      struct tmem_transport_event *ret)
{
	struct timespec end = after_ms(timeout_ms);
	uint64_t kept;
	int found = 0;

	pthread_mutex_lock(&transport->lock);
	while (transport->event_taken == transport->event_next)
		if (pthread_cond_timedwait(&transport->changed, &transport->lock, &end))
			break;
	kept = transport->event_next - transport->event_taken;
	if (kept) {
		uint64_t lost =
			kept > TMEM_TRANSPORT_EVENTS_MAX ? kept - TMEM_TRANSPORT_EVENTS_MAX : 0;

		transport->event_taken += lost;
		*ret = transport->events[transport->event_taken++ % TMEM_TRANSPORT_EVENTS_MAX];
		ret->lost = (uint32_t)lost;
		found = 1;
	}
	pthread_mutex_unlock(&transport->lock);
	return found;
}
