# SPDX-License-Identifier: GPL-2.0-or-later
"""A service in a process of its own, guests that talk to it, and the operator's commands."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.server.peer import Memory, Peer
from tmem_host import cli
from tmem_host.control import Connection, ControlError

START_SECONDS = 60


class Live:
    """A service over an arena of the test's own. Guests are in the folder `sockets`."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self.socket = folder / "control.sock"
        self.config = folder / "tmem.toml"
        self.log = folder / "log"
        self._capsys = capsys
        self._process: subprocess.Popen[bytes] | None = None
        self._peers: list[Peer] = []
        self.write_config()

    def write_config(self, more: str = "", budget: str = "32MiB") -> None:
        self.config.write_text(
            f"[arena]\npath = '{self.folder}/arena'\nbudget = '{budget}'\nshared_auth_all = true\n"
            f"[control]\nsocket = '{self.socket}'\n"
            "[server]\nworkers = 1\nlease = '200ms'\nexpel = '2s'\n" + more,
            encoding="utf-8",
        )

    # ---- the process ---------------------------------------------------------------------

    def start(self, **environment: str) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tmem_host.cli", "serve", "--config", str(self.config)],
                stderr=log,
                env={**os.environ, **environment},
            )
        self.wait_for(self._answers)

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.log.read_text()
        try:
            self.call("service.info")
        except ControlError:
            return False
        return True

    def send_signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """The exit status."""
        if self._process is None:
            return 0
        self.send_signal(number)
        status = self._process.wait(START_SECONDS)
        self._process = None
        return status

    @staticmethod
    def wait_for(condition: Callable[[], Any]) -> Any:
        """What `condition` returns once it is true."""
        until = time.monotonic() + START_SECONDS
        while not (found := condition()):
            assert time.monotonic() < until, "waited in vain"
            time.sleep(0.02)
        return found

    # ---- who uses it ---------------------------------------------------------------------

    def call(self, method: str, **arguments: Any) -> Any:
        with Connection(self.socket) as connection:
            return connection.call(method, **arguments)

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
        if self._process is not None:
            self._process.kill()
            self._process.wait()


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
