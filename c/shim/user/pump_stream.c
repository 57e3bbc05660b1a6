/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The pump's stream: it comes and goes, and bytes are moved over it. */
#include <errno.h>
#include <string.h>

#include "pump.h"
#include "wire.h"

enum {
	TURN_BYTES = 1 << 20, /* written or read before the other direction has its turn */
	FILL_MS = 400,
};

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

void tmem_pump_host_came(struct tmem_transport *transport)
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

void tmem_pump_lost(struct tmem_transport *transport, int code)
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

void tmem_pump_open(struct tmem_transport *transport)
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
		tmem_pump_host_came(transport);
	} else {
		transport->info.error = -ENOTCONN;
	}
}

void tmem_pump_begin_anew(struct tmem_transport *transport)
{
	bool cut = transport->written_bytes || transport->filler_bytes;

	transport->reopen = false;
	if (!transport->stream.up)
		return;
	if (!transport->stream.port) {
		tmem_pump_lost(transport, -ECONNRESET);
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

bool tmem_pump_write(struct tmem_transport *transport)
{
	uint64_t turn = 0;

	transport->nothing_left = false;
	while (transport->stream.up && transport->stream.writable) {
		int64_t bytes = write_once(transport);

		if (bytes < 0)
			tmem_pump_lost(transport, (int)bytes);
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

bool tmem_pump_read(struct tmem_transport *transport)
{
	uint64_t turn = 0;

	while (transport->stream.up && transport->stream.readable && !transport->reopen) {
		int64_t bytes = tmem_stream_read(&transport->stream, transport->input,
						 sizeof(transport->input));

		if (bytes < 0)
			tmem_pump_lost(transport, (int)bytes);
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
