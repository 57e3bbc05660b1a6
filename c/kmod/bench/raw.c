// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The bare port: what virtqueues, QEMU and a socket take for the bytes of tmem's messages. One loop
 * for all shapes of traffic; whoever wants an answer asks for it in the message.
 */
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/random.h>
#include <linux/timekeeping.h>

#include "../transport/transport.h"
#include "bench.h"
#include "message.h"

enum {
	SLOTS = 256,      /* of messages; more than a queue of the device holds (QEMU: 128) */
	ANSWER_MS = 5000, /* the host is silent after this */
	OPEN_MS = 20000,
};

/* Requests of @payload_bytes. Each @group of them, and the last, have one answer of @reply_bytes;
 * @window groups may be unanswered. */
struct shape {
	const char *name;
	u32 payload_bytes;
	u32 reply_bytes;
	u32 group;
	u32 window;
	u32 pages; /* that a request stands for */
	bool interrupts;
};

static const struct shape shapes[] = {
	{"raw_trip", 4096, TMEM_BENCH_MESSAGE_BYTES, 1, 1, 1, false},
	{"raw_trip_interrupt", 4096, TMEM_BENCH_MESSAGE_BYTES, 1, 1, 1, true},
	{"raw_trip_get", 0, TMEM_BENCH_MESSAGE_BYTES, 1, 1, 1, false},
	{"raw_push", 4096, TMEM_BENCH_HEADER_BYTES, 32, 4, 1, false},
	{"raw_push_interrupt", 4096, TMEM_BENCH_HEADER_BYTES, 32, 4, 1, true},
	{"raw_pull", 0, 32 * TMEM_BENCH_MESSAGE_BYTES, 1, 2, 32, false},
	{"raw_pull_interrupt", 0, 32 * TMEM_BENCH_MESSAGE_BYTES, 1, 2, 32, true},
};

/* What the port wants of a transport. */
struct tmem_transport tmem_transport;

static char *device = "";
module_param(device, charp, 0444);
MODULE_PARM_DESC(device, "virtio device of the port " TMEM_PORT_NAME ", such as virtio4");

static u8 *slots;

const char *tmem_transport_device(void)
{
	return device;
}

void tmem_pump_wake(void)
{
	WRITE_ONCE(tmem_transport.wanted, true);
	wake_up(&tmem_transport.wake);
}

/* Control messages are looked at before each run. */
void tmem_pump_attend(void)
{
}

void tmem_pump_host_closed(void)
{
	tmem_transport.up = false;
}

/* ---- traffic -------------------------------------------------------------------------- */

struct traffic {
	const struct shape *shape;
	struct tmem_port *port;
	u32 requests;
	u32 begun;
	u64 wanted_bytes; /* of answers to requests that were begun */
	u64 received_bytes;
	u64 deadline_ns;
};

static u32 groups_begun(const struct traffic *traffic)
{
	return DIV_ROUND_UP(traffic->begun, traffic->shape->group);
}

static bool may_send(const struct traffic *traffic)
{
	const struct shape *shape = traffic->shape;
	u32 answered = div_u64(traffic->received_bytes, shape->reply_bytes);

	if (traffic->begun == traffic->requests || !tmem_port_room(traffic->port))
		return false;
	return traffic->begun % shape->group || groups_begun(traffic) - answered < shape->window;
}

static int send_request(struct traffic *traffic)
{
	const struct shape *shape = traffic->shape;
	u8 *slot = slots + traffic->begun % SLOTS * TMEM_BENCH_MESSAGE_BYTES;
	struct tmem_bench_header *header = (void *)slot;
	const struct tmem_shim_segment segment = {
		.data = slot,
		.bytes = TMEM_BENCH_HEADER_BYTES + shape->payload_bytes,
	};

	traffic->begun++;
	header->magic = TMEM_BENCH_MAGIC;
	header->payload_bytes = shape->payload_bytes;
	header->reply_bytes = 0;
	if (traffic->begun % shape->group == 0 || traffic->begun == traffic->requests)
		header->reply_bytes = shape->reply_bytes;
	traffic->wanted_bytes += header->reply_bytes;
	return tmem_port_send(traffic->port, &segment, false);
}

static bool receive(struct traffic *traffic)
{
	const void *piece;
	bool any = false;
	u32 bytes;

	while ((piece = tmem_port_receive(traffic->port, &bytes))) {
		traffic->received_bytes += bytes;
		tmem_port_return(traffic->port, piece);
		any = true;
	}
	return any;
}

