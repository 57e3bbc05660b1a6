// SPDX-License-Identifier: GPL-2.0-or-later
/* Bytes between the shim and the port, and tasks that move them while they wait. */
#include <linux/completion.h>
#include <linux/delay.h>
#include <linux/sched.h>
#include <linux/sched/stat.h>
#include <linux/timekeeping.h>

#include "transport.h"

enum {
	ROOM_MS = 500,    /* that a get waits for room for puts, ... */
	STALLED_MS = 400, /* ... without an answer to any, ... */
	STALL_MS = 1000,  /* ... nor do those that come within this */
};

bool tmem_pump_take_back(void)
{
	u64 bytes;
	bool any = tmem_port_sent(tmem_transport.port, &bytes);

	if (bytes)
		tmem_shim_sent(tmem_transport.shim, bytes);
	return any;
}

static bool send(struct tmem_port *port)
{
	/* under @pump, and not on the stack, which compilers may be told to clear in each call */
	static struct tmem_shim_segment segments[TMEM_SEGMENTS];
	struct tmem_transport *transport = &tmem_transport;
	u32 room, count, i;

	room = min_t(u32, tmem_port_room(port), TMEM_SEGMENTS);
	count = room ? tmem_shim_output(transport->shim, segments, room) : 0;
	transport->more = !room || count;
	for (i = 0; i < count; i++) {
		transport->counters.sent_bytes += segments[i].bytes;
		/* a broken device is about to be removed, which ends the stream */
		if (tmem_port_send(port, &segments[i], false))
			break;
	}
	if (!count)
		return false;
	transport->counters.segments += count;
	transport->counters.kicks++;
	tmem_port_kick(port);
	return true;
}

static bool receive(struct tmem_port *port)
{
	struct tmem_transport *transport = &tmem_transport;
	const void *piece;
	bool any = false;
	u32 bytes;

	while ((piece = tmem_port_receive(port, &bytes))) {
		transport->counters.pieces++;
		transport->counters.received_bytes += bytes;
		if (transport->up)
			tmem_shim_input(transport->shim, piece, bytes);
		tmem_port_return(port, piece);
		any = true;
	}
	return any;
}

static bool may_have_output(void)
{
	return READ_ONCE(tmem_transport.wanted) || tmem_transport.more;
}

/* @moved: there may be room that there was not. */
static bool send_output(struct tmem_port *port, bool moved)
{
	struct tmem_transport *transport = &tmem_transport;
	bool wanted = READ_ONCE(transport->wanted);

	if (wanted) {
		/* what is asked for from here on is seen by the next round */
		WRITE_ONCE(transport->wanted, false);
		smp_mb();
	}
	if (!transport->up || !(wanted || (moved && transport->more)) || !send(port))
		return false;
	/* until the shim says that it has no more, it wakes nobody for what comes */
	WRITE_ONCE(transport->wanted, true);
	return true;
}

/* Most rounds of a task that waits find nothing, and leave the shim alone. */
bool tmem_pump_move(void)
{
	struct tmem_port *port = tmem_transport.port;
	bool moved;

	if (!port) {
		/* the next device is attended to, and everything is looked at then */
		WRITE_ONCE(tmem_transport.wanted, false);
		return false;
	}
	moved = receive(port);
	moved |= tmem_pump_take_back();
	moved |= send_output(port, moved);
	return moved;
}

/* ---- tasks that wait ------------------------------------------------------------------ */

/*
 * What the device gives back is waited for only where that is what is missing. Answers to puts, and
 * pages that come ahead, may wait for who asks for them: a task that begins to wait moves bytes or
 * has the thread come.
 */
void tmem_pump_listen(bool moved)
{
	struct tmem_transport *transport = &tmem_transport;
	struct tmem_shim *shim = transport->shim;
	struct tmem_port *port = transport->port;
	bool output_too, later, silent;

	if (!port)
		return;
	output_too =
		READ_ONCE(transport->reopen) || !tmem_port_room(port) || tmem_shim_lacks_room(shim);
	later = moved && !output_too && tmem_shim_unanswered(shim) && !tmem_shim_waiting(shim);
	WRITE_ONCE(transport->later, later);
	silent = later ? tmem_port_listen_later(port) : tmem_port_listen(port, output_too);
	if (!silent)
		WRITE_ONCE(transport->wanted, true);
	else if (later)
		tmem_pump_look_later();
}

static void stop_moving(void)
{
	tmem_pump_listen(true);
	mutex_unlock(&tmem_transport.pump);
	tmem_pump_leave();
}

