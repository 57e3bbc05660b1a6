# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs inside a guest, as root: says "works" once pages of a file and of swap have been with the
host and have come back right."""

import mmap
import os
import random
from collections.abc import Callable
from pathlib import Path

HOOKS = Path("/sys/kernel/debug/tmem/hooks")
FILE = "/mnt/file"
SWAPPED_PAGES = 64
MADV_PAGEOUT = 21


def counter(name: str) -> int:
    """One of the hooks' counters."""
    lines = (line.split() for line in (HOOKS / "counters").read_text().splitlines())
    return next(int(value) for found, value in lines if found == name)


def read_file() -> None:
    """The file that was made from the seed 1, from the disk or from the host."""
    file = os.open(FILE, os.O_RDONLY)
    os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
    size = os.fstat(file).st_size
    contents = b"".join(iter(lambda: os.read(file, 1 << 18), b""))
    os.close(file)
    assert contents == random.Random(1).randbytes(size), "the file differs"


class Memory:
    """Pages that the kernel is asked to swap out."""

    def __init__(self, seed: int) -> None:
        self.right = random.Random(seed).randbytes(SWAPPED_PAGES * mmap.PAGESIZE)
        self.map = mmap.mmap(-1, len(self.right), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self.map[:] = self.right
        self.map.madvise(MADV_PAGEOUT)

    def check(self) -> None:
        assert self.map[:] == self.right, "memory differs"
        self.map.close()


def grows(name: str, work: Callable[[], object]) -> None:
    """Does `work` until the counter has grown: the host may still be on its way."""
    before = counter(name)
    while counter(name) == before:
        work()


def works() -> None:
    grows("gets_hit", read_file)
    seeds = iter(range(1 << 30))
    grows("stores", lambda: Memory(next(seeds)).check())
    print("works")


if __name__ == "__main__":
    works()
