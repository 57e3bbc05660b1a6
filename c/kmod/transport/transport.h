/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The transport module: the backend of the hooks module. A shim (c/shim) whose bytes go over one
 * port of a virtio-serial controller, the virtqueues of which are driven here (V1-V4). There is one
 * shim for as long as the module is loaded; the device may come and go under it like any channel.
 *
 *   module.c    parameters, loading and unloading, attaching and detaching
 *   memory.c    the shim and its memory
 *   backend.c   what hooks calls, turned into calls of the shim
 *   pump.c      the thread that moves bytes; the beginning and end of streams
 *   move.c      moving bytes, by the thread and by tasks that wait for an answer
 *   reclaim.c   where reclaim waits for room
 *   device.c, control.c, bytes.c
 *               the port: its device, control messages, bytes; port.h is between them
 *   notify.c    panic and reboot (R-c); what the shim tells, for the log
 *   debug.c     debugfs
 *
 * Whoever moves bytes holds @pump: "the transport's half" of the shim (shim.h) is called by one
 * task at a time. It is taken by tasks in reclaim, so nothing is allocated under it (F4) but by
 * tmem_port_renew, which waits for nobody's memory. The device and its queues are used and
 * replaced only under it.
 *
 * Lock order: @pump, then the shim's lock; control queue and debugfs take nothing else.
 */
#ifndef TMEM_TRANSPORT_KERNEL_H
#define TMEM_TRANSPORT_KERNEL_H

#include <linux/hrtimer.h>
#include <linux/mutex.h>
#include <linux/types.h>
#include <linux/wait.h>

#include "frontends.h"
#include "shim.h"
#include "../tmem_backend.h"

struct task_struct;
struct virtio_device;
struct tmem_port;

/* The benchmark has the same on a port of its own (c/kmod/bench). */
#ifndef TMEM_PORT_NAME
#define TMEM_PORT_NAME "org.kvmtmem.kernel.0"
#endif

enum {
	TMEM_SEGMENTS = 32,         /* given to the device in one go */
	TMEM_PORT_INPUT_PAGES = 64, /* QEMU delivers pieces of a page at most (V4) */
};

/* Of the pump, for debugfs. Written under @pump. X(name, "meaning"). */
#define TMEM_TRANSPORT_COUNTERS(X)                                                                 \
	X(kicks, "times the device was told of output")                                            \
	X(segments, "pieces of output given to the device")                                        \
	X(sent_bytes, "bytes given to the device")                                                 \
	X(received_bytes, "bytes from the device")                                                 \
	X(pieces, "pieces of input from the device")                                               \
	X(turns, "turns of the pump's thread")                                                     \
	X(polls, "waits that moved bytes themselves")                                              \
	X(polls_done, "of those, that saw their answer come")                                      \
	X(throttled, "gets and passes of reclaim that first made room for puts")                   \
	X(host_opened, "times the host opened the port")                                           \
	X(host_closed, "times it closed it")                                                       \
	X(fills, "times zeros were sent: nobody answered HELLO")                                   \
	X(devices, "times a device was bound")                                                     \
	X(lost_segments, "pieces of output that the device never gave back")                       \
	X(renewals, "times the device was begun with anew, having lost too many")

#define TMEM_TRANSPORT_COUNTER_FIELD(name, meaning) u64 name;
struct tmem_transport_counters {
	TMEM_TRANSPORT_COUNTERS(TMEM_TRANSPORT_COUNTER_FIELD)
};

struct tmem_transport {
	struct tmem_shim *shim;
	void **pieces; /* of the shim's memory: what the device reads */
	u32 piece_count;
	u8 *filler; /* a message's length of zeros */
	struct mutex pump;
	struct task_struct *thread;
	wait_queue_head_t wake;
	struct hrtimer batch_ends;
	bool wanted;  /* there are bytes to move; whoever moves some clears it */
	bool more;    /* the shim was not asked for output to the end, so it does not say of more */
	bool attend;  /* there is something that only the thread does */
	bool later;   /* answers are on their way that make no interrupt yet: @batch_ends looks */
	bool reopen;  /* the stream is to begin anew once nothing of the old is in the device */
	bool up;      /* the shim has been told that the stream is there */
	bool running; /* there is a session */
	bool probe;   /* the host end is another: something may have been lost with the last one */
	u32 closed;   /* times the host has closed the port */
	u64 fill_ns;  /* nobody has answered HELLO by then: send zeros; U64_MAX: not */
	u64 stalled_ns;    /* the host took nothing for a while: no get waits for it until then */
	u64 due_ns;        /* of the shim's next tick */
	u32 crowded_pages; /* with so many staged puts come faster than the host takes them */
	struct tmem_port *port; /* NULL: no device */
	struct tmem_transport_counters counters;
};

extern struct tmem_transport tmem_transport;

/* ---- module.c ------------------------------------------------------------------------- */

/* What the parameters say: how long a task that waits for an answer moves bytes itself, 0: not at
 * all; what becomes of a load whose page the host has lost. */
u64 tmem_transport_poll_ns(void);
bool tmem_transport_panics(void);
const char *tmem_transport_device(void);
bool tmem_transport_attached(void);

/* ---- memory.c ------------------------------------------------------------------------- */

/* Makes the shim of @config, with all that it and the pump need. 0, -EINVAL or -ENOMEM. */
int tmem_memory_make_shim(struct tmem_shim_config *config,
			  const struct tmem_shim_callbacks *callbacks);
