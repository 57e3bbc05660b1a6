/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A CLOCK_BOOTTIME that can be stopped, for a process that has this preloaded: leases do not lapse
 * while it stands still. TMEM_TEST_CLOCK names a file of two 64-bit numbers: the time to tell, or 0
 * while it goes, and how far it is behind.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { SECOND_NS = 1000000000 };

static const volatile int64_t *control(void)
{
	static const volatile int64_t *numbers;

	if (numbers == NULL) {
		int fd = open(getenv("TMEM_TEST_CLOCK"), O_RDONLY);
		void *map = mmap(NULL, 2 * sizeof(int64_t), PROT_READ, MAP_SHARED, fd, 0);

		if (map == MAP_FAILED)
			abort();
		close(fd);
		numbers = map;
	}
	return numbers;
}

int clock_gettime(clockid_t clock, struct timespec *time)
{
	int64_t told_ns, stopped_at_ns;

	if (syscall(SYS_clock_gettime, clock, time) != 0)
		return -1;
	if (clock != CLOCK_BOOTTIME)
		return 0;
	told_ns = (int64_t)time->tv_sec * SECOND_NS + time->tv_nsec - control()[1];
	stopped_at_ns = control()[0];
	if (stopped_at_ns != 0)
		told_ns = stopped_at_ns;
	time->tv_sec = told_ns / SECOND_NS;
	time->tv_nsec = told_ns % SECOND_NS;
	return 0;
}
