# SPDX-License-Identifier: GPL-2.0-or-later
"""A service with an embedded libvirt root of its own, and a guest `web` in it. Every command is one
that a user types.

A test module that uses a fixture imports it, and those that it needs: `host` and `stopped`.
"""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.service.conftest import stopped as _stopped
from tests.service.live import Live
from tests.vm.flavour import DEBUG, KERNEL_ARGUMENTS, sized
from tests.vm.flavour import memory_mib as of_flavour
from tmem_host.provision.agent import Agent
from tmem_host.provision.image import Image
from tmem_host.provision.kernel import Kernel
from tmem_host.provision.vm.connection import EMBED, choose_places
from tmem_host.provision.vm.info import DiskCounters
from tmem_host.provision.vm.remote import open_provisioner
from tmem_host.provision.vm.spec import VmSpec

stopped = _stopped
EMBEDDED = "[libvirt]\nuri = 'qemu:///embed'\n"
_LIMIT_S = sized(300.0, 1500.0)


@pytest.fixture
def host(
    stopped: Live, kernel: Kernel, image: Image, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Live]:
    """The service, without guests; what the test makes in it is gone afterwards."""
    state = Path(tempfile.mkdtemp(prefix="tmem-", dir="/var/tmp"))
    monkeypatch.setenv("TMEM_VM_STATE", str(state))
    monkeypatch.setenv("TMEM_SOCKET", str(stopped.socket))
    monkeypatch.delenv("LIBVIRT_DEFAULT_URI", raising=False)
    stopped.write_config(EMBEDDED)
    start(stopped)
    yield stopped
    if '"name"' in stopped.tmem("vm", "list", "--json", socket=False):
        stopped.tmem("vm", "destroy", "--all", socket=False)
    stopped.stop()
    shutil.rmtree(state)


@pytest.fixture
def service(host: Live) -> Live:
    """The same with a guest `web` that answers; it has an empty disk `disk` of 64 MiB."""
    create(host, "web", "--weight", "5", "--disk", "disk:size=64MiB")
    return host


def create(service: Live, guest: str, *options: str, memory_mib: int = VmSpec.memory_mib) -> None:
    """Makes a guest by `tmem vm create`, and waits until its kernel has a session."""
    if DEBUG:
        options = ("--debug", *options)
    memory = ("--memory", f"{of_flavour(memory_mib)}MiB")
    options = (*memory, "--append", KERNEL_ARGUMENTS, *options)
    service.tmem("vm", "create", guest, "--limit", "300", *options, socket=False)
    if "--no-tmem" not in options:
        Live.wait_for(lambda: service.call("client.info", client=guest)["state"] == "active")


def disk_counters(guest: str) -> dict[str, DiskCounters]:
    """What QEMU has counted for each disk of a guest."""
    with open_provisioner(None, None) as vms:
        return vms.disk_counters(guest)


def start(service: Live) -> None:
    """Starts it and waits until it follows the domains."""
    service.start()
    Live.wait_for(lambda: "libvirt-there" in str(service.call("events.recent")))


def in_guest(script: str, guest: str = "web") -> str:
    """What a shell in the guest prints; it must succeed. Works while the service is away, too: the
    guest's own socket is all that it takes."""
    with Agent(choose_places(EMBED).vm(guest).agent_socket, guest=guest) as agent:
        result = agent.exec(["sh", "-e", "-c", script], limit_s=_LIMIT_S)
    assert result.ok, result
    return result.stdout.decode()
