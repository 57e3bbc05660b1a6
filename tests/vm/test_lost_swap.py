# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest whose swap pages the host has lost, all with its arena: whoever wants one never gets what
the slot of the disk has, which nobody has written (F2)."""

import pytest

from tests.service.live import Live
from tests.vm import machine as _machine
from tests.vm.machine import DO, Machine
from tmem_host.provision.vm.errors import GuestPanicked

stopped = _machine.stopped
machine = _machine.machine

_LOOK = "touch /run/look; until [ -e /run/right ]{or_said}; do sleep 0.1; done"


def _lose(machine: Machine) -> None:
    """A process of the guest has pages with the host, and the host has none any more."""
    machine.begin("holds", until="/run/held")

    def held() -> int:
        return int(machine.service.call("client.info", client="web")["persistent_pages"])

    pages = int(machine.guest.run("cat", "/sys/kernel/debug/tmem/hooks/frontswap_pages"))
    assert pages > 0
    Live.wait_for(lambda: held() == pages)
    machine.service.stop()
    for gone in ("arena", "sessions"):
        (machine.service.folder / gone).unlink()
    machine.service.start()
    said = "tmem: the host has lost this guest's swap pages"
    Live.wait_for(lambda: said in machine.guest.serial())
    assert held() == 0


def test_who_wants_one_makes_the_guest_panic(machine: Machine) -> None:
    machine.happens(("swapon", "service", "transport"), DO)
    _lose(machine)
    why = r"panicked: Kernel panic - not syncing: tmem: the host has lost the page in slot \d+ of"
    with pytest.raises(GuestPanicked, match=why):
        machine.guest.shell(_LOOK.format(or_said=""))


def test_who_wants_one_waits_and_the_guest_goes_on(machine: Machine) -> None:
    machine.happens(("mount", "swapon", "service"), DO)
    machine.guest.shell(f"{DO['transport']} lost=wait")
    # else others want it, too, who read ahead from its neighbours
    machine.guest.shell("echo 0 > /proc/sys/vm/page-cluster")
    _lose(machine)
    said = "who wanted it waits for ever"
    machine.guest.shell(_LOOK.format(or_said=f" || dmesg | grep -q '{said}'"))
    assert machine.ask("works") == "works"
    machine.guest.shell(
        "pgrep -f 'life.py holds' && [ ! -e /run/right ] && [ ! -s /run/holds.log ]"
    )
    machine.looks_well()
