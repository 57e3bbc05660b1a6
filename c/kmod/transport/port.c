// SPDX-License-Identifier: GPL-2.0-or-later
#include <linux/delay.h>
#include <linux/gfp.h>
#include <linux/module.h>
#include <linux/scatterlist.h>
#include <linux/slab.h>
#include <linux/virtio.h>
#include <linux/virtio_config.h>
#include <linux/virtio_console.h>

#include "transport.h"

enum {
	CONTROL_BYTES = 256, /* of a control message with a port's name */
	CONTROL_PIECES = 32, /* in each direction: what QEMU's queues hold */
	CONTROL_WAIT_US = 100000,
	NO_PORT = -1,
	GENERATION_SHIFT = 48,
	INPUT_PAGES_A_KICK = 16,
};

/*
 * Queues 0 and 1 are port 0's, 2 and 3 those of control messages, 2n + 2 and 2n + 3 port n's, input
 * first (V2). Ours is the port of our name; nothing is ever queued at the others.
 */
struct tmem_port {
	struct virtio_device *device;
	struct virtqueue **queues;
	u32 ports;
	int number;                              /* NO_PORT: its name has not come yet */
	u32 host_open;                           /* a bit for each port */
	bool listening;                          /* opened at our end */
	u8 *control;                             /* CONTROL_PIECES of CONTROL_BYTES */
	struct virtio_console_control *messages; /* as many, to be sent */
	u32 messages_free;                       /* a bit for each */
	u8 *input[TMEM_PORT_INPUT_PAGES];
	u16 generation; /* of segments; older ones were forgotten */
	u32 sending;    /* segments in the device */
	u32 returned;   /* pieces of input */
	bool quiet;     /* no interrupts for input are wanted */
};

static struct virtqueue *control_in(struct tmem_port *port)
{
	return port->queues[2];
}

static struct virtqueue *control_out(struct tmem_port *port)
{
	return port->queues[3];
}

static struct virtqueue *input_of(struct tmem_port *port)
{
	return port->number == NO_PORT ? NULL
				       : port->queues[port->number ? 2 * port->number + 2 : 0];
}

static struct virtqueue *output_of(struct tmem_port *port)
{
	return port->number == NO_PORT ? NULL
				       : port->queues[port->number ? 2 * port->number + 3 : 1];
}

const char *tmem_port_device_name(struct tmem_port *port)
{
	return dev_name(&port->device->dev);
}

static int give_input(struct virtqueue *queue, void *piece, u32 bytes)
{
	struct scatterlist list;

	/* one descriptor each: nothing is allocated for it (V4) */
	sg_init_one(&list, piece, bytes);
	return virtqueue_add_inbuf(queue, &list, 1, piece, GFP_NOWAIT);
}

/* ---- control messages ----------------------------------------------------------------- */

/* One that the device is not reading, or NULL: it does not answer. */
static struct virtio_console_control *free_message(struct tmem_port *port)
{
	struct virtio_console_control *message;
	unsigned int bytes, waited_us;

	for (waited_us = 0; waited_us < CONTROL_WAIT_US; waited_us++) {
		while ((message = virtqueue_get_buf(control_out(port), &bytes)))
			port->messages_free |= BIT(message - port->messages);
		if (port->messages_free)
			return &port->messages[__ffs(port->messages_free)];
		if (virtqueue_is_broken(control_out(port)))
			break;
		udelay(1);
	}
	return NULL;
}

static void send_control(struct tmem_port *port, u32 number, u16 event, u16 value)
{
	struct virtio_console_control *message = free_message(port);
	struct virtqueue *queue = control_out(port);
	struct scatterlist list;

	if (!message)
		return;
	message->id = cpu_to_virtio32(port->device, number);
	message->event = cpu_to_virtio16(port->device, event);
	message->value = cpu_to_virtio16(port->device, value);
	sg_init_one(&list, message, sizeof(*message));
	if (virtqueue_add_outbuf(queue, &list, 1, message, GFP_NOWAIT))
		return;
	port->messages_free &= ~BIT(message - port->messages);
	virtqueue_kick(queue);
}

