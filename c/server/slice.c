/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "slice.h"

#include <sched.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SLICE_NS 100000 /* the shortest that there is */

/* What the system calls take. <linux/sched/types.h> has it, too, and redefines what <sched.h> has.
 */
struct attributes {
	uint32_t size;
	uint32_t policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime_ns, deadline_ns, period_ns;
};

void tmem_take_short_slices(void)
{
	struct attributes attributes;

	if (syscall(SYS_sched_getattr, 0, &attributes, sizeof(attributes), 0) != 0 ||
	    attributes.policy != SCHED_OTHER)
		return;
	attributes.runtime_ns = SLICE_NS;
	(void)syscall(SYS_sched_setattr, 0, &attributes, 0);
}
