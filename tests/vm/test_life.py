# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest's life: from nothing to running, through what may happen to it, and back to nothing."""

import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from tests.provision.vm.recorder import Recorder
from tests.vm.conftest import MakeVm
from tmem_host.peers import peer_of
from tmem_host.provision.kernel import Kernel
from tmem_host.provision.vm.errors import (
    GuestFailed,
    GuestLost,
    GuestPanicked,
    GuestSilent,
    Refused,
    VmExists,
    WrongState,
)
from tmem_host.provision.vm.lifecycle import Ending, Rewind
from tmem_host.provision.vm.peer import check_peer, guest_resident_bytes, pid_file
from tmem_host.provision.vm.places import Places
from tmem_host.provision.vm.policy import PersistentPages
from tmem_host.provision.vm.probe import boot_once
from tmem_host.provision.vm.provisioner import Provisioner
from tmem_host.provision.vm.settings import TmemSettings
from tmem_host.provision.vm.spec import IO_PROFILES, Disk, DiskFormat, VmSpec


def told(lifecycle: Recorder, name: str, *expected: str) -> list[tuple[Any, ...]]:
    """The calls about a guest that are expected, in order; libvirt may tell more between them."""
    deadline = time.monotonic() + 60
    while True:
        calls = iter([call for call in lifecycle.calls if call[1] == name])
        found = [call for what in expected for call in _first(calls, what)]
        if len(found) == len(expected):
            lifecycle.take()
            return found
        assert time.monotonic() < deadline, lifecycle.calls
        time.sleep(0.05)


def _first(calls: Iterator[tuple[Any, ...]], what: str) -> list[tuple[Any, ...]]:
    return next(([call] for call in calls if call[0] == what), [])


def connect(path: Path) -> socket.socket:
    channel = socket.socket(socket.AF_UNIX)
    channel.connect(str(path))
    return channel


def test_the_probes_guest_runs(kernel: Kernel) -> None:
    """So that where it does not run by KVM, KVM is to blame."""
    output, failure = boot_once(kernel.image, "tcg", 120)
    assert failure is None
    assert b"kvm-tmem: a guest runs" in output


def test_what_a_guest_has(make_vm: MakeVm, lifecycle: Recorder, vms: Provisioner) -> None:
    lifecycle.take()
    settings = TmemSettings(weight=3, cap_bytes=1 << 20)
    [guest] = make_vm(
        "whole",
        settings=settings,
        disks=(
            Disk(name="raw", size_bytes=8 << 20, io=IO_PROFILES["contended"]),
            Disk(name="cow", size_bytes=8 << 20, format=DiskFormat.QCOW2),
        ),
        modules=("ocfs2",),
    )
    assert guest.run("hostname") == "whole\n"
    guest.shell("for disk in raw cow; do echo $disk > /dev/disk/by-serial/$disk; done")
    assert guest.shell("head -c3 /dev/disk/by-serial/raw /dev/disk/by-id/virtio-cow")
    ports = guest.run("ls", "/dev/virtio-ports").split()
    assert ports == ["org.kvmtmem.0", "org.kvmtmem.agent.0", "org.kvmtmem.kernel.0"]
    assert "ocfs2 " in guest.run("cat", "/proc/modules")
    # one controller drives agent and user space, another nothing but the kernel's port
    devices = guest.shell("cd /sys/class/virtio-ports; readlink -f vport*/device | sort | uniq -c")
    assert [line.split()[0] for line in devices.splitlines()] == ["2", "1"]

    [(_, _, start)] = told(lifecycle, "whole", "started")
    assert start.channels.user == guest.places.user_socket
    assert start.channels.kernel == guest.places.kernel_socket
    assert (start.settings, start.problem) == (settings, None)
    assert start.qemu_pid == guest.pid()
    vms.set("whole", TmemSettings(weight=4))
    assert told(lifecycle, "whole", "settings_changed")[0][2] == TmemSettings(weight=4)


def test_channels_belong_to_the_domains_qemu(make_vm: MakeVm, vms: Provisioner) -> None:
    guest, other = make_vm(count=2)
    uuid = UUID(guest.info().uuid)
    ours = pid_file(vms.uri, vms.places, guest.name)
    for path in (guest.places.user_socket, guest.places.kernel_socket):
        with connect(path) as channel:
            assert check_peer(channel, uuid, ours).pid == guest.pid()
    with connect(other.places.user_socket) as channel:
        assert peer_of(channel).pid == other.pid() != guest.pid()
    # what is sent on the channel comes out of the port
    with connect(guest.places.user_socket) as channel:
        guest.shell("printf 'from the guest' > /dev/virtio-ports/org.kvmtmem.0")
        assert channel.recv(64) == b"from the guest"


def test_memory_is_resident_as_it_is_used(make_vm: MakeVm) -> None:
    [guest] = make_vm()
    before = guest_resident_bytes(guest.pid())
    guest.shell("head -c 64M /dev/zero | tr '\\0' x > /dev/shm/x")
    after = guest_resident_bytes(guest.pid())
    assert after - before >= 48 << 20
    assert after <= 256 << 20
    assert guest.info().resident_bytes is not None


