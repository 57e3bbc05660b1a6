# SPDX-License-Identifier: GPL-2.0-or-later
"""A clock of the host that can be stopped, so that leases do not lapse: to see what the kernel's
cures are for where the lease does not help (host_clock.c)."""

import mmap
import struct
import subprocess
import time
from pathlib import Path

_NUMBERS = struct.Struct("=qq")
# Whoever has asked for the time just before must not see it go back.
_AHEAD_NS = 100_000_000


class HostClock:
    """The clock of processes that are started with `environment`; its files are in `folder`."""

    def __init__(self, folder: Path) -> None:
        library, control = folder / "host_clock.so", folder / "host_clock"
        source = Path(__file__).with_suffix(".c")
        subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", library, source], check=True)
        control.write_bytes(bytes(_NUMBERS.size))
        with control.open("r+b") as file:
            self._numbers = mmap.mmap(file.fileno(), _NUMBERS.size)
        self._behind_ns = 0
        self._stopped_at_ns = 0
        self.environment = {"LD_PRELOAD": str(library), "TMEM_TEST_CLOCK": str(control)}

    def stop(self) -> None:
        """It stands still."""
        now_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - self._behind_ns
        self._stopped_at_ns = now_ns + _AHEAD_NS
        self._write()

    def go(self) -> None:
        """It goes on from where it stood."""
        now_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        self._behind_ns = now_ns - self._stopped_at_ns
        self._write()
        self._stopped_at_ns = 0
        self._write()

    def _write(self) -> None:
        self._numbers[:] = _NUMBERS.pack(self._stopped_at_ns, self._behind_ns)
