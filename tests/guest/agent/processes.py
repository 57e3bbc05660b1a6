# SPDX-License-Identifier: GPL-2.0-or-later
"""Processes that tests left behind, or should not have."""

import time
from pathlib import Path


def pid_in(path: Path) -> int:
    """The number that a script wrote there, once it has."""
    deadline = time.monotonic() + 60
    while not path.exists() or not path.read_text().endswith("\n"):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return int(path.read_text())


def ends(pid: int) -> bool:
    """Whether a process ends; a zombie that nobody waited for has."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
        except (FileNotFoundError, ProcessLookupError):
            return True
        if stat.rpartition(")")[2].split()[0] in "ZX":
            return True
        time.sleep(0.01)
    return False
