/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef TMEM_SLICE_H
#define TMEM_SLICE_H

/*
 * Has the calling thread run for shorter times than others, and so be let in sooner when it is
 * woken. QEMU's thread wakes whoever serves a guest and shares a processor with it; if that does
 * not run at once, QEMU first looks at all that it waits for, goes to sleep and has to be woken.
 * Takes no privilege and gives none: over time the thread gets as much of a processor as before. A
 * thread that the administrator has given another policy keeps it; a kernel before 6.12, or a
 * sandbox without the system call, lets it run as ever.
 */
void tmem_take_short_slices(void);

#endif
