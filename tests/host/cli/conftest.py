# SPDX-License-Identifier: GPL-2.0-or-later
"""The command as an operator runs it: a process of its own."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tmem_host.native import PAGE_BYTES, Encoding, Engine

Tmem = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def tmem() -> Tmem:
    """Runs `tmem` with the arguments it is called with."""
    command = Path(sys.executable).with_name("tmem")

    def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [command, *arguments], capture_output=True, text=True, check=False, timeout=120
        )

    return run


@pytest.fixture
def arena(arena_path: Path) -> str:
    """An arena with one client, two pools, two ephemeral pages and a persistent one."""
    with Engine(arena_path, max_bytes=1 << 30, extent_bytes=256 << 10) as engine:
        client = engine.create_client("guest")
        client.set(encoding=Encoding.RAW)
        ephemeral, persistent = client.new_pool(), client.new_pool(persistent=True)
        for pool, index in ((ephemeral, 0), (ephemeral, 1), (persistent, 0)):
            assert pool.put((1, 2, 3), index, os.urandom(PAGE_BYTES))
    return str(arena_path)
