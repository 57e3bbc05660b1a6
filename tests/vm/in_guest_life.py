# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs inside a guest, as root: what a test with a `Machine` asks of a kernel that uses tmem.

usage: in_guest_life.py works | cycles N | swap-cycles N | remounts | holds | busy
"""

import mmap
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from tmem_guest.workloads.blocks import BLOCK_BYTES, describe, make_block

HOOKS = Path("/sys/kernel/debug/tmem/hooks")
ATTACHED = Path("/sys/module/tmem_transport/parameters/attached")
DEVICE = Path("/sys/module/tmem_transport/parameters/device")
FILE = "/mnt/file"
REWRITTEN, REWRITTEN_BLOCKS = "/mnt/rewritten", 16
SWAP = "/dev/disk/by-serial/swap"
SWAPPED_PAGES = 64
MADV_PAGEOUT = 21


def counter(name: str) -> int:
    """One of the hooks' counters."""
    lines = (line.split() for line in (HOOKS / "counters").read_text().splitlines())
    return next(int(value) for found, value in lines if found == name)


def run(*command: str) -> None:
    subprocess.run(command, check=True)


def read_file() -> None:
    """The file that was made from the seed 1, from the disk or from the host."""
    file = os.open(FILE, os.O_RDONLY)
    os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
    size = os.fstat(file).st_size
    contents = b"".join(iter(lambda: os.read(file, 1 << 18), b""))
    os.close(file)
    assert contents == random.Random(1).randbytes(size), "the file differs"


class Rewritten:
    """A file with one right version, which its blocks say: the newest. None of its pages stays in
    the page cache: they are with the backend, or on the disk alone."""

    def __init__(self) -> None:
        self._version = 0
        self.rewrite()

    def _right(self, block: int) -> bytes:
        return make_block(0, block, self._version, 0)

    def rewrite(self) -> None:
        self._version += 1
        file = os.open(REWRITTEN, os.O_WRONLY | os.O_CREAT)
        os.write(file, b"".join(map(self._right, range(REWRITTEN_BLOCKS))))
        os.fsync(file)
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(file)

    def check(self) -> None:
        file = os.open(REWRITTEN, os.O_RDONLY)
        for block in range(REWRITTEN_BLOCKS):
            found, right = os.read(file, BLOCK_BYTES), self._right(block)
            assert found == right, f"{describe(found)}; instead of {describe(right)}"
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(file)


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


def set_attached(value: str) -> bool:
    """Whether it was not refused."""
    file = os.open(ATTACHED, os.O_WRONLY)
    try:
        # not write_text, which writes again what was refused when it closes
        os.write(file, value.encode())
    except OSError as error:
        print(f"refused: {error.strerror}, {(HOOKS / 'frontswap_pages').read_text().strip()} held")
        return False
    finally:
        os.close(file)
    return True


def reload_transport() -> None:
    device = DEVICE.read_text().strip()
    run("rmmod", "tmem_transport")
    run("modprobe", "tmem_transport", f"device={device}")


def cycles(count: int) -> None:
    """Attaches and detaches while files are read; every fifth time the module is loaded anew. What
    is with a backend when it goes is old when the next one comes."""
    rewritten = Rewritten()
    going, failures, reads = True, [], 0

    def read() -> None:
        nonlocal reads
        try:
            while going:
                read_file()
                reads += 1
        except BaseException as error:
            failures.append(error)

    # whatever fails here shall not wait for them
    readers = [threading.Thread(target=read, daemon=True) for _ in range(2)]
    for reader in readers:
        reader.start()
    for cycle in range(count):
        rewritten.check()
        assert set_attached("N")
        rewritten.rewrite()
        if cycle % 5 == 0:
            reload_transport()
        else:
            assert set_attached("Y")
        rewritten.check()
        seen = reads
        while reads == seen and not failures:
            time.sleep(0.01)
    going = False
    for reader in readers:
        reader.join()
    assert not failures, failures
    print(f"{counter('detached')} detached, {reads} reads")


def swap_cycle(seed: int) -> bool:
    """Whether detaching was refused while pages were held."""
    memory: list[Memory] = []
    grows("stores", lambda: memory.append(Memory(len(memory) + seed)))
    refused = not set_attached("N")
    run("swapoff", SWAP)
    for one in memory:
        one.check()
    assert set_attached("N")
    reload_transport()
    run("swapon", SWAP)
    return refused


def swap_cycles(count: int) -> None:
    """Detaching is refused while swap is with the host; swapoff brings it home."""
    refused = sum(swap_cycle(cycle) for cycle in range(count))
    print(f"{refused} refused, {counter('detach_busy')} counted")


def remount(*modes: str) -> None:
    for mode in modes:
        run("mount", "-o", f"remount,{mode}", "/mnt")


def mount_ids() -> list[str]:
    """Of all file systems that the hooks know; one that is mounted has one."""
    return [line.split()[0] for line in (HOOKS / "mounts").read_text().splitlines()]


def remounts() -> None:
    """/mnt, which is read-only, becomes writable and back, with a backend and without."""
    ids, pools = mount_ids(), counter("pools_made")
    grows("gets_hit", read_file)
    remount("rw")
    rewritten = Rewritten()
    grows("gets_hit", rewritten.check)
    remount("ro", "rw")
    rewritten.rewrite()
    remount("ro", "rw")
    Path("/proc/sys/vm/drop_caches").write_text("3")
    read_file()
    grows("gets_hit", rewritten.check)
    assert (mount_ids(), counter("pools_made")) == (ids, pools)

    assert set_attached("N")
    remount("ro", "rw")
    rewritten.rewrite()
    remount("ro")
    assert set_attached("Y")
    rewritten.check()
    remount("rw")
    rewritten.rewrite()
    grows("gets_hit", rewritten.check)
    read_file()
    # a new backend makes new ones
    assert (mount_ids(), counter("pools_made")) == (ids, pools + len(ids))
    print("remounted")


def holds() -> None:
    """Has pages with the host, says so by /run/held, and looks at them when there is /run/look. If
    they are right, there is /run/right then."""
    memory: list[Memory] = []
    grows("stores", lambda: memory.append(Memory(len(memory))))
    Path("/run/held").touch()
    while not os.path.exists("/run/look"):
        time.sleep(0.05)
    for one in memory:
        one.check()
    Path("/run/right").touch()


def busy() -> None:
    """Which share of a processor the transport's thread takes while nobody uses tmem."""
    comms = Path("/proc").glob("[0-9]*/comm")
    thread = next(comm.parent for comm in comms if comm.read_text() == "tmem_transport\n")

    def ran_s() -> float:
        user, system = (thread / "stat").read_text().split()[13:15]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    began = ran_s(), time.monotonic()
    time.sleep(2)
    print((ran_s() - began[0]) / (time.monotonic() - began[1]))


COMMANDS: dict[str, Callable[..., None]] = {
    "works": works,
    "cycles": cycles,
    "swap-cycles": swap_cycles,
    "remounts": remounts,
    "holds": holds,
    "busy": busy,
}

if __name__ == "__main__":
    what, *arguments = sys.argv[1:]
    COMMANDS[what](*map(int, arguments))
