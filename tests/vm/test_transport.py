# SPDX-License-Identifier: GPL-2.0-or-later
"""The port of the transport while its host end comes and goes, under load in the guest."""

import random
import signal
import socket
import time

import pytest

from tests.service.live import Live
from tests.vm import loaded as _loaded
from tests.vm import served
from tests.vm.loaded import goes_on, no_complaints, session, vms
from tests.vm.served import in_guest, start
from tmem_host.provision.vm.connection import EMBED, choose_places

host = served.host
stopped = served.stopped
loaded = _loaded.loaded

KILLS = 30
KILLS_OF_TWO = 10
# until the device has lost an eighth of its queue, a segment in most kills
KILLS_MAX = 60
# more than the device keeps messages of
FLAPS = 40


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
    no_complaints()


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


def test_a_host_end_that_comes_and_goes_while_the_guest_is_paused(loaded: Live) -> None:
    """The device has no room for so many messages, so the guest does not hear of them all."""
    path = choose_places(EMBED).vm("web").kernel_socket
    with vms() as provisioner:
        provisioner.pause("web")
    loaded.stop(signal.SIGKILL)
    for _ in range(FLAPS):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as end:
            end.connect(str(path))
            end.send(b"?")
        time.sleep(0.02)
    start(loaded)
    with vms() as provisioner:
        provisioner.start("web", wait=False)
    Live.wait_for(lambda: session(loaded) == "active")
    goes_on()
    no_complaints()
