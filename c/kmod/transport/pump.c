// SPDX-License-Identifier: GPL-2.0-or-later
#include <linux/completion.h>
#include <linux/delay.h>
#include <linux/hrtimer.h>
#include <linux/kthread.h>
#include <linux/sched.h>
#include <linux/sched/stat.h>
#include <linux/timekeeping.h>

#include "transport.h"
#include "wire.h"

enum {
	TURN_ROUNDS = 64, /* of output and input, before the pump looks at anything else */
	REMIND_MS = 20,
	DRAIN_MS = 400,
	FILL_MS = 400,    /* without an answer to HELLO */
	BYE_MS = 2000,    /* for what is queued and BYE to go out */
	ROOM_MS = 500,    /* that a get waits for room for puts, ... */
	STALLED_MS = 400, /* ... without an answer to any, ... */
	STALL_MS = 1000,  /* ... nor do those that come within this */
	BATCH = 32,       /* puts and flushes that nobody waits for go together, ... */
};

#define BATCH_NS (500ull * NSEC_PER_USEC) /* ... or after this */
#define REST_MAX_NS (60ull * NSEC_PER_SEC)

/* ---- waking --------------------------------------------------------------------------- */

void tmem_pump_wake(void)
{
	WRITE_ONCE(tmem_transport.wanted, true);
	wake_up(&tmem_transport.wake);
}

void tmem_pump_attend(void)
{
	WRITE_ONCE(tmem_transport.attend, true);
	wake_up(&tmem_transport.wake);
}

static bool is_wanted(void)
{
	return READ_ONCE(tmem_transport.wanted) || READ_ONCE(tmem_transport.attend);
}

/* Noted, for the end of the call: a task that waits moves bytes itself, and what nobody waits for
 * goes in batches. */
void tmem_pump_shim_wakes(void *context)
{
	if (tmem_shim_reopens(tmem_transport.shim))
		WRITE_ONCE(tmem_transport.attend, true);
	WRITE_ONCE(tmem_transport.wanted, true);
}

void tmem_pump_leave(void)
{
	if (is_wanted())
		wake_up(&tmem_transport.wake);
}

void tmem_pump_leave_later(void)
{
	struct tmem_transport *transport = &tmem_transport;

	if (!is_wanted())
		return;
	/* a timer that runs just now sees what is wanted, or is not queued any more */
	smp_mb();
	if (tmem_shim_backlog(transport->shim) >= BATCH || READ_ONCE(transport->attend))
		wake_up(&transport->wake);
	else if (!hrtimer_is_queued(&transport->batch_ends))
		hrtimer_start(&transport->batch_ends, ns_to_ktime(BATCH_NS), HRTIMER_MODE_REL);
}

static enum hrtimer_restart batch_ends(struct hrtimer *timer)
{
	smp_mb();
	tmem_pump_leave();
	return HRTIMER_NORESTART;
}

void tmem_pump_reopen(void *context)
{
	WRITE_ONCE(tmem_transport.reopen, true);
	tmem_pump_attend();
}

/* ---- the stream comes and goes -------------------------------------------------------- */

/* HELLO goes out only when nothing that was taken before is in the device any more. */
static void open_stream(void)
{
	struct tmem_transport *transport = &tmem_transport;

	if (!READ_ONCE(transport->reopen) || !transport->port || !transport->up)
		return;
	if (tmem_port_sending(transport->port)) {
		u64 now_ns = ktime_get_boottime_ns();

		if (!transport->drained_ns)
			transport->drained_ns = now_ns + DRAIN_MS * NSEC_PER_MSEC;
		if (now_ns < transport->drained_ns) {
			tmem_port_remind(transport->port);
			return;
		}
		tmem_port_forget(transport->port);
	}
	transport->drained_ns = 0;
	WRITE_ONCE(transport->reopen, false);
	transport->fill_ns = ktime_get_boottime_ns() + FILL_MS * NSEC_PER_MSEC;
	tmem_shim_opened(transport->shim);
}

void tmem_pump_host_opened(void)
{
	tmem_transport.up = true;
	tmem_transport.counters.host_opened++;
	WRITE_ONCE(tmem_transport.reopen, true);
}

void tmem_pump_host_closed(void)
{
	tmem_transport.up = false;
	tmem_transport.drained_ns = 0;
	tmem_transport.counters.host_closed++;
	WRITE_ONCE(tmem_transport.reopen, false);
	tmem_transport.fill_ns = U64_MAX;
	tmem_shim_closed(tmem_transport.shim);
}

