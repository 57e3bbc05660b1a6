// SPDX-License-Identifier: GPL-2.0-or-later
/* The thread of the pump, and the beginning and end of streams. */
#include <linux/hrtimer.h>
#include <linux/kthread.h>
#include <linux/sched.h>
#include <linux/timekeeping.h>

#include "transport.h"
#include "wire.h"

enum {
	TURN_ROUNDS = 64, /* of output and input, before the pump looks at anything else */
	REMIND_MS = 20, /* from one time that the device is told of what it still has to the next */
	FILL_MS = 400,  /* without an answer to HELLO */
	BYE_MS = 2000,  /* for what is queued and BYE to go out */
	PROBE_BYTES = 64, /* of zeros */
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
	else
		tmem_pump_look_later();
}

void tmem_pump_look_later(void)
{
	if (!hrtimer_is_queued(&tmem_transport.batch_ends))
		hrtimer_start(&tmem_transport.batch_ends, ns_to_ktime(BATCH_NS), HRTIMER_MODE_REL);
}

static enum hrtimer_restart batch_ends(struct hrtimer *timer)
{
	smp_mb();
	if (READ_ONCE(tmem_transport.later))
		WRITE_ONCE(tmem_transport.wanted, true);
	tmem_pump_leave();
	return HRTIMER_NORESTART;
}

void tmem_pump_reopen(void *context)
{
	WRITE_ONCE(tmem_transport.reopen, true);
	tmem_pump_attend();
}

/* ---- the stream comes and goes -------------------------------------------------------- */

static bool send_filler(u32 bytes)
{
	const struct tmem_shim_segment filler = {.data = tmem_transport.filler, .bytes = bytes};

	if (!tmem_port_room(tmem_transport.port) ||
	    tmem_port_send(tmem_transport.port, &filler, true))
		return false;
	tmem_port_kick(tmem_transport.port);
	return true;
}

/*
 * HELLO goes out only when nothing that was taken before is in the device any more. What QEMU had
 * begun to write when its other end closed it drops without giving it back; that shows when
 * something behind it comes back, so there has to be something. And what it stopped at when that
 * end went it looks at again only when it is told.
 */
static void open_stream(void)
{
	struct tmem_transport *transport = &tmem_transport;

	if (!READ_ONCE(transport->reopen) || !transport->port || !transport->up)
		return;
	if (tmem_port_sending(transport->port)) {
		if (transport->probe && send_filler(PROBE_BYTES))
			transport->probe = false;
		else
			tmem_port_remind(transport->port);
		return;
	}
	WRITE_ONCE(transport->reopen, false);
	transport->fill_ns = ktime_get_boottime_ns() + FILL_MS * NSEC_PER_MSEC;
	tmem_port_begin(transport->port);
	tmem_shim_opened(transport->shim);
}

void tmem_pump_host_opened(void)
{
	tmem_transport.up = true;
	tmem_transport.probe = true;
	tmem_transport.counters.host_opened++;
	WRITE_ONCE(tmem_transport.reopen, true);
}

void tmem_pump_host_closed(void)
{
	tmem_transport.up = false;
	tmem_transport.counters.host_closed++;
	WRITE_ONCE(tmem_transport.reopen, false);
	tmem_transport.fill_ns = U64_MAX;
	tmem_shim_closed(tmem_transport.shim);
}

/* ---- the thread ----------------------------------------------------------------------- */

/* Who waits for the rest of a message that was cut sees that none comes. */
static void fill(void)
{
	struct tmem_shim_info info;

	tmem_transport.fill_ns = U64_MAX;
	tmem_shim_info(tmem_transport.shim, &info);
	if (info.state == TMEM_SHIM_HELLO)
		tmem_transport.counters.fills += send_filler(TMEM_WIRE_MESSAGE_MAX);
}

/* What the host has done to the port. It may have closed and opened it since the last time. */
static void follow_host(void)
{
	struct tmem_transport *transport = &tmem_transport;
	u32 closed;
	bool open = tmem_port_control(transport->port, &closed);

	if (transport->up && (!open || closed != transport->closed))
		tmem_pump_host_closed();
	transport->closed = closed;
	if (!transport->up && tmem_port_worn(transport->port)) {
		/* without memory for it, again after a while */
		transport->counters.renewals += !tmem_port_renew(transport->port);
		return;
	}
	if (open && !transport->up)
		tmem_pump_host_opened();
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
		follow_host();
		tmem_port_quiet(transport->port);
		tmem_pump_take_back();
		open_stream();
	}
	/* whatever woke it, everything is looked at */
	WRITE_ONCE(transport->wanted, true);
	tmem_shim_tick(transport->shim);
	while (tmem_pump_move() && rounds++ < TURN_ROUNDS)
		open_stream();
	/* what came in may be due earlier than what was known before */
	transport->due_ns = tmem_shim_tick(transport->shim);
	if (transport->port && transport->fill_ns <= ktime_get_boottime_ns())
		fill();
	if (rounds > TURN_ROUNDS)
		WRITE_ONCE(transport->wanted, true);
	tmem_pump_listen(rounds > 0);
	/* what the device still has may need to be asked for more than once */
	if (transport->port &&
	    (transport->up ? READ_ONCE(transport->reopen) : tmem_port_worn(transport->port)))
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
	for (waited_ms = 0; waited_ms < BYE_MS && tmem_platform_may_wait(); waited_ms += 10) {
		tmem_pump_attend();
		tmem_shim_info(transport->shim, &info);
		if (info.state == TMEM_SHIM_ENDED || info.state == TMEM_SHIM_CLOSED)
			break;
		schedule_timeout_uninterruptible(msecs_to_jiffies(10));
	}
	kthread_stop(transport->thread);
	hrtimer_cancel(&transport->batch_ends);
}
