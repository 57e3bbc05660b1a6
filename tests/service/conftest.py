# SPDX-License-Identifier: GPL-2.0-or-later
"""A service in a process of its own, guests that talk to it, and the operator's commands."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server.peer import Memory, Peer
from tests.service.process import ServiceProcess
from tmem_host import cli


class Live(ServiceProcess):
    """A service over an arena of the test's own. Guests are in the folder `sockets`."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        super().__init__(folder)
        self._capsys = capsys
        self._peers: list[Peer] = []

    # ---- who uses it ---------------------------------------------------------------------

    def tmem(self, *line: str, status: int = 0, socket: bool = True) -> str:
        """What `tmem LINE` prints: on its error output if it is to fail. `socket` names ours."""
        self._capsys.readouterr()
        try:
            found = cli.main([*line, *(["--socket", str(self.socket)] if socket else [])])
        except SystemExit as usage:
            found = int(str(usage.code))
        printed = self._capsys.readouterr()
        assert found == status, printed
        assert "Traceback" not in printed.err
        return printed.err if status else printed.out

    def add(self, client: str) -> Path:
        """A client that is listened for; the path of its socket."""
        path = self.folder / f"{client.replace('/', '-')}.sock"
        self.tmem("client", "add", client, "--listen", str(path))
        return path

    def guest(self, client: str) -> Peer:
        """A guest of that name, added and in a session."""
        path = self.folder / f"{client.replace('/', '-')}.sock"
        if not path.exists():
            path = self.add(client)
        peer = self.connect(client, Memory(client.encode().ljust(16, b".")))
        peer.begin()
        return peer

    def connect(self, client: str, memory: Memory) -> Peer:
        path = self.folder / f"{client.replace('/', '-')}.sock"
        peer = Peer.connect(str(path), memory)
        self._peers.append(peer)
        return peer

    def close(self) -> None:
        for peer in self._peers:
            peer.close()
        self.end()


@pytest.fixture
def stopped(arena_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Live]:
    """A service that has not been started yet."""
    live = Live(arena_path.parent, capsys)
    yield live
    live.close()


@pytest.fixture
def live(stopped: Live) -> Live:
    """A running service."""
    stopped.start()
    return stopped
