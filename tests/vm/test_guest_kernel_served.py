# SPDX-License-Identifier: GPL-2.0-or-later
"""tmem-guest kernel in a real guest whose host has a service: sessions, and swap that is there."""

import json
import signal
from typing import Any

from tests.service.live import Live
from tests.vm import served
from tests.vm.flavour import assert_kernel_is_well
from tests.vm.served import in_guest, start

host = served.host
service = served.service
stopped = served.stopped
PAGES = 512
# Memory that the kernel is asked to swap out, and that is looked at again when a file tells to.
_SWAPPED = f"""
import mmap, os, random, time
memory = mmap.mmap(-1, {PAGES} * 4096)
memory[:] = random.Random(1).randbytes(len(memory))
memory.madvise(21)  # MADV_PAGEOUT
open("/run/out", "x").close()
while not os.path.exists("/run/look"):
    time.sleep(0.1)
assert memory[:] == random.Random(1).randbytes(len(memory))
open("/run/right", "x").close()
"""


def _status() -> Any:
    return json.loads(in_guest("tmem-guest kernel status --json"))


def _held_by_the_host(service: Live) -> int:
    pages = {client["name"]: client["persistent_pages"] for client in service.call("client.list")}
    return int(pages["web"])


def _swap_out() -> None:
    """Has a process swap out its memory; it looks at it again when there is /run/look."""
    in_guest("mkswap -q /dev/disk/by-serial/disk && swapon /dev/disk/by-serial/disk")
    in_guest(f"python3 -c '{_SWAPPED}' </dev/null >/run/said 2>&1 &")
    in_guest("until [ -e /run/out ]; do sleep 0.1; done")


def test_swap_that_is_with_the_host(service: Live) -> None:
    Live.wait_for(lambda: _status()["session"]["state"] == "running")
    _swap_out()
    found = _status()
    assert found["areas"][0]["held"] == found["frontswap_pages"] > 0
    Live.wait_for(lambda: _held_by_the_host(service) == _status()["frontswap_pages"])
    # it keeps the kernel attached
    said = in_guest("! tmem-guest kernel detach 2>&1")
    assert "pages of swap are with the host and nowhere else; bring them home first:" in said
    assert said.endswith(" swapoff /dev/vdc\n")
    assert _status()["attached"]
    # while the service is away, who wants a page waits, and who looks on sees it
    service.stop(signal.SIGKILL)
    in_guest("touch /run/look")
    Live.wait_for(lambda: _status()["session"]["waiting_loads"] > 0)
    assert "for a page of swap" in in_guest("tmem-guest kernel status")
    assert in_guest("ls /run/right 2>/dev/null || echo waits") == "waits\n"
    start(service)
    in_guest("until [ -e /run/right ]; do sleep 0.1; done; cat /run/said")
    # bringing the rest home is what it says it is
    in_guest("swapoff /dev/vdc")
    assert _status()["frontswap_pages"] == 0
    in_guest("tmem-guest kernel detach")
    Live.wait_for(lambda: _held_by_the_host(service) == 0)
    assert_kernel_is_well(in_guest)
