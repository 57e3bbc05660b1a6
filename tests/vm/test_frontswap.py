# SPDX-License-Identifier: GPL-2.0-or-later
"""Swap of a live kernel: what a guest swaps out is with the host for as long as the host takes it,
on the disk else, and right in either case."""

import json
from collections.abc import Callable, Iterator

import pytest

from tests.service.live import Live
from tests.vm import served
from tests.vm.flavour import assert_kernel_is_well, sized
from tests.vm.served import EMBEDDED, create, disk_counters, in_guest, start

host = served.host
stopped = served.stopped

MEMORY_MIB = 112
# What a workload uses beyond a guest's memory: as much again, a little, and a lot, of which at
# least HELD_MIB are then with the host. (Less with the debug kernel.)
AGAIN_MIB = sized(MEMORY_MIB, 32)
MORE_MIB = sized(40, 16)
MUCH_MIB = sized(288, 64)
HELD_MIB = sized(256, 48)
_SWAP = "/dev/disk/by-serial/swap"


@pytest.fixture
def swapping(host: Live) -> Iterator[Live]:
    """A guest `web` that swaps to a disk `swap`. Its kernel is well when the test is over."""
    host.stop()
    host.write_config(EMBEDDED, budget="512MiB")
    start(host)
    create(host, "web", "--disk", "swap:size=512MiB", memory_mib=MEMORY_MIB)
    in_guest(f"mkswap -q {_SWAP}; sync; swapon {_SWAP}")
    yield host
    assert_kernel_is_well(in_guest)


def _written() -> int:
    return disk_counters("web")["swap"].write_bytes


def _verify(size_bytes: int) -> None:
    """Fills memory and looks at all of it, in an order of its own; anything wrong fails."""
    in_guest(f"tmem-guest workload memory --size {size_bytes} --seed 1")


def _held() -> int:
    return int(in_guest("cat /sys/kernel/debug/tmem/hooks/frontswap_pages"))


def test_no_write_reaches_the_disk_while_there_is_room(swapping: Live) -> None:
    before = _written()
    _verify(MEMORY_MIB + AGAIN_MIB << 20)
    assert _written() == before, in_guest("tmem-guest kernel counters")
    counters = json.loads(in_guest("tmem-guest kernel counters --json"))
    assert counters["transport"]["stores"] > AGAIN_MIB << 20 >> 12
    assert counters["transport"]["loads"] > 0
    # the process is gone, and with it what the host had of it
    Live.wait_for(lambda: swapping.call("client.info", client="web")["persistent_pages"] == _held())


def _cap(service: Live) -> None:
    service.tmem("set", "web", "--cap", "16MiB")


def _freeze(service: Live) -> None:
    service.tmem("freeze", "web")


def _fill(service: Live) -> None:
    """No room in the arena for more than a part."""
    service.tmem("arena", "budget", "24MiB")


@pytest.mark.parametrize("refuse", [_cap, _freeze, _fill])
def test_what_the_host_refuses_goes_to_the_disk(
    swapping: Live, refuse: Callable[[Live], None]
) -> None:
    before = _written()
    refuse(swapping)
    _verify(MEMORY_MIB + MORE_MIB << 20)
    assert _written() > before
    in_guest(f"swapoff {_SWAP}")
    assert _held() == 0


def _agreed(service: Live) -> int:
    """Waits until guest and host hold the same pages to be there, and says how many."""
    Live.wait_for(
        lambda: (
            service.call("client.info", client="web")["persistent_pages"] == _held()
            and not _info("owed")
            and not _info("queued")
        )
    )
    return _held()


def _info(name: str) -> int:
    lines = in_guest("cat /sys/kernel/debug/tmem/transport/info").splitlines()
    return int(dict(line.split(" ", 1) for line in lines)[name])


def test_swapoff_brings_everything_home(swapping: Live) -> None:
    in_guest(
        "tmem-guest workload hold /run/said --size 25165824 --seed 2 </dev/null >/dev/null 2>&1 &"
        " echo $! > /run/holder; until [ -s /run/said ]; do sleep 0.2; done"
    )
    _verify(MEMORY_MIB << 20)
    assert _agreed(swapping) > 0
    in_guest(f"! tmem-guest kernel detach; swapoff {_SWAP}")
    assert _agreed(swapping) == 0
    in_guest("kill $(cat /run/holder); until grep -qv held /run/said; do sleep 0.2; done")
    assert in_guest("cat /run/said") == "verified\n"
    in_guest("tmem-guest kernel detach")


# Wakes before all others, so it waits only for what nobody may interrupt; says how long at most.
_CLOCK = """
import ctypes, os, time
ctypes.CDLL(None).mlockall(3)
os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
longest_s, before = 0.0, time.monotonic()
open("/run/ticking", "w").close()
while not os.path.exists("/run/enough"):
    time.sleep(0.005)
    now = time.monotonic()
    longest_s, before = max(longest_s, now - before), now
print(longest_s)
"""


def _start_clock() -> None:
    in_guest(
        f"python3 - >/run/longest 2>&1 <<'END' &\n{_CLOCK}END\n"
        "until [ -e /run/ticking ]; do kill -0 $!; sleep 0.1; done"
    )


def _stop_clock() -> float:
    """The longest time, in seconds, for which it could not run."""
    return float(
        in_guest(
            "touch /run/enough; until [ -s /run/longest ]; do sleep 0.1; done; cat /run/longest"
        )
    )


def test_a_process_with_much_in_frontswap_ends(swapping: Live) -> None:
    """No flush is lost, and interrupts are not off for a second."""
    size = MEMORY_MIB + MUCH_MIB << 20
    before = _written()
    in_guest(
        f"tmem-guest workload hold /run/said --size {size} --seed 3 </dev/null >/dev/null 2>&1 &"
        " echo $! > /run/holder; until [ -s /run/said ]; do sleep 0.2; done"
    )
    held = _held()
    assert held >= HELD_MIB << 20 >> 12
    assert _written() == before, in_guest("tmem-guest kernel counters")
    _start_clock()
    in_guest("kill -9 $(cat /run/holder)")
    Live.wait_for(lambda: _held() < held // 16)
    assert _stop_clock() < 1
    # no flush was lost: of what is gone the host has nothing left
    _agreed(swapping)
