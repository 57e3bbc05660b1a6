/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "platform.h"

#include <errno.h>
#include <linux/futex.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "tmem_abi.h"

void tmem_platform_lock_init(struct tmem_platform_lock *lock)
{
	pthread_mutex_init(&lock->mutex, NULL);
}

void tmem_platform_lock_destroy(struct tmem_platform_lock *lock)
{
	pthread_mutex_destroy(&lock->mutex);
}

unsigned long tmem_platform_lock(struct tmem_platform_lock *lock)
{
	pthread_mutex_lock(&lock->mutex);
	return 0;
}

void tmem_platform_unlock(struct tmem_platform_lock *lock, unsigned long flags)
{
	(void)flags;
	pthread_mutex_unlock(&lock->mutex);
}

void tmem_platform_done_init(struct tmem_platform_done *done)
{
	__atomic_store_n(&done->signalled, 0, __ATOMIC_RELAXED);
}

/* The kernel only compares the address: should the waiter be gone by then, nobody wakes, or
 * somebody who looks again. */
void tmem_platform_done_signal(struct tmem_platform_done *done)
{
	__atomic_store_n(&done->signalled, 1, __ATOMIC_RELEASE);
	syscall(SYS_futex, &done->signalled, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0);
}

bool tmem_platform_done_poll(struct tmem_platform_done *done)
{
	return __atomic_load_n(&done->signalled, __ATOMIC_ACQUIRE) != 0;
}

#ifdef TMEM_DEBUG
_Thread_local bool tmem_platform_atomic;
#endif

enum tmem_platform_wait tmem_platform_done_wait(struct tmem_platform_done *done,
						uint64_t timeout_ns)
{
	uint64_t end_ns = timeout_ns == UINT64_MAX ? UINT64_MAX : tmem_platform_now_ns();

#ifdef TMEM_DEBUG
	if (tmem_platform_atomic)
		return TMEM_WAIT_REFUSED;
#endif
	if (timeout_ns != UINT64_MAX)
		end_ns += timeout_ns;
	while (!tmem_platform_done_poll(done)) {
		struct timespec left, *limit = NULL;

		if (end_ns != UINT64_MAX) {
			uint64_t now_ns = tmem_platform_now_ns();

			if (now_ns >= end_ns)
				return TMEM_WAIT_TIMED_OUT;
			left.tv_sec = (time_t)((end_ns - now_ns) / 1000000000);
			left.tv_nsec = (long)((end_ns - now_ns) % 1000000000);
			limit = &left;
		}
		syscall(SYS_futex, &done->signalled, FUTEX_WAIT_PRIVATE, 0, limit, NULL, 0);
	}
	return TMEM_WAIT_SIGNALLED;
}

uint64_t tmem_platform_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

uint32_t tmem_platform_random(void)
{
	uint32_t value;

	if (getrandom(&value, sizeof(value), GRND_NONBLOCK) != sizeof(value))
		value = (uint32_t)(tmem_platform_now_ns() * 0x9e3779b97f4a7c15 >> 32);
	return value;
}

void tmem_platform_page_read(void *to, const void *page)
{
	memcpy(to, page, TMEM_PAGE_BYTES);
}

void tmem_platform_page_write(void *page, uint32_t at, const void *from, uint32_t bytes)
{
	memcpy((uint8_t *)page + at, from, bytes);
}
