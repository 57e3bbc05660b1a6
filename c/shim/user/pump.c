/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "pump.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "wire.h"

enum {
	LOOK_MS = 1000,
	SLEEP_MAX_MS = 60 * 1000,
};

/* The pump looks at what is wanted before it sleeps and after it has said that it sleeps; so who
 * has set wanted and sees it awake need not wake it. */
void tmem_pump_wake(struct tmem_transport *transport)
{
	if (!atomic_exchange(&transport->wanted, 1) && atomic_load(&transport->sleeps))
		eventfd_write(transport->wake_fd, 1);
}

/* ---- the loop ------------------------------------------------------------------------------ */

static int timeout_ms(uint64_t due_ns)
{
	uint64_t now_ns = tmem_platform_now_ns();
	uint64_t left_ms;

	if (due_ns <= now_ns)
		return 0;
	left_ms = (due_ns - now_ns + NS_PER_MS - 1) / NS_PER_MS;
	return left_ms < SLEEP_MAX_MS ? (int)left_ms : SLEEP_MAX_MS;
}

static void stream_changed(struct tmem_transport *transport, int code, bool was_up)
{
	if (code == -ENOTCONN && !was_up)
		return;
	if (code)
		tmem_pump_lost(transport, code);
	else if (!was_up)
		tmem_pump_host_came(transport);
}

/* Sleeps until something is there, wanted or due. */
static void rest(struct tmem_transport *transport, uint64_t due_ns)
{
	struct epoll_event events[2];
	eventfd_t count;
	int found;

	atomic_store(&transport->sleeps, 1);
	if (atomic_load(&transport->wanted))
		due_ns = 0;
	found = epoll_wait(transport->epoll_fd, events, 2, timeout_ms(due_ns));
	atomic_store(&transport->sleeps, 0);
	for (int i = 0; i < found; i++) {
		bool was_up = transport->stream.up;

		if (!events[i].data.ptr)
			eventfd_read(transport->wake_fd, &count);
		else if (transport->stream.fd >= 0)
			stream_changed(transport,
				       tmem_stream_event(&transport->stream, events[i].events),
				       was_up);
	}
}

/* What falls due with time. Returns when to come again. */
static uint64_t on_time(struct tmem_transport *transport)
{
	uint64_t now_ns = tmem_platform_now_ns();
	bool port = transport->stream.fd >= 0 && transport->stream.port;
	uint64_t due_ns;

	if (transport->stream.fd < 0 && now_ns >= transport->retry_ns) {
		tmem_pump_open(transport);
	} else if (port && now_ns >= transport->look_ns) {
		bool was_up = transport->stream.up;

		transport->look_ns = now_ns + LOOK_MS * NS_PER_MS;
		stream_changed(transport, tmem_stream_look(&transport->stream), was_up);
	}
	if (now_ns >= transport->fill_ns && !transport->written_bytes) {
		struct tmem_shim_info info;

		transport->fill_ns = UINT64_MAX;
		tmem_shim_info(transport->shim, &info);
		if (info.state == TMEM_SHIM_HELLO)
			transport->filler_bytes = TMEM_WIRE_MESSAGE_MAX;
	}
	due_ns = tmem_shim_tick(transport->shim);
	if (transport->reopen)
		tmem_pump_begin_anew(transport);
	if (transport->stream.fd < 0 && transport->retry_ns < due_ns)
		due_ns = transport->retry_ns;
	if (transport->stream.fd >= 0 && transport->stream.port && transport->look_ns < due_ns)
		due_ns = transport->look_ns;
	return transport->fill_ns < due_ns ? transport->fill_ns : due_ns;
}

/* Hears what others want, and rests while they want that. */
static enum pump_wish hear(struct tmem_transport *transport)
{
	enum pump_wish wish;
	bool lose;

	pthread_mutex_lock(&transport->lock);
	transport->published = transport->info;
	while (transport->paused && transport->wish != WISH_STOP) {
		transport->rests = true;
		pthread_cond_broadcast(&transport->changed);
		pthread_cond_wait(&transport->changed, &transport->lock);
	}
	transport->rests = false;
	wish = transport->wish;
	lose = transport->lose;
	transport->lose = false;
	pthread_mutex_unlock(&transport->lock);
	if (lose && transport->stream.up) {
		tmem_shim_closed(transport->shim);
		tmem_pump_begin_anew(transport);
	}
	return wish;
}

/* Whether the pump may stop, since @wish is fulfilled. */
static bool may_stop(struct tmem_transport *transport, enum pump_wish wish)
{
	int code;

	switch (wish) {
	case WISH_STOP:
		return true;
	case WISH_DRAIN:
		return !transport->stream.up || transport->nothing_left;
	case WISH_SAVE:
		if (transport->segments_taken)
			return false;
		code = tmem_shim_save(transport->shim, &transport->saved);
		pthread_mutex_lock(&transport->lock);
		transport->save_code = code;
		if (code && code != TMEM_EBUSY)
			transport->wish = WISH_NONE;
		pthread_cond_broadcast(&transport->changed);
		pthread_mutex_unlock(&transport->lock);
		return !code;
	default:
		return false;
	}
}

void *tmem_pump(void *argument)
{
	struct tmem_transport *transport = argument;
	enum pump_wish wish;
	uint64_t due_ns;
	bool more;

	transport->fill_ns = UINT64_MAX;
	for (;;) {
		atomic_store(&transport->wanted, 0);
		wish = hear(transport);
		due_ns = on_time(transport);
		more = tmem_pump_write(transport);
		more |= tmem_pump_read(transport);
		if (transport->reopen)
			tmem_pump_begin_anew(transport);
		if (may_stop(transport, wish))
			break;
		rest(transport, more ? 0 : due_ns);
	}
	pthread_mutex_lock(&transport->lock);
	transport->drained = transport->stream.up;
	tmem_stream_close(&transport->stream);
	transport->info.connected = false;
	transport->published = transport->info;
	transport->state = PUMP_STOPPED;
	pthread_cond_broadcast(&transport->changed);
	pthread_mutex_unlock(&transport->lock);
	return NULL;
}
