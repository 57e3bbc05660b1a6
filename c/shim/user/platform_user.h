/* SPDX-License-Identifier: GPL-2.0-or-later */
/* platform.h for user space: a mutex, a futex, CLOCK_BOOTTIME. */
#ifndef TMEM_PLATFORM_USER_H
#define TMEM_PLATFORM_USER_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct tmem_platform_lock {
	pthread_mutex_t mutex;
};

struct tmem_platform_done {
	uint32_t signalled;
};

#ifdef TMEM_DEBUG
/* This thread is to do as if it were where the kernel lets nobody sleep: for tests alone. */
extern _Thread_local bool tmem_platform_atomic;
#endif

#endif