def test_stop_and_start_keep_the_overlay(make_vm: MakeVm, vms: Provisioner) -> None:
    [guest] = make_vm("kept")
    guest.shell("echo kept > /root/file")
    first = guest.boot_id()
    with pytest.raises(WrongState, match="is running already"):
        vms.start("kept")
    vms.stop("kept")
    assert vms.info("kept").state == "off"
    with pytest.raises(WrongState, match="is not running"):
        vms.stop("kept")
    vms.start("kept")
    assert guest.boot_id() != first
    assert guest.run("cat", "/root/file") == "kept\n"


def test_a_name_is_taken_once(make_vm: MakeVm, vms: Provisioner, kernel: Kernel) -> None:
    [guest] = make_vm("taken")
    with pytest.raises(VmExists, match="there is a VM taken already"):
        vms.create(VmSpec(name="taken", kernel=kernel.image))
    assert guest.run("hostname") == "taken\n"


def test_turns_of_a_life_are_told(
    make_vm: MakeVm, vms: Provisioner, lifecycle: Recorder, disk_directory: Path
) -> None:
    lifecycle.take()
    [guest] = make_vm("turns")
    told(lifecycle, "turns", "started")
    before = guest.boot_id()

    vms.pause("turns")
    assert vms.info("turns").state == "paused"
    vms.start("turns")
    told(lifecycle, "turns", "paused", "resumed")
    vms.reset("turns")
    told(lifecycle, "turns", "reset")
    vms.wait("turns", 300)
    assert guest.boot_id() != before

    # what tmem refuses and virsh does all the same
    saved = disk_directory / "saved"
    with pytest.raises(Refused, match="nobody can tell"):
        vms.save("turns", saved)
    domain = vms._domain("turns")
    domain.save(str(saved))
    assert told(lifecycle, "turns", "stopped")[0][2] is Ending.SAVED
    vms.restore(saved)
    calls = told(lifecycle, "turns", "started", "rewound")
    assert calls[1][2] is Rewind.RESTORED
    assert guest.run("hostname") == "turns\n"
    vms.managed_save("turns", force=True)
    assert told(lifecycle, "turns", "stopped")[0][2] is Ending.SAVED
    vms.start("turns", wait=False)
    assert told(lifecycle, "turns", "started", "rewound")[1][2] is Rewind.RESTORED

    vms.stop("turns", force=True)
    assert told(lifecycle, "turns", "stopped")[0][2] is Ending.DESTROYED


def test_pages_in_tmem_refuse_a_save(make_vm: MakeVm, places: Places, tmp_path: Path) -> None:
    class Holding(PersistentPages):
        def persistent_pages(self, domain: UUID) -> int:
            return 17 if str(domain) == uuid else 0

    [guest] = make_vm("holds")
    uuid = guest.info().uuid
    with Provisioner(uri="qemu:///embed", places=places, pages=Holding()) as vms:
        refused = pytest.raises(Refused, match="17 swap pages of it are in tmem")
        with refused:
            vms.save("holds", tmp_path / "saved", force=True)
        with refused:
            vms.managed_save("holds", force=True)
        with refused:
            vms.snapshot("holds", "s", force=True)
        with refused:
            vms.migrate("holds", "qemu+unix:///session", force=True)
    assert guest.run("hostname") == "holds\n"


def test_a_panic_is_its_own_failure(make_vm: MakeVm, lifecycle: Recorder) -> None:
    [guest] = make_vm("panics")
    lifecycle.take()
    with pytest.raises(GuestPanicked, match="the guest panics panicked: Kernel panic - not sync"):
        guest.shell("echo c > /proc/sysrq-trigger; sleep 600")
    calls = told(lifecycle, "panics", "panicked", "stopped")
    assert calls[1][2] is Ending.CRASHED


def test_a_lost_vm_is_its_own_failure(make_vm: MakeVm, lifecycle: Recorder) -> None:
    [guest] = make_vm("lost")
    lifecycle.take()
    os.kill(guest.pid(), signal.SIGKILL)
    with pytest.raises(GuestLost, match="the guest lost is gone: "):
        guest.run("true")
    assert told(lifecycle, "lost", "stopped")[0][2] is Ending.FAILED


@pytest.mark.parametrize(
    ("arguments", "limit_s", "failed"),
    [
        ("init=/nonexistent", 300, (GuestPanicked, "panicked: Kernel panic - not syncing")),
        ("init=/bin/busybox -- poweroff -f", 300, (GuestLost, "is gone: the guest shut down")),
        ("init=/bin/busybox -- sleep 1000", 5, (GuestSilent, "did not answer within 5 s")),
    ],
)
def test_a_guest_that_does_not_come_up(
    vms: Provisioner,
    guest_defaults: dict[str, Any],
    arguments: str,
    limit_s: float,
    failed: tuple[type[GuestFailed], str],
) -> None:
    spec = VmSpec(name="fails", kernel_arguments=arguments, **guest_defaults)
    with pytest.raises(failed[0], match=failed[1]) as raised:
        vms.create(spec, boot_limit_s=limit_s)
    log = raised.value.log
    assert log is not None
    assert log.parent == vms.places.failed
    assert "Linux version 5.10" in log.read_text(errors="replace")
    assert str(log) in str(raised.value)
    assert "fails" not in {info.name for info in vms.vms()}
    assert not vms.places.vm("fails").files.exists()
