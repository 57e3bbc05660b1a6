# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest's kernel in which mounts, swap areas, the transport and the service come and go.

The service is a process of the test's own, apart from what keeps the guests, and connects to the
guest's channel as an operator would have it do. The 120 orders of all five events are those of
tests/guest/test_frontends.py; what a backend is promised, of tests/kmod/hooks.
"""

import itertools
import re
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.service.conftest import stopped as _stopped
from tests.service.live import Live
from tests.vm.conftest import MakeVm
from tests.vm.flavour import assert_kernel_is_well, assert_no_complaints, sized
from tests.vm.guest import Guest
from tmem_host.provision.vm.spec import Disk

stopped = _stopped

_SCRIPT = Path(__file__).with_name("in_guest_life.py")
_DISKS = (Disk(name="files", size_bytes=64 << 20), Disk(name="swap", size_bytes=64 << 20))
_FILES, _SWAP = "/dev/disk/by-serial/files", "/dev/disk/by-serial/swap"
_SET_UP = f"""
mkfs.ext4 -q -F -b 4096 {_FILES} && mkswap -q {_SWAP} && mount {_FILES} /mnt
python3 -c 'import random; print(end="", file=open("/mnt/file", "w"))
open("/mnt/file", "wb").write(random.Random(1).randbytes(1 << 18))'
umount /mnt
"""
_TAKE_PORT = """
for name in /sys/class/virtio-ports/*/name; do
	if [ "$(cat "$name")" = org.kvmtmem.kernel.0 ]; then
		device=$(basename "$(readlink -f "${name%/name}/device")")
		echo "$device" > /run/device
		echo "$device" > "/sys/bus/virtio/devices/$device/driver/unbind"
	fi
done
"""
_LIMIT_S = 1200.0
CYCLES, SWAP_CYCLES = sized(50, 10), sized(20, 4)


_DO = {
    "mount": f"mount {_FILES} /mnt",
    "swapon": f"swapon {_SWAP}",
    "transport": "modprobe tmem_transport device=$(cat /run/device)",
}
_UNDO = {
    "mount": "umount /mnt",
    "swapon": f"swapoff {_SWAP}",
    "transport": "echo N > /sys/module/tmem_transport/parameters/attached; rmmod tmem_transport",
}


class Machine:
    """A guest, and what can happen to it."""

    def __init__(self, guest: Guest, service: Live) -> None:
        self.guest = guest
        self.service = service
        service.write_config(f"[clients.web]\nconnect = '{guest.places.kernel_socket}'\n")
        guest.shell(_SET_UP)
        self.booted()

    def booted(self) -> None:
        """What is to be there after each boot: the script, and a port that nobody drives."""
        script = _SCRIPT.read_text(encoding="utf-8")
        self.guest.shell(f"cat > /run/life.py <<'END'\n{script}END\n{_TAKE_PORT}")

    def ask(self, what: str) -> str:
        return self.guest.shell(f"python3 /run/life.py {what}", limit_s=_LIMIT_S).strip()

    def happens(self, events: Iterable[str], do: dict[str, str]) -> None:
        """Each after the one before it; those in the guest that follow one another at once."""
        for in_guest, group in itertools.groupby(events, key=lambda event: event in do):
            if in_guest:
                self.guest.shell("set -e; " + "; ".join(do[event] for event in group))
            elif do is _DO:
                self.service.start()
            else:
                self.service.stop()

    def looks_well(self) -> None:
        assert_no_complaints(self.guest.serial())  # of all its boots
        assert_kernel_is_well(self.guest.shell)


@pytest.fixture
def machine(make_vm: MakeVm, stopped: Live) -> Machine:
    [guest] = make_vm(disks=_DISKS)
    return Machine(guest, stopped)


# A detach is refused while swap is with the host, so swapoff goes before it.
_APART = (
    ("swapon", "transport", "mount", "service"),
    ("service", "mount", "swapon", "transport"),
    ("mount", "swapon", "service", "transport"),
)


@pytest.mark.timeout(_LIMIT_S)
def test_every_order_after_hooks(machine: Machine) -> None:
    """All 24 of mount, swapon, transport and service, in one boot."""
    machine.guest.shell("modprobe tmem_hooks")
    events = ("mount", "swapon", "transport", "service")
    orders = list(itertools.permutations(events))
    for number, order in enumerate(orders[:: sized(1, 7)]):
        machine.happens(order, _DO)
        assert machine.ask("works") == "works", order
        machine.happens(_APART[number % len(_APART)], _UNDO)
    machine.looks_well()


@pytest.mark.timeout(_LIMIT_S)
def test_hooks_come_last(machine: Machine) -> None:
    """After mount, swapon and service in each of their six orders, a boot for each."""
    orders = list(itertools.permutations(("mount", "swapon", "service")))
    for number, order in enumerate(orders[:: sized(1, 5)]):
        if number:
            machine.service.stop()
            machine.guest.vms.stop(machine.guest.name)
            machine.guest.vms.start(machine.guest.name)
            machine.booted()
        machine.happens((*order, "transport"), _DO)
        assert machine.ask("works") == "works", order
        machine.looks_well()


@pytest.mark.timeout(_LIMIT_S)
def test_backends_come_and_go_under_load(machine: Machine) -> None:
    """50 times while files are read, 20 times with pages of swap that have to come home first."""
    # slots that were freed may count as held for a while, so there is no swap at first
    machine.happens(("mount", "service", "transport"), _DO)
    detached, reads = map(int, re.findall(r"\d+", machine.ask(f"cycles {CYCLES}")))
    assert detached == CYCLES
    assert reads >= CYCLES
    machine.happens(("swapon",), _DO)
    *refusals, last = machine.ask(f"swap-cycles {SWAP_CYCLES}").splitlines()
    assert last == f"{SWAP_CYCLES} refused, {SWAP_CYCLES} counted"
    assert all(re.match(r"refused: .*, [1-9]\d* held", refusal) for refusal in refusals)
    assert machine.ask("works") == "works"
    machine.looks_well()
