# SPDX-License-Identifier: GPL-2.0-or-later
"""The signs of host pressure: the kernel's PSI trigger of memory (of the host, and of the service's
own cgroup if it has one), the cgroup's memory.high or memory.max coming near, MemAvailable below a
limit."""

import contextlib
import os
import select
from pathlib import Path

from tmem_host.service.config import PressureConfig

# A limit of the cgroup is near when less than this share of it is left.
NEAR_SHARE = 0.05


class Signs:
    """Reads the signs. `proc` and `cgroup` are folders, so that tests can write them."""

    def __init__(
        self,
        config: PressureConfig,
        proc: Path = Path("/proc"),
        cgroup: Path | None = None,
    ) -> None:
        self._config = config
        self._proc = proc
        self._cgroup = own_cgroup(proc) if cgroup is None else cgroup
        self._triggers: list[int] = []

    def open_triggers(self) -> list[str]:
        """Asks the kernel to tell of stalls; returns the files that it could be asked at. A kernel
        without PSI, or one that does not let us, leaves the other signs."""
        window_us = self._config.psi_window * 1000
        order = f"some {int(window_us * self._config.psi_share)} {window_us}\0".encode()
        found = []
        for file in (self._proc / "pressure" / "memory", self._cgroup / "memory.pressure"):
            with contextlib.suppress(OSError):
                trigger = os.open(file, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
                try:
                    os.write(trigger, order)
                except OSError:
                    os.close(trigger)
                    raise
                self._triggers.append(trigger)
                found.append(str(file))
        return found

    def close(self) -> None:
        for trigger in self._triggers:
            os.close(trigger)
        self._triggers.clear()

    def wait(self, seconds: float) -> str | None:
        """Waits for a sign, at most so long; returns it in words, or None."""
        poll = select.poll()
        for trigger in self._triggers:
            poll.register(trigger, select.POLLPRI)
        for _, event in poll.poll(seconds * 1000):
            if event & select.POLLPRI:
                return "tasks wait for memory (PSI)"
        return self.look()

    def look(self) -> str | None:
        """The signs that are looked at rather than waited for."""
        limit = self._config.available_min
        if limit and (available := available_bytes(self._proc)) < limit:
            return f"MemAvailable is {available >> 20} MiB"
        current = _number(self._cgroup / "memory.current")
        for name in ("memory.high", "memory.max"):
            most = _number(self._cgroup / name)
            if current is not None and most is not None and current > most * (1 - NEAR_SHARE):
                return f"{current >> 20} MiB of {name} {most >> 20} MiB are used"
        return None


def available_bytes(proc: Path = Path("/proc")) -> int:
    """MemAvailable. OSError or ValueError when the kernel does not tell."""
    for line in (proc / "meminfo").read_text(encoding="ascii").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    raise ValueError(f"{proc}/meminfo has no MemAvailable")


def own_cgroup(proc: Path = Path("/proc")) -> Path:
    """The folder of this process's cgroup (version 2); one that is not there if it has none."""
    with contextlib.suppress(OSError):
        for line in (proc / "self" / "cgroup").read_text(encoding="ascii").splitlines():
            if line.startswith("0::"):
                return Path("/sys/fs/cgroup") / line[3:].strip().lstrip("/")
    return Path("/nonexistent")


def _number(file: Path) -> int | None:
    try:
        return int(file.read_text(encoding="ascii"))
    except (OSError, ValueError):  # "max" is no limit
        return None
