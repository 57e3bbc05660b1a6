# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest that shares a pool, and whose kernel reboots or panics: it says that it makes no more
echoes, and makes none (R-c)."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.service.conftest import stopped as _stopped
from tests.service.live import Live
from tests.vm.conftest import MakeVm
from tests.vm.guest import Guest
from tmem_host.provision.vm import cluster
from tmem_host.provision.vm.errors import GuestPanicked
from tmem_host.provision.vm.spec import Disk

stopped = _stopped

_SAID = "tmem: no more echoes to the host: it takes this guest out of its shared pools"
_BOOT_BEGINS = "Linux version "
_BOOT_LIMIT_S = 300.0
# QEMU, which would stop the guest's processors, does not hear of a panic, and the kernel goes on in
# its last loop, with interrupts.
_UNHEARD = """
for device in /sys/bus/*/devices/QEMU0001:00; do
	[ ! -e "$device/driver" ] || basename "$device" > "$device/driver/unbind"
done
"""


def _session(service: Live) -> Any:
    return service.call("client.info", client="web")["session"]


def _shares(service: Live, guest: Guest, disk: Disk) -> None:
    """The guest mounts the disk, and keeps its part in a pool by echoes."""
    cluster.mount(guest, disk.name)
    Live.wait_for(lambda: _session(service)["shared_pools"] == 1)
    Live.wait_for(lambda: _session(service)["echo_age_ns"] is not None)


def test_a_reboot_and_a_panic(
    make_vm: MakeVm, shared_disk: Callable[..., Disk], stopped: Live
) -> None:
    disk = shared_disk()
    assert disk.path is not None
    cluster.make_file_system(disk.path, nodes=1)
    [guest] = make_vm(
        "node1",
        disks=(disk,),
        networks=("cluster",),
        modules=cluster.MODULES,
        cluster=cluster.cluster_on(disk.name, 1),
        tmem=True,
    )
    connect = f"[clients.web]\nconnect = '{guest.places.kernel_socket}'\n"
    stopped.write_config(connect, server="lease = '1s'\nexpel = '10s'\n")
    stopped.start()
    _shares(stopped, guest, disk)
    epoch = _session(stopped)["epoch"]
    guest.shell("(sleep 1; busybox reboot -f) </dev/null >/dev/null 2>&1 &")
    Live.wait_for(lambda: _session(stopped)["epoch"] > epoch)
    assert _session(stopped)["shared_pools"] == 0
    *_, before, _after = guest.serial().split(_BOOT_BEGINS)
    assert before.count(_SAID) == 1

    guest.vms.wait(guest.name, _BOOT_LIMIT_S)
    _shares(stopped, guest, disk)
    guest.shell(_UNHEARD)
    with pytest.raises(GuestPanicked, match="sysrq triggered crash"):
        guest.shell("echo c > /proc/sysrq-trigger; sleep 600")
    Live.wait_for(lambda: _SAID in guest.serial().rpartition(_BOOT_BEGINS)[2])
    assert guest.info().state == "running"
    Live.wait_for(lambda: _session(stopped)["state"] == "expelled")
    assert guest.info().state == "running"
