// SPDX-License-Identifier: GPL-2.0-or-later
/* The bytes of the port. */
#include "port.h"

enum { INPUT_PAGES_A_KICK = 16 };

/* What is sent is known by its number, its bytes and whether it is filler: no memory is needed for
 * it. 22 bits for the bytes are more than TMEM_SEGMENT_BYTES_MAX takes. */
enum { FILLER = 1, BYTES_SHIFT = 1, BYTES_BITS = 22, NUMBER_SHIFT = BYTES_SHIFT + BYTES_BITS };

static u64 number_bits(u64 number)
{
	return number << NUMBER_SHIFT >> NUMBER_SHIFT;
}

u32 tmem_port_room(struct tmem_port *port)
{
	return port->listening ? tmem_port_output_queue(port)->num_free : 0;
}

int tmem_port_send(struct tmem_port *port, const struct tmem_shim_segment *segment, bool filler)
{
	/* numbers begin at 1, so that this is never NULL */
	u64 token = (port->next + 1) << NUMBER_SHIFT | segment->bytes << BYTES_SHIFT | filler;
	struct scatterlist list;
	int code;

	sg_init_one(&list, segment->data, segment->bytes);
	code = virtqueue_add_outbuf(tmem_port_output_queue(port), &list, 1,
				    (void *)(unsigned long)token, GFP_NOWAIT);
	if (!code)
		port->next++;
	return code;
}

void tmem_port_kick(struct tmem_port *port)
{
	virtqueue_kick(tmem_port_output_queue(port));
}

void tmem_port_remind(struct tmem_port *port)
{
	virtqueue_notify(tmem_port_output_queue(port));
}

/* The device gives back in order, so what it has passed over is lost. False: one that was. */
static bool comes_back(struct tmem_port *port, u64 token)
{
	u64 passed_over = number_bits((token >> NUMBER_SHIFT) - 1 - port->oldest);

	if (passed_over >= port->next - port->oldest) {
		port->lost--;
		return false;
	}
	port->lost += passed_over;
	tmem_transport.counters.lost_segments += passed_over;
	port->cut |= passed_over > 0;
	port->oldest += passed_over + 1;
	return true;
}

bool tmem_port_sent(struct tmem_port *port, u64 *bytes)
{
	unsigned int unused;
	bool any = false;
	void *token;

	*bytes = 0;
	if (!port->listening)
		return false;
	while ((token = virtqueue_get_buf(tmem_port_output_queue(port), &unused))) {
		u64 word = (unsigned long)token;

		if (comes_back(port, word) && !port->cut && !(word & FILLER))
			*bytes += word << (64 - NUMBER_SHIFT) >> (64 - BYTES_BITS);
		any = true;
	}
	return any;
}

bool tmem_port_sending(struct tmem_port *port)
{
	return port->oldest != port->next;
}

void tmem_port_begin(struct tmem_port *port)
{
	port->cut = false;
}

const void *tmem_port_receive(struct tmem_port *port, u32 *bytes)
{
	unsigned int untrusted_bytes;
	void *piece;

	if (!port->listening)
		return NULL;
	piece = virtqueue_get_buf(tmem_port_input_queue(port), &untrusted_bytes);
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
	struct virtqueue *queue = tmem_port_input_queue(port);

	tmem_port_give(queue, (void *)piece, PAGE_SIZE);
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
	put_interrupt_off(tmem_port_input_queue(port));
	virtqueue_disable_cb(tmem_port_output_queue(port));
}

bool tmem_port_listen_later(struct tmem_port *port)
{
	if (!port->listening)
		return true;
	port->quiet = false;
	return virtqueue_enable_cb_delayed(tmem_port_input_queue(port));
}

bool tmem_port_listen(struct tmem_port *port, bool output_too)
{
	bool quiet = true;

	if (!port->listening)
		return true;
	port->quiet = false;
	quiet &= virtqueue_enable_cb(tmem_port_input_queue(port));
	if (output_too)
		quiet &= virtqueue_enable_cb(tmem_port_output_queue(port));
	return quiet;
}

void tmem_port_bytes_begin(struct tmem_port *port)
{
	u32 i;

	for (i = 0; i < TMEM_PORT_INPUT_PAGES; i++)
		if (tmem_port_give(tmem_port_input_queue(port), port->input[i], PAGE_SIZE))
			break;
	virtqueue_kick(tmem_port_input_queue(port));
	port->listening = true;
}
