# SPDX-License-Identifier: GPL-2.0-or-later
"""The process that serves the guests of a test."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_SCRIPT = Path(__file__).parents[1] / "server" / "serve.py"


class HostProcess:
    """Starts, kills and stops the process that serves `guests` guests over the arena at `path`."""

    def __init__(self, path: Path, guests: int) -> None:
        self.sockets = [path.with_name(f"guest-{number}") for number in range(guests)]
        self._command = [sys.executable, str(_SCRIPT), str(path), *map(str, self.sockets)]
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Returns once it serves."""
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE, text=True)
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
            self._process.terminate()
            self._reap()

    def _reap(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        self._process.wait()
        self._process.stdout.close()
        self._process = None
