# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest's kernel in which mounts, swap areas, the transport and the service come and go.

The 120 orders of all five events are those of tests/guest/test_frontends.py; what a backend is
promised, of tests/kmod/hooks.
"""

import itertools
import re

import pytest

from tests.vm import machine as _machine
from tests.vm.flavour import sized
from tests.vm.machine import DO, FILES, LIMIT_S, UNDO, Machine

stopped = _machine.stopped
machine = _machine.machine

CYCLES, SWAP_CYCLES = sized(50, 10), sized(20, 4)

# A detach is refused while swap is with the host, so swapoff goes before it.
_APART = (
    ("swapon", "transport", "mount", "service"),
    ("service", "mount", "swapon", "transport"),
    ("mount", "swapon", "service", "transport"),
)


@pytest.mark.timeout(LIMIT_S)
def test_every_order_after_hooks(machine: Machine) -> None:
    """All 24 of mount, swapon, transport and service, in one boot."""
    machine.guest.shell("modprobe tmem_hooks")
    events = ("mount", "swapon", "transport", "service")
    orders = list(itertools.permutations(events))
    for number, order in enumerate(orders[:: sized(1, 7)]):
        machine.happens(order, DO)
        assert machine.ask("works") == "works", order
        machine.happens(_APART[number % len(_APART)], UNDO)
    machine.looks_well()


@pytest.mark.timeout(LIMIT_S)
def test_hooks_come_last(machine: Machine) -> None:
    """After mount, swapon and service in each of their six orders, a boot for each."""
    orders = list(itertools.permutations(("mount", "swapon", "service")))
    for number, order in enumerate(orders[:: sized(1, 5)]):
        if number:
            machine.service.stop()
            machine.guest.vms.stop(machine.guest.name)
            machine.guest.vms.start(machine.guest.name)
            machine.booted()
        machine.happens((*order, "transport"), DO)
        assert machine.ask("works") == "works", order
        machine.looks_well()


@pytest.mark.timeout(LIMIT_S)
def test_backends_come_and_go_under_load(machine: Machine) -> None:
    """50 times while files are read, and another is written while there is no backend; 20 times
    with pages of swap that have to come home first."""
    # slots that were freed may count as held for a while, so there is no swap at first
    machine.happens(("mount", "service", "transport"), DO)
    detached, reads = map(int, re.findall(r"\d+", machine.ask(f"cycles {CYCLES}")))
    assert detached == CYCLES
    assert reads >= CYCLES
    machine.happens(("swapon",), DO)
    *refusals, last = machine.ask(f"swap-cycles {SWAP_CYCLES}").splitlines()
    assert last == f"{SWAP_CYCLES} refused, {SWAP_CYCLES} counted"
    assert all(re.match(r"refused: .*, [1-9]\d* held", refusal) for refusal in refusals)
    assert machine.ask("works") == "works"
    machine.looks_well()


def test_a_mount_that_is_remounted(machine: Machine) -> None:
    """Between ro and rw, with a backend and without: it is one mount, with one pool (F8)."""
    machine.guest.shell(f"mount -o ro {FILES} /mnt")
    machine.happens(("service", "transport"), DO)
    assert machine.ask("remounts") == "remounted"
    machine.looks_well()


def test_the_thread_rests_while_another_driver_has_the_device(machine: Machine) -> None:
    move = "cat /run/device > /sys/bus/virtio/drivers/{}/{}"
    machine.guest.shell(move.format("virtio_console", "bind"))
    machine.happens(("mount", "swapon", "transport", "service"), DO)
    assert float(machine.ask("busy")) < 0.5
    machine.guest.shell(move.format("virtio_console", "unbind"))
    machine.guest.shell(move.format("tmem_transport", "bind"))
    assert machine.ask("works") == "works"
    assert float(machine.ask("busy")) < 0.5
    machine.looks_well()
