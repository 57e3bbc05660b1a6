/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "pump.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "wire.h"

enum {
	TURN_BYTES = 1 << 20, /* written or read before the other direction has its turn */
	LOOK_MS = 1000,
	FILL_MS = 400,
	SLEEP_MAX_MS = 60 * 1000,
};

#define NS_PER_MS ((uint64_t)1000000)

/* The pump looks at what is wanted before it sleeps and after it has said that it sleeps; so who
 * has set wanted and sees it awake need not wake it. */
void tmem_pump_wake(struct tmem_transport *transport)
{
	if (!atomic_exchange(&transport->wanted, 1) && atomic_load(&transport->sleeps))
		eventfd_write(transport->wake_fd, 1);
}

static void drop_segments(struct tmem_transport *transport)
{
	transport->segments_taken = 0;
	transport->written_bytes = 0;
	transport->filler_bytes = 0;
}

/* ---- the stream comes and goes ------------------------------------------------------------- */

static void came(struct tmem_transport *transport)
{
	if (transport->stream.port)
		transport->fill_ns = tmem_platform_now_ns() + FILL_MS * NS_PER_MS;
	tmem_shim_opened(transport->shim);
}

static void host_came(struct tmem_transport *transport)
{
	transport->info.connected = true;
	transport->info.error = 0;
	transport->info.opened++;
	drop_segments(transport);
	came(transport);
}

static void schedule_retry(struct tmem_transport *transport)
{
	if (!transport->path[0]) {
		transport->retry_ns = UINT64_MAX;
		return;
	}
	transport->retry_ns = tmem_platform_now_ns() + transport->retry_ms * NS_PER_MS;
	transport->retry_ms =
		transport->retry_ms ? transport->retry_ms * 2 : TMEM_TRANSPORT_RETRY_MIN_MS;
	if (transport->retry_ms > TMEM_TRANSPORT_RETRY_MAX_MS)
		transport->retry_ms = TMEM_TRANSPORT_RETRY_MAX_MS;
}

/* The stream can not be used now: @code as stream.h has it. */
static void lost(struct tmem_transport *transport, int code)
{
	transport->info.connected = false;
	transport->info.error = code;
	drop_segments(transport);
	transport->fill_ns = UINT64_MAX;
	tmem_shim_closed(transport->shim);
	if (code == -ENOTCONN && transport->stream.port)
		return;
	tmem_stream_close(&transport->stream);
	schedule_retry(transport);
}

static void open_stream(struct tmem_transport *transport)
{
	struct tmem_stream *stream = &transport->stream;
	int fd = transport->given_fd, code;

	transport->given_fd = -1;
	code = fd >= 0 ? tmem_stream_adopt(stream, fd, transport->epoll_fd)
		       : tmem_stream_open(stream, transport->path, transport->epoll_fd);
	if (code) {
		transport->info.error = code;
		tmem_stream_close(stream);
		schedule_retry(transport);
	} else if (stream->up) {
		host_came(transport);
	} else {
		transport->info.error = -ENOTCONN;
	}
}

/* The shim, or a test, wants a new beginning. A port goes on where it is: whoever is at its other
 * end may wait for the rest of a message, and gets enough zeros to see that none comes. */
static void begin_anew(struct tmem_transport *transport)
{
	bool cut = transport->written_bytes || transport->filler_bytes;

	transport->reopen = false;
	if (!transport->stream.up)
		return;
	if (!transport->stream.port) {
		lost(transport, -ECONNRESET);
		return;
	}
	drop_segments(transport);
	transport->filler_bytes = cut ? TMEM_WIRE_MESSAGE_MAX : 0;
	came(transport);
}

/* ---- bytes --------------------------------------------------------------------------------- */

static void written(struct tmem_transport *transport, uint64_t bytes)
{
	uint32_t gone = 0;

	tmem_shim_sent(transport->shim, bytes);
	bytes += transport->written_bytes;
	while (gone < transport->segments_taken && bytes >= transport->segments[gone].bytes)
		bytes -= transport->segments[gone++].bytes;
	transport->written_bytes = bytes;
	transport->segments_taken -= gone;
	memmove(transport->segments, transport->segments + gone,
		transport->segments_taken * sizeof(*transport->segments));
}

/* Writes once: the bytes, 0 when there is nothing or no room, or a negative errno. */
static int64_t write_once(struct tmem_transport *transport)
{
	static const uint8_t zeros[TMEM_WIRE_MESSAGE_MAX];
	struct tmem_shim_segment filler = {.data = zeros, .bytes = transport->filler_bytes};
	int64_t bytes;

	if (transport->filler_bytes) {
		bytes = tmem_stream_write(&transport->stream, &filler, 1, 0);
		transport->filler_bytes -= bytes > 0 ? (uint64_t)bytes : 0;
		return bytes;
	}
	if (transport->segments_taken <= PUMP_SEGMENTS / 2)
		transport->segments_taken += tmem_shim_output(
			transport->shim, transport->segments + transport->segments_taken,
			PUMP_SEGMENTS - transport->segments_taken);
	transport->nothing_left = !transport->segments_taken;
	if (transport->nothing_left)
		return 0;
	bytes = tmem_stream_write(&transport->stream, transport->segments,
				  transport->segments_taken, transport->written_bytes);
	if (bytes > 0)
		written(transport, (uint64_t)bytes);
	return bytes;
}

/* Whether more can be written at once. */
static bool write_turn(struct tmem_transport *transport)
{
	uint64_t turn = 0;

	transport->nothing_left = false;
	while (transport->stream.up && transport->stream.writable) {
		int64_t bytes = write_once(transport);

		if (bytes < 0)
			lost(transport, (int)bytes);
		if (bytes <= 0)
			return false;
		transport->info.writes++;
		transport->info.bytes_sent += (uint64_t)bytes;
		turn += (uint64_t)bytes;
		if (turn >= TURN_BYTES)
			return true;
	}
	return false;
}

/* Whether more can be read at once. */
static bool read_turn(struct tmem_transport *transport)
{
	uint64_t turn = 0;

	while (transport->stream.up && transport->stream.readable && !transport->reopen) {
		int64_t bytes = tmem_stream_read(&transport->stream, transport->input,
						 sizeof(transport->input));

		if (bytes < 0)
			lost(transport, (int)bytes);
		if (bytes <= 0)
			return false;
		transport->info.reads++;
		transport->info.bytes_received += (uint64_t)bytes;
		tmem_shim_input(transport->shim, transport->input, (size_t)bytes);
		turn += (uint64_t)bytes;
		if (turn >= TURN_BYTES)
			return true;
	}
	return false;
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
		lost(transport, code);
	else if (!was_up)
		host_came(transport);
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
		open_stream(transport);
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
		begin_anew(transport);
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
		begin_anew(transport);
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
		more = write_turn(transport);
		more |= read_turn(transport);
		if (transport->reopen)
			begin_anew(transport);
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
