// SPDX-License-Identifier: GPL-2.0-or-later
/* The control messages of the device. */
#include <linux/delay.h>

#include "port.h"

enum { CONTROL_WAIT_US = 100000 };

static struct virtqueue *control_in(struct tmem_port *port)
{
	return port->queues[2];
}

static struct virtqueue *control_out(struct tmem_port *port)
{
	return port->queues[3];
}

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
		if (virtqueue_is_broken(control_out(port)) || !tmem_platform_may_wait())
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

static bool is_ours(const u8 *untrusted_name, u32 bytes)
{
	const u32 name_bytes = strlen(TMEM_PORT_NAME);

	/* with or without the zero at its end */
	return bytes >= name_bytes && !memcmp(untrusted_name, TMEM_PORT_NAME, name_bytes) &&
	       (bytes == name_bytes || !untrusted_name[name_bytes]);
}

static void host_closed(struct tmem_port *port, u32 number)
{
	port->closed += port->number == (int)number && port->host_open & BIT(number);
	port->host_open &= ~BIT(number);
}

static void take_control(struct tmem_port *port, const u8 *untrusted, u32 bytes)
{
	const struct virtio_console_control *message = (const void *)untrusted;
	u32 number;

	if (bytes < sizeof(*message))
		return;
	number = virtio32_to_cpu(port->device, message->id);
	if (number >= port->ports)
		return;
	switch (virtio16_to_cpu(port->device, message->event)) {
	case VIRTIO_CONSOLE_PORT_ADD:
		send_control(port, number, VIRTIO_CONSOLE_PORT_READY, 1);
		break;
	case VIRTIO_CONSOLE_PORT_NAME:
		if (!is_ours(untrusted + sizeof(*message), bytes - sizeof(*message)))
			break;
		if (port->number == TMEM_PORT_NONE) {
			port->number = number;
			tmem_port_bytes_begin(port);
		}
		/* again, where it was gone for a while */
		if (port->number == (int)number)
			send_control(port, number, VIRTIO_CONSOLE_PORT_OPEN, 1);
		break;
	case VIRTIO_CONSOLE_PORT_OPEN:
		if (message->value)
			port->host_open |= BIT(number);
		else
			host_closed(port, number);
		break;
	case VIRTIO_CONSOLE_PORT_REMOVE:
		host_closed(port, number);
		break;
	default:
		break;
	}
}

/* There may have been more than there was room for, and those are lost: the device is asked for
 * its state, which it tells as it did in the beginning. */
static void ask_anew(struct tmem_port *port)
{
	if (port->number == TMEM_PORT_NONE)
		return;
	host_closed(port, port->number);
	send_control(port, port->number, VIRTIO_CONSOLE_PORT_READY, 1);
}

bool tmem_port_control(struct tmem_port *port, u32 *closed)
{
	struct virtqueue *queue = port->running ? control_in(port) : NULL;
	unsigned int bytes;
	u32 taken = 0;
	void *piece;

	*closed = port->closed;
	if (!queue)
		return false;
	do {
		virtqueue_disable_cb(queue);
		while ((piece = virtqueue_get_buf(queue, &bytes))) {
			take_control(port, piece, min_t(u32, bytes, TMEM_PORT_CONTROL_BYTES));
			tmem_port_give(queue, piece, TMEM_PORT_CONTROL_BYTES);
			taken++;
		}
	} while (!virtqueue_enable_cb(queue));
	if (taken)
		virtqueue_kick(queue);
	if (taken >= TMEM_PORT_CONTROL_PIECES)
		ask_anew(port);
	*closed = port->closed;
	return port->listening && port->host_open & BIT(port->number);
}

void tmem_port_control_begin(struct tmem_port *port)
{
	u32 i;

	port->messages_free = U32_MAX;
	for (i = 0; i < TMEM_PORT_CONTROL_PIECES; i++)
		if (tmem_port_give(control_in(port), port->control + i * TMEM_PORT_CONTROL_BYTES,
				   TMEM_PORT_CONTROL_BYTES))
			break;
	virtqueue_kick(control_in(port));
	send_control(port, VIRTIO_CONSOLE_BAD_ID, VIRTIO_CONSOLE_DEVICE_READY, 1);
}
