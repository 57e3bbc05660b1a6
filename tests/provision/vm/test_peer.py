# SPDX-License-Identifier: GPL-2.0-or-later
"""Who is at the other end of a socket, and a guest's resident memory."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from tmem_host.provision.vm.errors import VmError
from tmem_host.provision.vm.peer import WrongPeer, check_peer, guest_resident_bytes

# Listens at argv[1] with a guest's memory of 8 MiB, of which it uses 3.
STAND_IN = """
import mmap, os, socket, sys
memory = os.memfd_create("memory-backend-memfd")
os.truncate(memory, 8 << 20)
mapped = mmap.mmap(memory, 8 << 20)
for page in range(3 << 8):
    mapped[page << 12] = 1
server = socket.socket(socket.AF_UNIX)
server.bind(sys.argv[1])
server.listen()
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def listener(state: Path) -> Iterator[tuple[int, socket.socket]]:
    """Another process, and a connection to it."""
    path = state / "user.sock"
    process = subprocess.Popen(
        [sys.executable, "-c", STAND_IN, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdin is not None
    process.stdout.readline()
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(path))
        yield process.pid, connection
    process.stdin.close()
    process.stdout.close()
    process.wait()


def test_the_pid_file_decides(listener: tuple[int, socket.socket], state: Path) -> None:
    pid, connection = listener
    pid_file = state / "guest.pid"
    pid_file.write_text(f"{pid}")
    peer = check_peer(connection, uuid4(), pid_file)
    assert (peer.pid, peer.uid) == (pid, os.geteuid())
    pid_file.write_text(f"{pid + 1}")
    with pytest.raises(WrongPeer, match=f"process {pid} listens on .*user.sock"):
        check_peer(connection, uuid4(), pid_file)


@pytest.mark.parametrize("contents", [None, "", "nonsense"])
def test_without_a_pid_nobody_is_trusted(
    listener: tuple[int, socket.socket], state: Path, contents: str | None
) -> None:
    pid_file = state / "guest.pid"
    if contents is not None:
        pid_file.write_text(contents)
    with pytest.raises(WrongPeer, match="cannot tell the QEMU"):
        check_peer(listener[1], uuid4(), pid_file)


def test_who_may_not_read_the_pid_looks_at_the_command_line(
    listener: tuple[int, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_path: Path) -> str:
        raise PermissionError

    monkeypatch.setattr(Path, "read_text", refuse)
    with pytest.raises(WrongPeer, match="does not look like QEMU"):
        check_peer(listener[1], uuid4(), Path("/unreadable.pid"))


def test_resident_memory(listener: tuple[int, socket.socket]) -> None:
    assert guest_resident_bytes(listener[0]) == 3 << 20


def test_resident_memory_of_what_is_no_guest() -> None:
    with pytest.raises(VmError, match="has no guest memory"):
        guest_resident_bytes(os.getpid())
    with pytest.raises(VmError, match="cannot read the memory of process"):
        guest_resident_bytes(2**22 + 1)
