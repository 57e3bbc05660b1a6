# SPDX-License-Identifier: GPL-2.0-or-later
"""The whole way of a page: a guest's program, its virtio-serial port, QEMU, the service, the arena;
and the service is killed in between. Every command is one that a user types."""

import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.service.conftest import stopped as _stopped
from tests.service.live import Live
from tests.vm.guest import Guest
from tmem_host.provision.image import Image
from tmem_host.provision.kernel import Kernel
from tmem_host.provision.vm.remote import open_provisioner

stopped = _stopped
PAGES = 64


@pytest.fixture
def service(
    stopped: Live, kernel: Kernel, image: Image, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Live]:
    """A service that has an embedded root of its own, with a guest `web` in it."""
    state = Path(tempfile.mkdtemp(prefix="tmem-", dir="/var/tmp"))
    monkeypatch.setenv("TMEM_VM_STATE", str(state))
    monkeypatch.setenv("TMEM_SOCKET", str(stopped.socket))
    monkeypatch.delenv("LIBVIRT_DEFAULT_URI", raising=False)
    stopped.write_config("[libvirt]\nuri = 'qemu:///embed'\n")
    start(stopped)
    stopped.tmem("vm", "create", "web", "--limit", "300", "--weight", "5", socket=False)
    yield stopped
    stopped.tmem("vm", "destroy", "web", socket=False)
    stopped.stop()
    shutil.rmtree(state)


def start(service: Live) -> None:
    """Starts it and waits until it follows the domains."""
    service.start()
    Live.wait_for(lambda: "libvirt-there" in str(service.call("events.recent")))


def in_guest(script: str) -> str:
    """What a shell in the guest prints; it must succeed."""
    with open_provisioner(None, None) as vms:
        return Guest(vms, "web").shell(script)


def test_pages_of_a_guest_outlive_the_service(service: Live) -> None:
    assert "the host answers" in in_guest("tmem-guest ping --timeout 60")
    in_guest(
        f"head -c {PAGES * 4096} /dev/urandom > /tmp/f;"
        " tmem-guest put --timeout 60 --persistent 7 0 /tmp/f",
    )
    pages = {client["name"]: client["persistent_pages"] for client in service.call("client.list")}
    assert pages == {"web": 0, "web/user": PAGES}
    service.stop(signal.SIGKILL)
    start(service)
    in_guest(
        f"tmem-guest get --timeout 60 --persistent --pages {PAGES} --output /tmp/g 7 0"
        " && cmp /tmp/f /tmp/g",
    )
    kinds = [event["kind"] for event in service.call("events.recent")]
    assert "session-resumed" in kinds
    assert "session-started" not in kinds


def test_a_guest_that_is_gone_leaves_nothing(service: Live) -> None:
    in_guest("head -c 8192 /dev/urandom | tmem-guest put --timeout 60 --persistent 7 0")
    service.tmem("vm", "stop", "--force", "web", socket=False)
    Live.wait_for(lambda: service.call("arena.usage")["persistent_pages"] == 0)
    assert service.call("client.info", client="web/user")["state"] == "none"
