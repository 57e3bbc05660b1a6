# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest under load while its host fails, and while it fails itself: no wrong byte, no old page,
no warning of its kernel. (What several guests share is the torture's.)"""

import os
import signal
import time
from pathlib import Path

import pytest

from tests.service.live import Live
from tests.vm import served
from tests.vm.served import EMBEDDED, create, in_guest, start
from tmem_host.provision.vm.provisioner import Provisioner
from tmem_host.provision.vm.remote import open_provisioner

host = served.host
stopped = served.stopped

KILLS = 10
PAUSE_S = 90
MEMORY_MIB = 128
_LOAD_MEMORY_BYTES = 96 << 20
_PATIENCE_S = 120.0


@pytest.fixture
def loaded(host: Live) -> Live:
    """A guest `web` in mid-traffic."""
    host.stop()
    host.write_config(EMBEDDED, budget="512MiB")
    start(host)
    create(
        host,
        "web",
        *("--memory", f"{MEMORY_MIB}MiB"),
        *("--disk", "data:size=64MiB,cache=none", "--disk", "swap:size=256MiB"),
    )
    with _vms() as vms, vms.agent("web") as agent:
        agent.write_file(
            "/root/guest_load.py", Path(__file__).with_name("guest_load.py").read_bytes()
        )
    in_guest(
        "mkfs.ext4 -q -b 4096 /dev/disk/by-serial/data; mkswap -q /dev/disk/by-serial/swap; sync"
    )
    _load()
    return host


def _vms() -> Provisioner:
    return open_provisioner(None, None)


def _load() -> None:
    """Starts the load in a guest that has booted just now, and waits until it looks."""
    in_guest(
        "mount -o noatime /dev/disk/by-serial/data /mnt; swapon /dev/disk/by-serial/swap;"
        f" PYTHONPATH=/tmem/python python3 /root/guest_load.py /mnt {_LOAD_MEMORY_BYTES} 1"
        " </dev/null >/run/load.log 2>&1 &"
        " for i in 1 2 3; do :; done"
    )
    _goes_on()


def _looks() -> int:
    return int(
        in_guest(
            "if [ -e /run/wrong ]; then cat /run/wrong >&2; exit 1; fi; cat /run/looks || echo 0"
        )
    )


def _goes_on() -> None:
    """The load has looked at something since it was asked, and nothing was wrong."""
    before = _looks()
    until = time.monotonic() + _PATIENCE_S
    while _looks() <= before + 5:
        assert time.monotonic() < until, in_guest("cat /run/load.log; tmem-guest kernel status")
        time.sleep(0.2)


def _no_complaints() -> None:
    said = in_guest("dmesg")
    for word in ("WARNING", "BUG:", "stall", "lockup", "I/O error", "Oops"):
        assert word not in said, said


def _session(service: Live) -> str:
    return str(service.call("client.info", client="web")["state"])


def test_the_service_is_killed_again_and_again(loaded: Live) -> None:
    for _ in range(KILLS):
        loaded.stop(signal.SIGKILL)
        start(loaded)
        Live.wait_for(lambda: _session(loaded) == "active")
        _goes_on()
    counters = in_guest("cat /sys/kernel/debug/tmem/transport/counters")
    assert "sessions_new 1\n" in counters, counters
    _no_complaints()


def test_a_pause(loaded: Live) -> None:
    with _vms() as vms:
        vms.pause("web")
        time.sleep(PAUSE_S)
        vms.start("web", wait=False)
    _goes_on()
    _no_complaints()


@pytest.mark.parametrize("how", ["reset", "killed"])
def test_another_boot(loaded: Live, how: str) -> None:
    before = loaded.call("client.info", client="web")["persistent_pages"]
    assert before > 0
    with _vms() as vms:
        if how == "reset":
            vms.reset("web")
            vms.wait("web", 300)
        else:
            pid = next(info.qemu_pid for info in vms.vms() if info.name == "web")
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
            Live.wait_for(lambda: vms.ended("web") is not None)
            # of a guest that is gone the host keeps nothing
            Live.wait_for(lambda: _held(loaded) == 0)
            vms.start("web", boot_limit_s=300)
    Live.wait_for(lambda: _session(loaded) == "active")
    assert _held(loaded) == 0
    _load()
    _no_complaints()


def _held(service: Live) -> int:
    return int(service.call("client.info", client="web")["persistent_pages"])
