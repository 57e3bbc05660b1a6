# SPDX-License-Identifier: GPL-2.0-or-later
"""Connections: one process at a time for the embedded driver, sentences for what goes wrong."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.provision.vm.skips import needs_qemu
from tmem_host.provision.vm.bindings import libvirt
from tmem_host.provision.vm.connection import _cure, connected
from tmem_host.provision.vm.errors import LibvirtFailed
from tmem_host.provision.vm.places import places_at

LIST = """
from tmem_host.provision.vm.provisioner import Provisioner
with Provisioner(patience_s=PATIENCE) as vms:
    print([info.name for info in vms.vms()], flush=True)
"""
HOLD = LIST + "import sys; sys.stdin.read()"


class Process:
    """Another process that opens the VMs; one process can open only one root in its life."""

    def __init__(self, program: str, patience_s: float = 20) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", program.replace("PATIENCE", str(patience_s))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.pid = self._process.pid

    def line(self) -> str:
        """What it says next."""
        assert self._process.stdout is not None
        return self._process.stdout.readline()

    def end(self) -> tuple[int, str]:
        """Its status, and what it complained of."""
        _, complaint = self._process.communicate("")
        return self._process.returncode, complaint

    def kill(self) -> None:
        """Without a chance to tidy up."""
        self._process.kill()
        self._process.communicate()


@pytest.fixture
def holder(state: Path) -> Iterator[Process]:
    needs_qemu()
    process = Process(HOLD)
    assert process.line() == "[]\n"
    yield process
    process.kill()


def test_running_twice(holder: Process, state: Path) -> None:
    status, complaint = Process(LIST, patience_s=0.2).end()
    assert status == 1
    # it has closed them, which is not enough
    assert re.search(
        rf"Busy: process {holder.pid} \(.*\) has the VMs below {state} open, .* until it ends;",
        complaint,
    )
    assert holder.end()[0] == 0


def test_the_next_one_waits_for_its_turn(holder: Process) -> None:
    patient = Process(LIST)
    assert holder.end()[0] == 0
    assert patient.line() == "[]\n"
    assert patient.end() == (0, "")


def test_a_killed_holder_is_in_nobodys_way(holder: Process) -> None:
    holder.kill()
    assert Process(LIST, patience_s=5).end() == (0, "")


def test_what_was_half_made_is_removed(state: Path) -> None:
    needs_qemu()
    places = places_at(state)
    places.vm("half").files.mkdir(parents=True)
    places.vm("half").overlay.touch()
    # and what libvirt has forgotten
    forgotten = places.embed / "lib/qemu/domain-1-half"
    forgotten.mkdir(parents=True)
    assert Process(LIST).end() == (0, "")
    assert not places.vm("half").files.exists()
    assert not forgotten.exists()


def test_the_configuration_of_the_root(holder: Process, state: Path) -> None:
    conf = (state / "embed/etc/qemu.conf").read_text()
    assert ('user = "root"' in conf) == (os.geteuid() == 0)
    assert (state / "lock").read_text() == str(holder.pid)


def test_no_such_connection(state: Path) -> None:
    with (
        pytest.raises(LibvirtFailed, match="cannot connect to qemu:///nonsense: "),
        connected("qemu:///nonsense", places_at(state)),
    ):
        pytest.fail("connected")


class _Error(libvirt.libvirtError):  # type: ignore[misc]
    def __init__(self, message: str) -> None:
        Exception.__init__(self, message)


@pytest.mark.parametrize(
    ("message", "cure"),
    [
        ("Failed to parse user 'libvirt-qemu'", "useradd --system --uid 64055"),
        ("no connection driver available for qemu:///embed", "libvirt-daemon-driver-qemu"),
    ],
)
def test_messages_come_with_their_cure(message: str, cure: str) -> None:
    assert cure in _cure(_Error(message))
