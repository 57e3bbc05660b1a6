# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest in whose kernel mounts, swap areas, the transport and the service come and go.

The service is a process of the test's own, apart from what keeps the guests, and connects to the
guest's channel as an operator would have it do. A test module that uses the fixture `machine`
imports it, and `stopped`.
"""

import itertools
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.service.conftest import stopped as _stopped
from tests.service.live import Live
from tests.vm.conftest import MakeVm
from tests.vm.flavour import assert_kernel_is_well, assert_no_complaints
from tests.vm.guest import Guest
from tmem_host.provision.vm.spec import Disk

stopped = _stopped

_SCRIPT = Path(__file__).with_name("in_guest_life.py")
_DISKS = (Disk(name="files", size_bytes=64 << 20), Disk(name="swap", size_bytes=64 << 20))
FILES, SWAP = "/dev/disk/by-serial/files", "/dev/disk/by-serial/swap"
_SET_UP = f"""
mkfs.ext4 -q -F -b 4096 {FILES} && mkswap -q {SWAP} && mount {FILES} /mnt
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
_IN_GUEST = "PYTHONPATH=/tmem/python python3 /run/life.py "
LIMIT_S = 1200.0

DO = {
    "mount": f"mount {FILES} /mnt",
    "swapon": f"swapon {SWAP}",
    "transport": "modprobe tmem_transport device=$(cat /run/device)",
}
UNDO = {
    "mount": "umount /mnt",
    "swapon": f"swapoff {SWAP}",
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
        return self.guest.shell(_IN_GUEST + what, limit_s=LIMIT_S).strip()

    def begin(self, what: str, until: str) -> None:
        """Goes on when the file `until` is there, which what goes on, too, makes."""
        self.guest.shell(
            f"{_IN_GUEST}{what} </dev/null >/run/{what}.log 2>&1 &"
            f" until [ -e {until} ]; do sleep 0.1; done"
        )

    def happens(self, events: Iterable[str], do: dict[str, str]) -> None:
        """Each after the one before it; those in the guest that follow one another at once."""
        for in_guest, group in itertools.groupby(events, key=lambda event: event in do):
            if in_guest:
                self.guest.shell("set -e; " + "; ".join(do[event] for event in group))
            elif do is DO:
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
