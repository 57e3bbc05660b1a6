# SPDX-License-Identifier: GPL-2.0-or-later
"""A service that has libvirt's embedded root open, and `tmem vm` as its client."""

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.provision.vm.skips import needs_libvirt, needs_qemu
from tests.service.live import Live
from tmem_host.control import CallRefused, Connection
from tmem_host.control.rpc import Response


@pytest.fixture
def host(stopped: Live, monkeypatch: pytest.MonkeyPatch) -> Iterator[Live]:
    """A service that follows the embedded driver over a state directory of the test's own."""
    needs_libvirt()
    needs_qemu()
    # short enough for sockets
    state = Path(tempfile.mkdtemp(prefix="tmem-", dir="/tmp"))
    monkeypatch.setenv("TMEM_VM_STATE", str(state))
    monkeypatch.setenv("TMEM_SOCKET", str(stopped.socket))
    monkeypatch.delenv("LIBVIRT_DEFAULT_URI", raising=False)
    stopped.write_config("[libvirt]\nuri = 'qemu:///embed'\n")
    stopped.start()
    Live.wait_for(lambda: any(e["kind"] == "libvirt-there" for e in stopped.call("events.recent")))
    yield stopped
    stopped.stop()
    shutil.rmtree(state)


def vm(live: Live, *line: str, status: int = 0) -> str:
    """What `tmem vm LINE` prints."""
    return live.tmem("vm", *line, status=status, socket=False)


def create(live: Live, *more: str, status: int = 0) -> str:
    kernel = live.folder / "kernel"
    kernel.write_bytes(b"not booted")
    return vm(
        live,
        *("create", "guest", "--no-start", "--kernel", str(kernel), "--initrd", str(kernel)),
        *more,
        status=status,
    )


def test_machines_are_made_and_removed_through_the_service(host: Live) -> None:
    assert "guest" in create(host, "--weight", "3")
    made = json.loads(vm(host, "list", "--json"))
    assert (made["name"], made["state"], made["settings"]["weight"]) == ("guest", "off", 3)
    assert vm(host, "set", "guest", "--cap", "1MiB") == ""
    assert "cap 1 MiB" in vm(host, "info", "guest")
    vm(host, "destroy", "guest")
    assert vm(host, "list", "--json") == ""


def test_what_goes_wrong_there_is_said_here(host: Live) -> None:
    assert "tmem: there is no VM nobody" in vm(host, "info", "nobody", status=1)
    create(host)
    assert "guest" in create(host, status=1)
    assert "not running" in vm(host, "stop", "guest", status=1)
    assert host.call("service.info")["libvirt"]["uri"] == "qemu:///embed"


def test_an_interrupted_create_leaves_nothing(host: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C while the service makes it; it is made, and removed again."""
    wait, calls = Connection._response, []

    def interrupted(self: Connection, request_id: int) -> Response:
        calls.append(request_id)
        # of the connection that makes the machine, the first answer
        if len(calls) == 2:
            raise KeyboardInterrupt
        return wait(self, request_id)

    monkeypatch.setattr(Connection, "_response", interrupted)
    assert "interrupted" in create(host, status=130)
    monkeypatch.undo()
    monkeypatch.setenv("TMEM_SOCKET", str(host.socket))
    assert [info["name"] for info in host.call("vm.call", name="vms", arguments={})] == []


def test_a_machine_outlives_the_service(host: Live) -> None:
    create(host)
    host.stop()
    host.start()
    Live.wait_for(lambda: "libvirt-there" in str(host.call("events.recent")))
    assert "guest" in vm(host, "list")
    vm(host, "destroy", "guest")


def test_without_libvirt_configured_the_service_says_so(live: Live) -> None:
    with pytest.raises(CallRefused, match="no libvirt connection is configured"):
        live.call("vm.call", name="vms", arguments={})
