# SPDX-License-Identifier: GPL-2.0-or-later
"""A valve between a guest's channel and the service: what the guest says can be held back."""

import contextlib
import socket
from pathlib import Path
from threading import Event, Thread

_BYTES = 65536


class Valve:
    """Listens at `path` for the service and connects it to the guest's channel at `channel`, again
    whenever either goes. What the host says always passes."""

    def __init__(self, path: Path, channel: Path) -> None:
        self.path = path
        self._channel = channel
        self._open = Event()
        self._open.set()
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(path))
        self._listening.listen()
        self._connections: list[socket.socket] = []
        Thread(target=self._accept, daemon=True).start()

    def shut(self) -> None:
        """Nothing of what the guest says from now on arrives until open()."""
        self._open.clear()

    def open(self) -> None:
        """What was held back arrives, in order."""
        self._open.set()

    def close(self) -> None:
        """Ends it, with its connections."""
        self.open()
        for each in (self._listening, *self._connections):
            _hang_up(each)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                host, _ = self._listening.accept()
                guest = socket.socket(socket.AF_UNIX)
                try:
                    guest.connect(str(self._channel))
                except OSError:
                    # no guest: the service tries again
                    guest.close()
                    host.close()
                    continue
                self._connections += [host, guest]
                Thread(target=self._pass, args=(host, guest, None), daemon=True).start()
                Thread(target=self._pass, args=(guest, host, self._open), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket, may: Event | None) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(_BYTES):
                if may is not None:
                    may.wait()
                target.sendall(data)
        _hang_up(source)
        _hang_up(target)


def _hang_up(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()
