# SPDX-License-Identifier: GPL-2.0-or-later
"""A service with an embedded libvirt root of its own, and a guest `web` in it. Every command is one
that a user types.

A test module that uses the fixture imports `service` and `stopped`.
"""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.service.conftest import stopped as _stopped
from tests.service.live import Live
from tmem_host.provision.agent import Agent
from tmem_host.provision.image import Image
from tmem_host.provision.kernel import Kernel
from tmem_host.provision.vm.connection import EMBED, choose_places

stopped = _stopped
_LIMIT_S = 300.0


@pytest.fixture
def service(
    stopped: Live, kernel: Kernel, image: Image, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Live]:
    """The service, with the guest that answers; it has an empty disk `disk` of 64 MiB."""
    state = Path(tempfile.mkdtemp(prefix="tmem-", dir="/var/tmp"))
    monkeypatch.setenv("TMEM_VM_STATE", str(state))
    monkeypatch.setenv("TMEM_SOCKET", str(stopped.socket))
    monkeypatch.delenv("LIBVIRT_DEFAULT_URI", raising=False)
    stopped.write_config("[libvirt]\nuri = 'qemu:///embed'\n")
    start(stopped)
    create = ("vm", "create", "web", "--limit", "300", "--weight", "5", "--disk", "disk:size=64MiB")
    stopped.tmem(*create, socket=False)
    yield stopped
    stopped.tmem("vm", "destroy", "web", socket=False)
    stopped.stop()
    shutil.rmtree(state)


def start(service: Live) -> None:
    """Starts it and waits until it follows the domains."""
    service.start()
    Live.wait_for(lambda: "libvirt-there" in str(service.call("events.recent")))


def in_guest(script: str) -> str:
    """What a shell in the guest prints; it must succeed. Works while the service is away, too: the
    guest's own socket is all that it takes."""
    with Agent(choose_places(EMBED).vm("web").agent_socket, guest="web") as agent:
        result = agent.exec(["sh", "-e", "-c", script], limit_s=_LIMIT_S)
    assert result.ok, result
    return result.stdout.decode()
