# SPDX-License-Identifier: GPL-2.0-or-later
"""Where VMs keep their files."""

import os
import stat
from pathlib import Path

import pytest

from tmem_host.provision.vm.connection import SYSTEM, choose_places, choose_uri
from tmem_host.provision.vm.errors import BadName, VmError
from tmem_host.provision.vm.places import default_state, make_directory, places_at

# sun_path, with the zero at its end
SOCKET_PATH_BYTES = 108


def test_the_longest_state_has_room_for_every_socket(tmp_path: Path) -> None:
    length = next(n for n in range(200) if _too_long(n)) - 1
    places = places_at(Path("/" + "s" * (length - 1)))
    name = "n" * 32
    sockets = places.vm(name)
    for path in (
        sockets.console_socket,
        sockets.agent_socket,
        sockets.user_socket,
        sockets.kernel_socket,
        places.embed / f"lib/qemu/domain-99999-{name[:20]}/monitor.sock",
    ):
        assert len(str(path)) < SOCKET_PATH_BYTES


def _too_long(length: int) -> bool:
    try:
        places_at(Path("/" + "s" * max(0, length - 1)))
    except VmError as error:
        return "too long" in str(error)
    return False


def test_where_the_state_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMEM_VM_STATE", "/vms")
    assert default_state() == Path("/vms")
    monkeypatch.delenv("TMEM_VM_STATE")
    monkeypatch.setenv("XDG_STATE_HOME", "/state")
    assert default_state() == Path("/state/kvm-tmem")
    monkeypatch.setenv("XDG_STATE_HOME", "relative")
    monkeypatch.setenv("HOME", "/home/somebody")
    assert default_state() == Path("/home/somebody/.local/state/kvm-tmem")
    assert choose_places(SYSTEM).run == Path("/run/tmem/vm")


def test_which_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose_uri(None) == "qemu:///embed"
    monkeypatch.setenv("LIBVIRT_DEFAULT_URI", "qemu:///session")
    assert choose_uri(None) == "qemu:///session"
    assert choose_uri("qemu:///system") == "qemu:///system"


def test_names_do_not_leave_the_state(state: Path) -> None:
    for name in ("..", "a/b", "/etc", ""):
        with pytest.raises(BadName):
            places_at(state).vm(name)


def test_a_directory_for_a_group(state: Path) -> None:
    group = os.getgid()
    make_directory(state / "a/b", group=group)
    mode = (state / "a/b").stat()
    assert mode.st_gid == group
    assert stat.S_IMODE(mode.st_mode) == stat.S_ISGID | 0o750
    make_directory(state / "private")
    assert stat.S_IMODE((state / "private").stat().st_mode) == 0o700


def test_a_directory_that_cannot_be_made(state: Path) -> None:
    (state / "file").touch()
    with pytest.raises(VmError, match="cannot make the directory"):
        make_directory(state / "file/below")