/* ---- bytes ---------------------------------------------------------------------------- */

static bool take_back(struct tmem_port *port)
{
	u64 filler_bytes, bytes = tmem_port_sent(port, &filler_bytes);

	if (bytes > filler_bytes)
		tmem_shim_sent(tmem_transport.shim, bytes - filler_bytes);
	return bytes;
}

static bool send(struct tmem_port *port)
{
	struct tmem_shim_segment segments[TMEM_SEGMENTS];
	struct tmem_transport *transport = &tmem_transport;
	u32 room, count, i;

	room = min_t(u32, tmem_port_room(port), TMEM_SEGMENTS);
	count = room ? tmem_shim_output(transport->shim, segments, room) : 0;
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

/* One round in both directions; false: nothing moved. Most rounds of a task that waits find
 * nothing, and leave the shim alone. */
static bool move(void)
{
	struct tmem_transport *transport = &tmem_transport;
	struct tmem_port *port = transport->port;
	bool moved, wanted;

	if (!port)
		return false;
	moved = receive(port);
	moved |= take_back(port);
	wanted = READ_ONCE(transport->wanted);
	if (wanted) {
		/* what is asked for from here on is seen by the next round */
		WRITE_ONCE(transport->wanted, false);
		smp_mb();
	}
	if (transport->up && (moved || wanted) && send(port)) {
		/* until the shim says that it has no more, it wakes nobody for what comes */
		WRITE_ONCE(transport->wanted, true);
		moved = true;
	}
	return moved;
}

/* ---- tasks that wait ------------------------------------------------------------------ */

/* Interrupts again. What comes back is waited for only where that is what is missing. */
static void listen(void)
{
	struct tmem_port *port = tmem_transport.port;
	bool output_too;

	if (!port)
		return;
	output_too = READ_ONCE(tmem_transport.reopen) || !tmem_port_room(port) ||
		     tmem_shim_lacks_room(tmem_transport.shim);
	if (!tmem_port_listen(port, output_too))
		WRITE_ONCE(tmem_transport.wanted, true);
}

static void stop_moving(void)
{
	listen();
	mutex_unlock(&tmem_transport.pump);
	tmem_pump_leave();
}

/* Nobody else has a use for the processor, as kvm asks before it polls for a halted guest. */
static bool may_poll(void)
{
	return single_task_running() && !need_resched();
}

void tmem_platform_poll(struct tmem_platform_done *done)
{
	struct tmem_transport *transport = &tmem_transport;
	u64 end_ns, poll_ns = tmem_transport_poll_ns();

	if (!poll_ns || current == transport->thread || !mutex_trylock(&transport->pump)) {
		tmem_pump_leave();
		return;
	}
	if (transport->port && transport->up) {
		transport->counters.polls++;
		tmem_port_quiet(transport->port);
		end_ns = ktime_get_ns() + poll_ns;
		do {
			if (!move())
				cpu_relax();
		} while (!completion_done(&done->completion) && ktime_get_ns() < end_ns &&
			 may_poll());
		transport->counters.polls_done += completion_done(&done->completion);
	}
	/* deadlines and echoes are the thread's */
	if (!completion_done(&done->completion))
		WRITE_ONCE(transport->wanted, true);
	stop_moving();
}

/* kswapd puts hundreds of pages between two gets, so there has to be room for as many. */
static bool crowded(void)
{
	return tmem_shim_staged(tmem_transport.shim) >= tmem_transport_staged_pages() / 4;
}

/* Moves bytes until there is room, the thread has something to do that is only its own (echoes are
 * due however fast puts come, R), or nothing has moved since @moved_ns for too long. */
static void make_room(u64 *moved_ns)
{
	struct tmem_transport *transport = &tmem_transport;

	mutex_lock(&transport->pump);
	if (transport->port)
		tmem_port_quiet(transport->port);
	while (transport->port && READ_ONCE(transport->running) && crowded() &&
	       !READ_ONCE(transport->attend) && ktime_get_boottime_ns() < transport->due_ns) {
		u64 now_ns = ktime_get_ns();

		if (move())
			*moved_ns = now_ns;
		else if (now_ns - *moved_ns > STALLED_MS * NSEC_PER_MSEC)
			break;
		else
			/* sleeping leaves the processor to the emulator and to the service */
			usleep_range(50, 200);
	}
	stop_moving();
}

void tmem_pump_make_room(void)
{
	struct tmem_transport *transport = &tmem_transport;
	u64 now_ns = ktime_get_ns(), moved_ns = now_ns, end_ns = now_ns + ROOM_MS * NSEC_PER_MSEC;
	u32 staged = tmem_shim_staged(transport->shim);

	if (!crowded() || !READ_ONCE(transport->running) ||
	    now_ns < READ_ONCE(transport->stalled_ns))
		return;
	transport->counters.throttled++;
	for (;;) {
		make_room(&moved_ns);
		now_ns = ktime_get_ns();
		/* others may put as fast as the host takes it */
		if (!crowded() || !READ_ONCE(transport->running) || now_ns > end_ns)
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

/* ---- the thread ----------------------------------------------------------------------- */

static void fill(struct tmem_port *port)
{
	const struct tmem_shim_segment filler = {.data = tmem_transport.filler,
						 .bytes = TMEM_WIRE_MESSAGE_MAX};
	struct tmem_shim_info info;

	tmem_transport.fill_ns = U64_MAX;
	tmem_shim_info(tmem_transport.shim, &info);
	if (info.state != TMEM_SHIM_HELLO || !tmem_port_room(port))
		return;
	/* who waits for the rest of a message that was cut sees that none comes */
	tmem_transport.counters.fills++;
	if (!tmem_port_send(port, &filler, true))
		tmem_port_kick(port);
}

/* Everything once. Returns when to come again, at the latest. */
static u64 turn(void)
{
	struct tmem_transport *transport = &tmem_transport;
	unsigned int rounds = 0;

	transport->counters.turns++;
	WRITE_ONCE(transport->attend, false);
	smp_mb();
	if (transport->port) {
		bool open = tmem_port_control(transport->port);

		if (open != transport->up)
			open ? tmem_pump_host_opened() : tmem_pump_host_closed();
		tmem_port_quiet(transport->port);
		take_back(transport->port);
		open_stream();
	}
	/* whatever woke it, everything is looked at */
	WRITE_ONCE(transport->wanted, true);
	tmem_shim_tick(transport->shim);
	while (move() && rounds++ < TURN_ROUNDS)
		open_stream();
	/* what came in may be due earlier than what was known before */
	transport->due_ns = tmem_shim_tick(transport->shim);
	if (transport->port && transport->fill_ns <= ktime_get_boottime_ns())
		fill(transport->port);
	if (rounds > TURN_ROUNDS)
		WRITE_ONCE(transport->wanted, true);
	listen();
	/* what the device still has may need to be asked for more than once */
	if (READ_ONCE(transport->reopen) && transport->port && transport->up)
		return min(transport->due_ns, ktime_get_boottime_ns() + REMIND_MS * NSEC_PER_MSEC);
	return min(transport->due_ns, transport->fill_ns);
}

static int run(void *unused)
{
	struct tmem_transport *transport = &tmem_transport;

	set_user_nice(current, MIN_NICE);
	while (!kthread_should_stop()) {
		u64 now_ns, due_ns;

		mutex_lock(&transport->pump);
		due_ns = turn();
		mutex_unlock(&transport->pump);
		now_ns = ktime_get_boottime_ns();
		cond_resched();
		if (due_ns > now_ns)
			wait_event_idle_timeout(
				transport->wake, is_wanted() || kthread_should_stop(),
				nsecs_to_jiffies(min_t(u64, due_ns - now_ns, REST_MAX_NS)) + 1);
	}
	return 0;
}

int tmem_pump_start(void)
{
	struct task_struct *thread = kthread_create(run, NULL, "tmem_transport");

	hrtimer_init(&tmem_transport.batch_ends, CLOCK_MONOTONIC, HRTIMER_MODE_REL);
	tmem_transport.batch_ends.function = batch_ends;
	if (IS_ERR(thread))
		return PTR_ERR(thread);
	tmem_transport.thread = thread;
	wake_up_process(thread);
	return 0;
}

void tmem_pump_stop(void)
{
	struct tmem_transport *transport = &tmem_transport;
	struct tmem_shim_info info;
	int waited_ms;

	tmem_shim_end(transport->shim);
	for (waited_ms = 0; waited_ms < BYE_MS; waited_ms += 10) {
		tmem_pump_attend();
		tmem_shim_info(transport->shim, &info);
		if (info.state == TMEM_SHIM_ENDED || info.state == TMEM_SHIM_CLOSED)
			break;
		schedule_timeout_uninterruptible(msecs_to_jiffies(10));
	}
	kthread_stop(transport->thread);
	hrtimer_cancel(&transport->batch_ends);
}
