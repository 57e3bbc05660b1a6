# SPDX-License-Identifier: GPL-2.0-or-later
"""The port of the transport while its host end comes and goes, under load in the guest."""

import json
import random
import signal
import socket
import time

import pytest

from tests.service.live import Live
from tests.vm import loaded as _loaded
from tests.vm import served
from tests.vm.flavour import assert_kernel_is_well, sized
from tests.vm.loaded import goes_on, session, vms
from tests.vm.served import in_guest, start
from tmem_host.provision.vm.connection import EMBED, choose_places

host = served.host
stopped = served.stopped
loaded = _loaded.loaded

KILLS = sized(15, 5)
KILLS_OF_TWO = sized(10, 4)
# until the device has lost an eighth of its queue, a segment in most kills
KILLS_MAX = 60
# more than the device keeps messages of
FLAPS = 40
_STARVED_S = 8
# a process that the scheduler puts before everything else, soon after whoever starts it is answered
_STARVE = f"""
echo -1 >/proc/sys/kernel/sched_rt_runtime_us
rm -f /run/starves
python3 -c '
import os, pathlib, time
pathlib.Path("/run/starves").touch()
time.sleep(2)
os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(50))
until = time.monotonic() + {_STARVED_S}
while time.monotonic() < until:
    pass' </dev/null >/dev/null 2>&1 &
until [ -e /run/starves ]; do sleep 0.1; done
"""


def _counter(name: str) -> int:
    text = in_guest("cat /sys/kernel/debug/tmem/transport/counters")
    return int(dict(line.split() for line in text.splitlines())[name])


def _kill(service: Live, rng: random.Random) -> None:
    """Kills the service and starts it again. Most times it has stopped reading before, and the
    guest puts more than the device can give away, so that it is in the middle of a piece and loses
    it."""
    if rng.random() < 0.9:
        in_guest("cat /mnt/load* >/dev/null")
        service.send_signal(signal.SIGSTOP)
        in_guest("echo 1 >/proc/sys/vm/drop_caches")
    time.sleep(rng.random() / 2)
    service.stop(signal.SIGKILL)
    start(service)
    Live.wait_for(lambda: session(service) == "active")
    goes_on()


def _all_is_well() -> None:
    assert _counter("lost_segments") > 0
    # a session goes on for as long as the host has what the guest stored
    assert _counter("sessions_new") == 1
    assert_kernel_is_well(in_guest)


def test_a_service_that_is_killed_until_the_port_is_worn_out(loaded: Live) -> None:
    rng = random.Random(1)
    kills = 0
    while kills < KILLS or _counter("renewals") == 0:
        kills += 1
        assert kills <= KILLS_MAX, in_guest("cat /sys/kernel/debug/tmem/transport/counters")
        _kill(loaded, rng)
    _all_is_well()


@pytest.mark.parametrize("loaded", [2], indirect=True, ids=["2 vcpus"])
def test_a_service_that_is_killed_under_two_processors(loaded: Live) -> None:
    rng = random.Random(2)
    for _ in range(KILLS_OF_TWO):
        _kill(loaded, rng)
    _all_is_well()


def _again(service: Live) -> None:
    """The guest hears of its host again, and nothing was lost."""
    Live.wait_for(lambda: session(service) == "active")
    goes_on()
    assert _counter("sessions_new") == 1
    assert_kernel_is_well(in_guest)


def _pause() -> None:
    with vms() as provisioner:
        provisioner.pause("web")


def _go_on_without_libvirt(breaks: int) -> None:
    """Has QEMU let the guest go on, and waits until that has heard nothing for too long, as it had
    `breaks` times before."""
    (monitor,) = choose_places(EMBED).embed.glob("lib/qemu/domain-*-web/monitor.sock")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as end:
        end.connect(str(monitor))
        with end.makefile("rw", encoding="utf-8") as qmp:
            assert '"QMP"' in qmp.readline()
            for command in ("qmp_capabilities", "cont"):
                qmp.write(json.dumps({"execute": command}))
                qmp.flush()
                while '"return"' not in (answer := qmp.readline()):
                    assert '"event"' in answer, answer
    Live.wait_for(lambda: _counter("breaks") > breaks)


def _starve() -> None:
    """The guest's only processor has nothing left for the transport, for a few seconds."""
    in_guest(_STARVE)
    time.sleep(2.5)


def test_a_host_end_that_is_another_after_a_pause(loaded: Live) -> None:
    """QEMU tells the guest nothing of what becomes of a port while it is paused: only the silence
    of the host does."""
    _pause()
    loaded.stop(signal.SIGKILL)
    start(loaded)
    with vms() as provisioner:
        provisioner.start("web", wait=False)
    _again(loaded)


def test_a_host_end_that_was_missing_when_a_pause_ended(loaded: Live) -> None:
    """QEMU could not write what the guest sent then, and does not look at the port any more: only
    the end of another connection makes it."""
    breaks = _counter("breaks")
    _pause()
    loaded.stop(signal.SIGKILL)
    _go_on_without_libvirt(breaks)
    start(loaded)
    _again(loaded)


def test_a_host_end_that_is_another_when_the_guest_looks(loaded: Live) -> None:
    """It has closed and opened between two looks."""
    before = _counter("host_closed")
    _starve()
    loaded.stop(signal.SIGKILL)
    start(loaded)
    _again(loaded)
    assert _counter("host_closed") == before + 1


def test_a_host_end_that_comes_and_goes_while_the_guest_does_not_look(loaded: Live) -> None:
    """The device has no room for so many messages. The last one that the guest hears of is that the
    port was closed."""
    path = choose_places(EMBED).vm("web").kernel_socket
    before = _counter("host_closed")
    loaded.stop(signal.SIGKILL)
    Live.wait_for(lambda: _counter("host_closed") == before + 1)
    _starve()
    for _ in range(FLAPS):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as end:
            end.connect(str(path))
            end.send(b"?")
        time.sleep(0.02)
    start(loaded)
    _again(loaded)