static void begin_port(struct tmem_port *port, u32 number)
{
	u32 i;

	port->number = number;
	for (i = 0; i < TMEM_PORT_INPUT_PAGES; i++)
		if (give_input(input_of(port), port->input[i], PAGE_SIZE))
			break;
	virtqueue_kick(input_of(port));
	send_control(port, number, VIRTIO_CONSOLE_PORT_OPEN, 1);
	port->listening = true;
}

static void take_control(struct tmem_port *port, const u8 *untrusted, u32 bytes)
{
	const struct virtio_console_control *message = (const void *)untrusted;
	const size_t name_bytes = strlen(TMEM_PORT_NAME);
	u32 number;
	u16 value;

	if (bytes < sizeof(*message))
		return;
	number = virtio32_to_cpu(port->device, message->id);
	value = virtio16_to_cpu(port->device, message->value);
	if (number >= port->ports)
		return;
	switch (virtio16_to_cpu(port->device, message->event)) {
	case VIRTIO_CONSOLE_PORT_ADD:
		send_control(port, number, VIRTIO_CONSOLE_PORT_READY, 1);
		break;
	case VIRTIO_CONSOLE_PORT_NAME:
		bytes -= sizeof(*message);
		/* with or without the zero at its end */
		if (bytes < name_bytes || memcmp(message + 1, TMEM_PORT_NAME, name_bytes) ||
		    (bytes > name_bytes && untrusted[sizeof(*message) + name_bytes]))
			break;
		if (port->number == NO_PORT)
			begin_port(port, number);
		else if (port->number == (int)number) /* it was gone for a while */
			send_control(port, number, VIRTIO_CONSOLE_PORT_OPEN, 1);
		break;
	case VIRTIO_CONSOLE_PORT_OPEN:
		port->host_open &= ~BIT(number);
		if (value)
			port->host_open |= BIT(number);
		break;
	case VIRTIO_CONSOLE_PORT_REMOVE:
		port->host_open &= ~BIT(number);
		break;
	default:
		break;
	}
}

bool tmem_port_control(struct tmem_port *port)
{
	struct virtqueue *queue = control_in(port);
	unsigned int bytes;
	bool any = false;
	void *piece;

	do {
		virtqueue_disable_cb(queue);
		while ((piece = virtqueue_get_buf(queue, &bytes))) {
			take_control(port, piece, min_t(u32, bytes, CONTROL_BYTES));
			give_input(queue, piece, CONTROL_BYTES);
			any = true;
		}
	} while (!virtqueue_enable_cb(queue));
	if (any)
		virtqueue_kick(queue);
	return port->listening && port->host_open & BIT(port->number);
}

/* ---- bytes ---------------------------------------------------------------------------- */

u32 tmem_port_room(struct tmem_port *port)
{
	return port->listening ? output_of(port)->num_free : 0;
}

/* What is in the queue is known by its bytes alone: it comes back in order. The lowest bit tells
 * filler. */
int tmem_port_send(struct tmem_port *port, const struct tmem_shim_segment *segment, bool filler)
{
	void *token = (void *)((unsigned long)port->generation << GENERATION_SHIFT |
			       (unsigned long)segment->bytes << 1 | filler);
	struct scatterlist list;
	int code;

	sg_init_one(&list, segment->data, segment->bytes);
	code = virtqueue_add_outbuf(output_of(port), &list, 1, token, GFP_NOWAIT);
	if (!code)
		port->sending++;
	return code;
}

void tmem_port_kick(struct tmem_port *port)
{
	virtqueue_kick(output_of(port));
}

void tmem_port_forget(struct tmem_port *port)
{
	port->generation++;
	port->sending = 0;
}

void tmem_port_remind(struct tmem_port *port)
{
	virtqueue_notify(output_of(port));
}