/* Nobody else has a use for the processor, as kvm asks before it polls for a halted guest. */
static bool may_poll(void)
{
	return single_task_running() && !need_resched();
}

/* Moves bytes until @done is, or for @poll_ns. False: it is not. */
static bool move_until(struct completion *done, struct tmem_port *port, u64 poll_ns)
{
	u64 end_ns;

	/* The question first. Everything else has time until its answer comes. */
	send_output(port, false);
	tmem_port_quiet(port);
	end_ns = ktime_get_ns() + poll_ns;
	/* No pause: with it an emulated processor takes the lock that QEMU's thread needs for the
	 * answer, at each round, and one of KVM may leave the guest. */
	do {
		bool moved = receive(port);

		/* what else there is to do does not keep who has his answer */
		if (moved && !may_have_output() && completion_done(done))
			return true;
		moved |= tmem_pump_take_back();
		send_output(port, moved);
		if (completion_done(done))
			return true;
	} while (ktime_get_ns() < end_ns && may_poll());
	return false;
}

bool tmem_platform_done_poll(struct tmem_platform_done *done)
{
	struct tmem_transport *transport = &tmem_transport;
	u64 poll_ns = tmem_transport_poll_ns();
	bool is_done = false;

	if (!tmem_platform_may_wait())
		return false;
	if (!poll_ns || current == transport->thread || !mutex_trylock(&transport->pump)) {
		/* who has the pump may not know yet that somebody waits for an answer */
		WRITE_ONCE(transport->wanted, true);
		tmem_pump_leave();
		return false;
	}
	if (transport->port && transport->up) {
		transport->counters.polls++;
		is_done = move_until(&done->completion, transport->port, poll_ns);
		transport->counters.polls_done += is_done;
	}
	/* deadlines and echoes are the thread's */
	if (!is_done)
		WRITE_ONCE(transport->wanted, true);
	stop_moving();
	return is_done;
}

/* kswapd puts hundreds of pages between two gets, so there has to be room for as many. Much is made
 * at a time: what goes out then goes in long batches. */
static bool roomy(void)
{
	return tmem_shim_staged(tmem_transport.shim) < tmem_transport.crowded_pages / 2;
}

/* Moves bytes until there is room, the thread has something to do that is only its own (echoes are
 * due however fast puts come, R), or nothing has moved since @moved_ns for too long. */
static void make_room(u64 *moved_ns)
{
	struct tmem_transport *transport = &tmem_transport;

	/* not waited for: who renews the port takes locks that who reclaims may hold */
	if (!mutex_trylock(&transport->pump))
		return;
	if (transport->port)
		tmem_port_quiet(transport->port);
	while (transport->port && READ_ONCE(transport->running) && !roomy() &&
	       !READ_ONCE(transport->attend) && ktime_get_boottime_ns() < transport->due_ns) {
		u64 now_ns = ktime_get_ns();

		if (tmem_pump_move())
			*moved_ns = now_ns;
		else if (now_ns - *moved_ns > STALLED_MS * NSEC_PER_MSEC)
			break;
		else
			/* sleeping leaves the processor to the emulator and to the service */
			usleep_range(50, 200);
	}
	stop_moving();
}

void tmem_pump_move_until_roomy(void)
{
	struct tmem_transport *transport = &tmem_transport;
	u64 now_ns, moved_ns, end_ns;
	u32 staged;

	if (!READ_ONCE(transport->running))
		return;
	now_ns = moved_ns = ktime_get_ns();
	end_ns = now_ns + ROOM_MS * NSEC_PER_MSEC;
	if (now_ns < READ_ONCE(transport->stalled_ns))
		return;
	if (!tmem_platform_may_wait())
		return;
	staged = tmem_shim_staged(transport->shim);
	transport->counters.throttled++;
	for (;;) {
		make_room(&moved_ns);
		now_ns = ktime_get_ns();
		/* others may put as fast as the host takes it */
		if (roomy() || !READ_ONCE(transport->running) || now_ns > end_ns)
			return;
		/* the thread moves bytes, too */
		if (tmem_shim_staged(transport->shim) < staged)
			moved_ns = now_ns;
		staged = tmem_shim_staged(transport->shim);
		/* a host that takes nothing shall not make reads slow */
		if (now_ns - moved_ns > STALLED_MS * NSEC_PER_MSEC) {
			WRITE_ONCE(transport->stalled_ns, now_ns + STALL_MS * NSEC_PER_MSEC);
			return;
		}
		usleep_range(50, 200);
	}
}
