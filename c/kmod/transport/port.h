/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Inside the port: what its three files know of each other. Everything with @pump held. */
#ifndef TMEM_PORT_H
#define TMEM_PORT_H

#include <linux/scatterlist.h>
#include <linux/virtio.h>
#include <linux/virtio_console.h>

#include "transport.h"

enum {
	TMEM_PORT_NONE = -1,
	TMEM_PORT_CONTROL_BYTES = 256, /* of a control message with a port's name */
	TMEM_PORT_CONTROL_PIECES = 32, /* in each direction */
};

/*
 * Queues 0 and 1 are port 0's, 2 and 3 those of control messages, 2n + 2 and 2n + 3 port n's, input
 * first (V2). Ours is the port of our name; nothing is ever queued at the others.
 */
struct tmem_port {
	struct virtio_device *device;
	struct virtqueue **queues;
	u32 ports;
	bool running;                            /* the queues are there */
	int number;                              /* TMEM_PORT_NONE: its name has not come yet */
	u32 host_open;                           /* a bit for each port */
	u32 closed;                              /* times the host has closed ours */
	bool listening;                          /* opened at our end */
	u8 *control;                             /* TMEM_PORT_CONTROL_PIECES of as many bytes */
	struct virtio_console_control *messages; /* as many, to be sent */
	u32 messages_free;                       /* a bit for each */
	u8 *input[TMEM_PORT_INPUT_PAGES];
	/* segments are numbered: the next to be sent, and the oldest that is to come back */
	u64 next, oldest;
	u32 lost;     /* segments that never came back; each has a place in the queue for good */
	bool cut;     /* one was lost in the stream as it is */
	u32 returned; /* pieces of input */
	bool quiet;   /* no interrupts for input are wanted */
};

static inline struct virtqueue *tmem_port_input_queue(struct tmem_port *port)
{
	return port->queues[port->number ? 2 * port->number + 2 : 0];
}

static inline struct virtqueue *tmem_port_output_queue(struct tmem_port *port)
{
	return port->queues[port->number ? 2 * port->number + 3 : 1];
}

/* One descriptor each: nothing is allocated for it (V4). */
static inline int tmem_port_give(struct virtqueue *queue, void *piece, u32 bytes)
{
	struct scatterlist list;

	sg_init_one(&list, piece, bytes);
	return virtqueue_add_inbuf(queue, &list, 1, piece, GFP_NOWAIT);
}

/* ---- control.c ------------------------------------------------------------------------ */

/* The device has begun: tells it so, and gives it room for its messages. */
void tmem_port_control_begin(struct tmem_port *port);

/* ---- bytes.c -------------------------------------------------------------------------- */

/* The port of our name is @port->number: bytes may flow. */
void tmem_port_bytes_begin(struct tmem_port *port);

#endif