u64 tmem_port_sent(struct tmem_port *port, u64 *filler_bytes)
{
	unsigned int unused;
	u64 bytes = 0;
	void *token;

	*filler_bytes = 0;
	if (!port->listening)
		return 0;
	while ((token = virtqueue_get_buf(output_of(port), &unused))) {
		unsigned long word = (unsigned long)token;
		u64 segment_bytes = (word & ((1ul << GENERATION_SHIFT) - 1)) >> 1;

		if ((u16)(word >> GENERATION_SHIFT) != port->generation)
			continue;
		bytes += segment_bytes;
		if ((unsigned long)token & 1)
			*filler_bytes += segment_bytes;
		port->sending--;
	}
	return bytes;
}

bool tmem_port_sending(struct tmem_port *port)
{
	return port->sending;
}

const void *tmem_port_receive(struct tmem_port *port, u32 *bytes)
{
	unsigned int untrusted_bytes;
	void *piece;

	if (!port->listening)
		return NULL;
	piece = virtqueue_get_buf(input_of(port), &untrusted_bytes);
	*bytes = min_t(u32, untrusted_bytes, PAGE_SIZE);
	return piece;
}

/*
 * With event indexes, virtqueue_disable_cb alone does not take back the interrupt that was asked
 * for last: the next piece would make it. So that one is put off first, by three quarters of the
 * pieces that the device has.
 */
static void put_interrupt_off(struct virtqueue *queue)
{
	virtqueue_enable_cb_delayed(queue);
	virtqueue_disable_cb(queue);
}

void tmem_port_return(struct tmem_port *port, const void *piece)
{
	struct virtqueue *queue = input_of(port);

	give_input(queue, (void *)piece, PAGE_SIZE);
	if (++port->returned % INPUT_PAGES_A_KICK)
		return;
	if (port->quiet)
		put_interrupt_off(queue);
	/* the device waits to be told only once it has used all of them up */
	virtqueue_kick(queue);
}

void tmem_port_quiet(struct tmem_port *port)
{
	if (!port->listening)
		return;
	port->quiet = true;
	put_interrupt_off(input_of(port));
	virtqueue_disable_cb(output_of(port));
}

bool tmem_port_listen(struct tmem_port *port, bool output_too)
{
	bool quiet = true;

	if (!port->listening)
		return true;
	port->quiet = false;
	quiet &= virtqueue_enable_cb(input_of(port));
	if (output_too)
		quiet &= virtqueue_enable_cb(output_of(port));
	return quiet;
}

/* ---- the device ----------------------------------------------------------------------- */

static void interrupt(struct virtqueue *queue)
{
	tmem_pump_wake();
}

static void control_interrupt(struct virtqueue *queue)
{
	tmem_pump_attend();
}

static void free_port(struct tmem_port *port)
{
	u32 i;

	for (i = 0; i < TMEM_PORT_INPUT_PAGES; i++)
		free_page((unsigned long)port->input[i]);
	kfree(port->messages);
	kfree(port->control);
	kfree(port->queues);
	kfree(port);
}

static struct tmem_port *new_port(struct virtio_device *device)
{
	struct tmem_port *port = kzalloc(sizeof(*port), GFP_KERNEL);
	u32 i;

	if (!port)
		return NULL;
	port->device = device;
	port->number = NO_PORT;
	virtio_cread(device, struct virtio_console_config, max_nr_ports, &port->ports);
	port->ports = clamp_t(u32, port->ports, 1, 31);
	port->queues = kcalloc(2 * port->ports + 2, sizeof(*port->queues), GFP_KERNEL);
	port->control = kcalloc(CONTROL_PIECES, CONTROL_BYTES, GFP_KERNEL);
	port->messages = kcalloc(CONTROL_PIECES, sizeof(*port->messages), GFP_KERNEL);
	port->messages_free = U32_MAX;
	for (i = 0; i < TMEM_PORT_INPUT_PAGES; i++)
		port->input[i] = (u8 *)__get_free_page(GFP_KERNEL);
	for (i = 0; i < TMEM_PORT_INPUT_PAGES; i++)
		if (!port->input[i])
			break;
	if (i == TMEM_PORT_INPUT_PAGES && port->queues && port->control && port->messages)
		return port;
	free_port(port);
	return NULL;
}