static int wait(struct traffic *traffic)
{
	if (!traffic->shape->interrupts) {
		/* without a pause, as the transport polls */
		cond_resched(); /* the transport has its echoes to send */
	} else {
		WRITE_ONCE(tmem_transport.wanted, false);
		if (tmem_port_listen(traffic->port, false))
			wait_event_timeout(tmem_transport.wake, READ_ONCE(tmem_transport.wanted),
					   msecs_to_jiffies(ANSWER_MS));
		tmem_port_quiet(traffic->port);
	}
	return ktime_get_ns() < traffic->deadline_ns ? 0 : -ETIMEDOUT;
}

static int move(struct traffic *traffic)
{
	bool alone = traffic->shape->window == 1, any = false;
	u64 began_ns = ktime_get_ns(), unused;
	int code = 0;

	traffic->deadline_ns = began_ns + ANSWER_MS * NSEC_PER_MSEC;
	while (!code && (traffic->begun < traffic->requests ||
			 traffic->received_bytes < traffic->wanted_bytes)) {
		tmem_port_sent(traffic->port, &unused);
		for (any = false; !code && may_send(traffic); any = true) {
			if (alone)
				began_ns = tmem_bench_rest();
			code = send_request(traffic);
		}
		if (any)
			tmem_port_kick(traffic->port);
		if (receive(traffic)) {
			traffic->deadline_ns = ktime_get_ns() + ANSWER_MS * NSEC_PER_MSEC;
			if (alone && traffic->received_bytes == traffic->wanted_bytes)
				tmem_bench_sample(ktime_get_ns() - began_ns);
		} else if (!any && !code) {
			code = wait(traffic);
		} else if (alone && !code) {
			code = wait(traffic);
		}
	}
	return code;
}

/* The device has everything back, and nothing of an earlier run is on its way. */
static int settle(struct tmem_port *port)
{
	u64 end_ns = ktime_get_ns() + ANSWER_MS * NSEC_PER_MSEC, unused;

	while (tmem_port_sent(port, &unused), tmem_port_sending(port)) {
		if (ktime_get_ns() > end_ns)
			return -ETIMEDOUT;
		cond_resched();
	}
	return 0;
}

static int wait_open(struct tmem_port *port)
{
	unsigned int waited_ms;
	u32 closed;

	for (waited_ms = 0; waited_ms < OPEN_MS; waited_ms += 10) {
		if (tmem_port_control(port, &closed))
			return 0;
		schedule_timeout_uninterruptible(msecs_to_jiffies(10));
	}
	return -ENODEV;
}

static int run(const struct shape *shape, u32 count, struct tmem_bench_result *ret)
{
	struct traffic traffic = {
		.shape = shape,
		.port = tmem_transport.port,
		.requests = DIV_ROUND_UP(count, shape->pages),
	};
	u64 began_ns;
	int code;

	if (!traffic.port)
		return -ENODEV;
	code = wait_open(traffic.port);
	if (code)
		return code;
	tmem_port_quiet(traffic.port);
	tmem_bench_samples_begin();
	began_ns = ktime_get_ns();
	code = move(&traffic);
	ret->wall_ns = ktime_get_ns() - began_ns;
	ret->pages = (u64)traffic.requests * shape->pages;
	ret->median_ns = tmem_bench_samples_median();
	return code ?: settle(traffic.port);
}

int tmem_bench_raw_run(const char *name, u32 count, struct tmem_bench_result *ret)
{
	u32 i;
	int code = -ENOENT;

	for (i = 0; i < ARRAY_SIZE(shapes); i++) {
		if (strcmp(shapes[i].name, name))
			continue;
		mutex_lock(&tmem_transport.pump);
		code = run(&shapes[i], count, ret);
		mutex_unlock(&tmem_transport.pump);
	}
	return code;
}

int tmem_bench_raw_init(void)
{
	const size_t bytes = SLOTS * TMEM_BENCH_MESSAGE_BYTES;
	int code;

	mutex_init(&tmem_transport.pump);
	init_waitqueue_head(&tmem_transport.wake);
	slots = alloc_pages_exact(bytes, GFP_KERNEL | __GFP_RETRY_MAYFAIL);
	if (!slots)
		return -ENOMEM;
	get_random_bytes(slots, bytes);
	code = tmem_port_register();
	if (code)
		free_pages_exact(slots, bytes);
	return code;
}

void tmem_bench_raw_exit(void)
{
	tmem_port_unregister();
	free_pages_exact(slots, SLOTS * TMEM_BENCH_MESSAGE_BYTES);
}