/* Nobody uses the shim any more, and no device its memory. */
void tmem_memory_free_shim(void);

/* ---- backend.c ------------------------------------------------------------------------ */

extern const struct tmem_backend tmem_transport_backend;

/* The memory of swap areas. The shim is not used any more. */
void tmem_backend_free_areas(void);

/* ---- pump.c --------------------------------------------------------------------------- */

int tmem_pump_start(void);
/* Ends the session in order (BYE), as far as the host takes it, and the thread. */
void tmem_pump_stop(void);

/* Atomic. There are bytes to move. */
void tmem_pump_wake(void);
/* Atomic. The thread has something to do that nobody else does: control messages, a stream that is
 * to begin anew. */
void tmem_pump_attend(void);
/* The end of every call of the backend: what the call left for the pump is told to it. */
void tmem_pump_leave(void);
/* Atomic. The same for what nobody waits for. */
void tmem_pump_leave_later(void);
/* Atomic. The thread looks in a while. */
void tmem_pump_look_later(void);

/* Atomic; callbacks of the shim. */
void tmem_pump_shim_wakes(void *context);
void tmem_pump_reopen(void *context);

/* With @pump held: the stream is there anew, or gone. */
void tmem_pump_host_opened(void);
void tmem_pump_host_closed(void);

/* ---- move.c --------------------------------------------------------------------------- */

/* With @pump held. */

/* One round in both directions; there may be no port. False: nothing moved. */
bool tmem_pump_move(void);
/* What the device has read is the shim's again. There is a port. False: nothing. */
bool tmem_pump_take_back(void);
/* Interrupts again: for the next piece, or (@moved: pieces have just come) for many, where no task
 * waits for one. */
void tmem_pump_listen(bool moved);

/* Task, without @pump. Puts come faster than the host takes them: makes room by moving bytes, for
 * as long as the host takes them, where a task may wait: in gets, since who reads is who has pages
 * put, and between passes of reclaim (L). */
void tmem_pump_move_until_roomy(void);
/* The same where it is crowded. Every get comes by here, and most go on. */
static inline void tmem_pump_make_room(void)
{
	if (tmem_shim_staged(tmem_transport.shim) >= tmem_transport.crowded_pages)
		tmem_pump_move_until_roomy();
}

/* ---- reclaim.c ------------------------------------------------------------------------ */

int tmem_reclaim_register(void);
void tmem_reclaim_unregister(void);

/* ---- the port ------------------------------------------------------------------------- */

int tmem_port_register(void);
void tmem_port_unregister(void);

/* All with @pump held, @port not NULL. */

/* Control messages that have come are answered; returns whether the host has the port open. @closed
 * grows whenever it has closed it. */
bool tmem_port_control(struct tmem_port *port, u32 *closed);
/* Segments that could be sent now. */
u32 tmem_port_room(struct tmem_port *port);
/* Sends @segment; there is room. @filler: not the shim's. 0 or a negative errno: the device is
 * broken. */
int tmem_port_send(struct tmem_port *port, const struct tmem_shim_segment *segment, bool filler);
void tmem_port_kick(struct tmem_port *port);
/* The same where nothing was added. */
void tmem_port_remind(struct tmem_port *port);
/* What the device has given back since the last call; false: nothing. @bytes of it are the shim's
 * again. What is behind a segment that was lost does not count: the stream is over. */
bool tmem_port_sent(struct tmem_port *port, u64 *bytes);
/* Whether anything sent may still come back. */
bool tmem_port_sending(struct tmem_port *port);
/* A new stream: nothing is being sent. */
void tmem_port_begin(struct tmem_port *port);
/* The next piece of input, or NULL; it is the device's again after tmem_port_return. */
const void *tmem_port_receive(struct tmem_port *port, u32 *bytes);
void tmem_port_return(struct tmem_port *port, const void *piece);
/* From now on no interrupts. */
void tmem_port_quiet(struct tmem_port *port);
/* Interrupts for input again and, if @output_too, for output that comes back: that is seldom worth
 * one, since an answer follows. False: something is there already and may not make one. */
bool tmem_port_listen(struct tmem_port *port, bool output_too);
/* An interrupt only once the device has used three quarters of its pieces of input. False: it has.
 */
bool tmem_port_listen_later(struct tmem_port *port);
const char *tmem_port_device_name(struct tmem_port *port);

/* A segment that was lost takes its place in the device's queue along: whether so many are that the
 * port has to begin anew, or it could not when it had to. */
bool tmem_port_worn(struct tmem_port *port);
/* Resets the device and begins with it as if it had come just now; for the host the port closes and
 * opens. What was sent and not received is gone. Allocates without waiting for anybody's memory: 0,
 * or a negative errno; then the port does nothing until it is tried again. */
int tmem_port_renew(struct tmem_port *port);

/* ---- notify.c ------------------------------------------------------------------------- */

int tmem_notify_register(void);
void tmem_notify_unregister(void);
void tmem_notify_event(void *context, int event, int64_t code);
int tmem_notify_lost(void *context, uint32_t pool, const struct tmem_oid *oid, uint64_t index);

/* ---- debug.c -------------------------------------------------------------------------- */

void tmem_debug_register(void);
void tmem_debug_unregister(void);

#endif