static int find_queues(struct tmem_port *port)
{
	u32 i, count = 2 * port->ports + 2;
	vq_callback_t **callbacks = kcalloc(count, sizeof(*callbacks), GFP_KERNEL);
	const char **names = kcalloc(count, sizeof(*names), GFP_KERNEL);
	int code = -ENOMEM;

	if (callbacks && names) {
		for (i = 0; i < count; i++) {
			/* a queue without a name would shift those behind it (V2) */
			names[i] = i & 1 ? "output" : "input";
			callbacks[i] = i < 2 || i == 3 ? NULL : interrupt;
		}
		callbacks[2] = control_interrupt;
		/* port 0 can be ours only where there is no other */
		if (port->ports == 1)
			callbacks[0] = callbacks[1] = interrupt;
		code = virtio_find_vqs(port->device, count, port->queues, callbacks, names, NULL);
	}
	kfree(callbacks);
	kfree(names);
	return code;
}

static int start(struct tmem_port *port)
{
	u32 i;
	int code = find_queues(port);

	if (code)
		return code;
	for (i = 0; i < CONTROL_PIECES; i++)
		if (give_input(control_in(port), port->control + i * CONTROL_BYTES, CONTROL_BYTES))
			break;
	virtio_device_ready(port->device);
	virtqueue_kick(control_in(port));
	send_control(port, VIRTIO_CONSOLE_BAD_ID, VIRTIO_CONSOLE_DEVICE_READY, 1);
	return 0;
}

static int probe(struct virtio_device *device)
{
	struct tmem_port *port;
	int code = -ENODEV;

	/* every console is offered to us; what is left as it was, virtio_console can still take
	 * (V1) */
	if (strcmp(dev_name(&device->dev), tmem_transport_device()) || tmem_transport.port ||
	    !virtio_has_feature(device, VIRTIO_CONSOLE_F_MULTIPORT))
		goto refuse;
	code = -ENOMEM;
	port = new_port(device);
	if (!port)
		goto refuse;
	code = start(port);
	if (code) {
		device->config->reset(device);
		device->config->del_vqs(device);
		free_port(port);
		goto refuse;
	}
	device->priv = port;
	mutex_lock(&tmem_transport.pump);
	tmem_transport.port = port;
	tmem_transport.counters.devices++;
	mutex_unlock(&tmem_transport.pump);
	tmem_pump_attend();
	return 0;
refuse:
	device->config->reset(device);
	return code;
}

/* It cannot be refused (F1): a channel that breaks, and may come back with another device. */
static void remove(struct virtio_device *device)
{
	struct tmem_port *port = device->priv;

	mutex_lock(&tmem_transport.pump);
	tmem_transport.port = NULL;
	if (tmem_transport.up)
		tmem_pump_host_closed();
	mutex_unlock(&tmem_transport.pump);
	device->config->reset(device);
	device->config->del_vqs(device);
	free_port(port);
}

static const struct virtio_device_id ids[] = {{VIRTIO_ID_CONSOLE, VIRTIO_DEV_ANY_ID}, {0}};
static const unsigned int features[] = {VIRTIO_CONSOLE_F_MULTIPORT};

/* No MODULE_DEVICE_TABLE: nothing loads this module for a console (V1). */
static struct virtio_driver driver = {
	.driver.name = KBUILD_MODNAME,
	.driver.owner = THIS_MODULE,
	.id_table = ids,
	.feature_table = features,
	.feature_table_size = ARRAY_SIZE(features),
	.probe = probe,
	.remove = remove,
};

int tmem_port_register(void)
{
	return register_virtio_driver(&driver);
}

void tmem_port_unregister(void)
{
	unregister_virtio_driver(&driver);
}
