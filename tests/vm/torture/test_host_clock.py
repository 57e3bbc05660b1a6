# SPDX-License-Identifier: GPL-2.0-or-later
"""A process whose clock stands still, and goes on from there."""

import os
import subprocess
import sys
import time
from pathlib import Path

from tests.vm.torture.host_clock import HostClock

_TELL = """
import sys, time
for line in sys.stdin:
    print(time.clock_gettime_ns(time.CLOCK_BOOTTIME), time.monotonic_ns(), flush=True)
"""


def test_it_stops_and_goes_on(tmp_path: Path) -> None:
    clock = HostClock(tmp_path)
    with subprocess.Popen(
        [sys.executable, "-c", _TELL],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, **clock.environment},
        text=True,
    ) as process:

        def told() -> list[int]:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write("\n")
            process.stdin.flush()
            return [int(word) for word in process.stdout.readline().split()]

        first = told()
        clock.stop()
        stopped = told()
        time.sleep(0.3)
        still = told()
        clock.go()
        gone = told()
        time.sleep(0.3)
        later = told()
    assert first[0] < stopped[0] == still[0] <= gone[0] < later[0]
    # it has lost what it stood still, and other clocks of the process have not
    assert still[1] > stopped[1]
    assert gone[0] - first[0] < gone[1] - first[1]
