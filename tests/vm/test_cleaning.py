# SPDX-License-Identifier: GPL-2.0-or-later
"""Nothing is left: after many lives, after Ctrl-C at any moment, after a killed command."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tmem_host.provision.vm.provisioner import Provisioner
from tmem_host.provision.vm.spec import VmSpec

# Of all VMs together, made once.
_OURS = {"lock", "libvirt.log", "networks/lock", "embed/run/qemu/driver.pid"}
_LIBVIRTS = ("embed/cache", "embed/etc/qemu.conf", "embed/run/qemu/autostarted")


def left(state: Path) -> list[str]:
    """The files, sockets and processes of VMs below a state directory, and libvirt's own."""
    files = {str(path.relative_to(state)) for path in state.rglob("*") if not path.is_dir()}
    kept = {name for name in files - _OURS if not name.startswith(_LIBVIRTS)}
    directories = {
        str(path.relative_to(state))
        for parent in ("vms", "run", "embed/lib/qemu/channel/target", "embed/lib/qemu/ram")
        if (state / parent).is_dir()
        for path in (state / parent).iterdir()
    }
    sockets = [
        line for line in Path("/proc/net/unix").read_text().splitlines() if str(state) in line
    ]
    return sorted(kept | directories) + sockets + processes(state)


def processes(state: Path) -> list[str]:
    """The QEMUs that have to do with a state directory."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if b"qemu" in words[0] and any(os.fsencode(state) in word for word in words):
            found.append(" ".join(map(os.fsdecode, words[:3])))
    return found


def test_ten_lives(vms: Provisioner, guest_defaults: dict[str, Any]) -> None:
    before = left(vms.places.state)
    for life in range(10):
        spec = VmSpec(name="again", networks=("lan",), **guest_defaults)
        # some are ended when they answer, some as they boot
        vms.create(spec, wait=life % 3 == 0)
        assert left(vms.places.state) != before
        vms.destroy("again")
        assert vms.vms() == []
    assert left(vms.places.state) == before


class Command:
    """`tmem vm` in another process, with a state directory of its own."""

    def __init__(self, state: Path, create: list[str]) -> None:
        self.state = state
        self.environment = os.environ | {"TMEM_VM_STATE": str(state)}
        self._create = create

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """To its end."""
        return subprocess.run(
            self._words(*words), env=self.environment, capture_output=True, text=True, check=False
        )

    def create(self, *names: str) -> subprocess.Popen[str]:
        """Begins to make VMs."""
        return subprocess.Popen(
            self._words("create", *names, *self._create),
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def _words(self, *words: str) -> list[str]:
        return [str(Path(sys.executable).with_name("tmem")), "vm", *words]


@pytest.fixture
def command(guest_defaults: dict[str, Any]) -> Iterator[Command]:
    state = Path(tempfile.mkdtemp(prefix="tmem-vm-", dir="/var/tmp"))
    guest = ["--kernel", str(guest_defaults["kernel"]), "--image", str(guest_defaults["base"])]
    command = Command(state, [*guest, "--tcg", "--network", "lan"])
    yield command
    command.run("destroy", "--all")
    shutil.rmtree(state)


def until(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while not condition() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupt_while_guests_boot(command: Command, number: signal.Signals) -> None:
    process = command.create("a", "b")
    until(lambda: len(processes(command.state)) == 2, process)
    process.send_signal(number)
    # the second does not disturb the tidying up
    time.sleep(0.05)
    process.send_signal(number)
    _, complaint = process.communicate()
    assert (process.returncode, complaint.splitlines()[-1]) == (130, "tmem: interrupted")
    assert left(command.state) == []


def test_an_interrupt_at_any_moment(command: Command) -> None:
    for tenths in range(1, 20, 2):
        process = command.create("a")
        time.sleep(tenths / 10)
        process.send_signal(signal.SIGINT)
        _, complaint = process.communicate()
        # before Python is up, the signal ends it at once, or Python says that it does not come up
        early = process.returncode == -signal.SIGINT or "init_import_site" in complaint
        assert process.returncode == 130 or early, complaint
        assert processes(command.state) == []
        assert [name for name in left(command.state) if name != "vms/a"] == []
    # even what an interrupt of its very first moments leaves is gone with the next command
    assert command.run("list").stdout == ""
    assert left(command.state) == []


def test_vms_that_outlive_their_maker_are_found(command: Command) -> None:
    process = command.create("survivor")
    log = command.state / "vms/survivor/serial.log"
    until(lambda: log.exists() and log.stat().st_size > 0, process)
    process.kill()
    process.communicate()
    assert "survivor  running" in command.run("list").stdout
    deadline = time.monotonic() + 300
    while command.run("exec", "survivor", "true").returncode != 0:
        assert time.monotonic() < deadline
    assert command.run("stop", "survivor").returncode == 0
    assert "survivor  off" in command.run("list").stdout
    assert command.run("destroy", "survivor").returncode == 0
    assert left(command.state) == []


def test_a_maker_killed_at_any_moment_leaves_no_half_vm(command: Command) -> None:
    for tenths in range(3, 12, 2):
        process = command.create("a")
        time.sleep(tenths / 10)
        process.kill()
        process.communicate()
        # whole or not at all
        for name in command.run("list").stdout.splitlines()[1:]:
            assert name.startswith("a ")
            assert command.run("destroy", "a").returncode == 0
        assert left(command.state) == []
