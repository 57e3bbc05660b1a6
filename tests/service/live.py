# SPDX-License-Identifier: GPL-2.0-or-later
"""A service in a process of its own, guests that talk to it, and the operator's commands."""

import contextlib
import io
import os
from collections.abc import Iterator
from pathlib import Path

from tests.server.peer import Memory, Peer
from tests.service.process import ServiceProcess
from tmem_host import cli

NOBODY = 65534


class Live(ServiceProcess):
    """A service over an arena of the test's own. Guests are in the folder `sockets`."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._peers: list[Peer] = []

    # ---- who uses it ---------------------------------------------------------------------

    def tmem(self, *line: str, status: int = 0, socket: bool = True) -> str:
        """What `tmem LINE` prints: on its error output if it is to fail. `socket` names ours."""
        printed, errors = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(errors):
            try:
                found = cli.main([*line, *(["--socket", str(self.socket)] if socket else [])])
            except SystemExit as usage:
                found = int(str(usage.code))
        assert found == status, (printed.getvalue(), errors.getvalue())
        assert "Traceback" not in errors.getvalue()
        return errors.getvalue() if status else printed.getvalue()

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


@contextlib.contextmanager
def another_user(*groups: int) -> Iterator[None]:
    """What is done meanwhile is done by an ordinary user who is in `groups`, if we are root."""
    if os.geteuid() != 0:
        yield
        return
    ours = os.getgroups(), os.getegid()
    os.setgroups(groups)
    os.setegid(NOBODY)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(ours[1])
        os.setgroups(ours[0])
