# SPDX-License-Identifier: GPL-2.0-or-later
"""The other side of server_process.py."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_SCRIPT = Path(__file__).with_name("server_process.py")


class HostProcess:
    """Starts, kills and stops the process that serves `clients` in `folder`."""

    def __init__(self, folder: Path, clients: list[str]) -> None:
        self.folder = folder
        self._command = [sys.executable, str(_SCRIPT), str(folder), *clients]
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Returns once it serves."""
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line == "ready\n", f"the server did not start: {line!r}"

    def kill(self) -> None:
        """kill -9."""
        assert self._process is not None
        self._process.kill()
        self._reap()

    def stop(self) -> None:
        """In order; nothing happens when it does not run."""
        if self._process is not None:
            assert self._process.stdin is not None
            self._process.stdin.close()
            self._reap()

    def _reap(self) -> None:
        assert self._process is not None
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()
        self._process = None
