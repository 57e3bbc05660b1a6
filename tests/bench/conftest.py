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


def run_bench(
    *arguments: str | Path,
    what: str = "engine",
    environment: dict[str, str] | None = None,
    limit_s: float = 300,
) -> subprocess.CompletedProcess[str]:
    """`tmem bench engine`, or another, with the arguments, in a process of its own."""
    command = [Path(sys.executable).with_name("tmem"), "bench", what, *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=limit_s, env=environment
    )


@pytest.fixture
def bench() -> Bench:
    """Runs `tmem bench engine` with the arguments it is called with."""
    return run_bench


def _document(what: str, *arguments: str) -> dict[str, Any]:
    before = set(os.listdir("/dev/shm"))
    done = run_bench(*arguments, "--json", what=what)
    assert (done.returncode, done.stderr) == (0, "")
    left = [name for name in set(os.listdir("/dev/shm")) - before if "tmem-bench-" in name]
    assert left == []
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="session")
def document() -> dict[str, Any]:
    """What `tmem bench engine` says as JSON about 8 MiB of pages in one round."""
    return _document("engine", "--size", "8MiB", "--rounds", "1")


@pytest.fixture(scope="session")
def service_document() -> dict[str, Any]:
    """What `tmem bench service` says as JSON about 4 MiB of pages in two rounds."""
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("one processor: client and servers need one each")
    return _document("service", "--size", "4MiB", "--rounds", "2")
