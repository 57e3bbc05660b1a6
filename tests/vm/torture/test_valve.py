# SPDX-License-Identifier: GPL-2.0-or-later
"""What a guest says is held back and arrives later; what the host says passes."""

import socket
from pathlib import Path

import pytest

from tests.vm.torture.valve import Valve

_LIMIT_S = 60


def test_held_back_and_let_go(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening, socket.socket(socket.AF_UNIX) as host:
        listening.bind(str(tmp_path / "channel"))
        listening.listen()
        valve = Valve(tmp_path / "valve", tmp_path / "channel")
        host.settimeout(_LIMIT_S)
        host.connect(str(valve.path))
        guest, _ = listening.accept()
        with guest:
            guest.settimeout(_LIMIT_S)
            guest.sendall(b"one")
            assert host.recv(10) == b"one"
            valve.shut()
            guest.sendall(b"two")
            host.sendall(b"passes")
            assert guest.recv(10) == b"passes"
            host.settimeout(0.3)
            with pytest.raises(TimeoutError):
                host.recv(10)
            valve.open()
            host.settimeout(_LIMIT_S)
            assert host.recv(10) == b"two"
            valve.close()
            assert guest.recv(10) == b""


def test_without_a_guest_the_host_is_hung_up_on(tmp_path: Path) -> None:
    valve = Valve(tmp_path / "valve", tmp_path / "channel")
    for _ in range(2):
        with socket.socket(socket.AF_UNIX) as host:
            host.settimeout(_LIMIT_S)
            host.connect(str(valve.path))
            assert host.recv(10) == b""
    valve.close()
