# SPDX-License-Identifier: GPL-2.0-or-later
"""The benchmark run once, as small as it can be: its numbers mean nothing, its shape everything."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Bench = Callable[..., subprocess.CompletedProcess[str]]


def run_bench(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """`tmem bench engine` with the arguments, in a process of its own."""
    command = [Path(sys.executable).with_name("tmem"), "bench", "engine", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


@pytest.fixture
def bench() -> Bench:
    """Runs `tmem bench engine` with the arguments it is called with."""
    return run_bench


@pytest.fixture(scope="session")
def document() -> dict[str, Any]:
    """What it says as JSON about 8 MiB of pages in one round."""
    before = set(os.listdir("/dev/shm"))
    done = run_bench("--size", "8MiB", "--rounds", "1", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    left = [name for name in set(os.listdir("/dev/shm")) - before if "tmem-bench-" in name]
    assert left == []
    found: dict[str, Any] = json.loads(done.stdout)
    return found
