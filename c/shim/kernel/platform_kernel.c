// SPDX-License-Identifier: GPL-2.0-or-later
#include "../platform.h"

#include <linux/highmem.h>
#include <linux/jiffies.h>
#include <linux/random.h>
#include <linux/timekeeping.h>

#include "tmem_abi.h"

void tmem_platform_lock_init(struct tmem_platform_lock *lock)
{
	spin_lock_init(&lock->spin);
}

void tmem_platform_lock_destroy(struct tmem_platform_lock *lock)
{
}

void tmem_platform_done_init(struct tmem_platform_done *done)
{
	init_completion(&done->completion);
}

void tmem_platform_done_signal(struct tmem_platform_done *done)
{
	complete_all(&done->completion);
}

/* Waits as for a disk (iowait): who looks for what holds a task up sees it. */
enum tmem_platform_wait tmem_platform_done_wait(struct tmem_platform_done *done,
						uint64_t timeout_ns)
{
	if (!tmem_platform_may_wait())
		return TMEM_WAIT_REFUSED;
	if (timeout_ns == UINT64_MAX)
		wait_for_completion_io(&done->completion);
	else if (!wait_for_completion_io_timeout(&done->completion,
						 nsecs_to_jiffies(timeout_ns) + 1))
		return TMEM_WAIT_TIMED_OUT;
	return TMEM_WAIT_SIGNALLED;
}

uint64_t tmem_platform_now_ns(void)
{
	return ktime_get_boottime_ns();
}

uint32_t tmem_platform_random(void)
{
	return get_random_u32();
}

void tmem_platform_page_read(void *to, const void *page)
{
	const void *from;

	/* as Xen's shim did: what was written to the page is seen here */
	smp_mb();
	from = kmap_atomic((struct page *)page);
	memcpy(to, from, TMEM_PAGE_BYTES);
	kunmap_atomic((void *)from);
}

void tmem_platform_page_write(void *page, uint32_t at, const void *from, uint32_t bytes)
{
	u8 *to = kmap_atomic(page);

	memcpy(to + at, from, bytes);
	kunmap_atomic(to);
	flush_dcache_page((struct page *)page);
}
