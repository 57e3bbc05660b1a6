# SPDX-License-Identifier: GPL-2.0-or-later
"""A service on a host that runs short of memory gives it back, by the host's own numbers.

That such bytes show in MemAvailable is tested at the engine (tests/engine/test_host_memory.py).
"""

import os
from pathlib import Path

from tests.service.live import Live
from tmem_host.native import Engine

MIB = 1 << 20


def fill(path: Path) -> None:
    """An arena of 24 MiB: ephemeral pages that do not compress, and persistent ones."""
    with Engine(path, budget_bytes=32 * MIB) as engine:
        client = engine.create_client("guest")
        swap = client.new_pool(persistent=True)
        for index in range(512):
            assert swap.put((1, 0, 0), index, os.urandom(4096))
        cache = client.new_pool()
        for index in range(5632):
            assert cache.put((1, 0, 0), index, os.urandom(4096))


def held_bytes(path: Path) -> int:
    """What the tmpfs holds of the file."""
    return path.stat().st_blocks * 512


def test_pressure_lowers_the_budget_step_by_step(stopped: Live) -> None:
    arena = stopped.folder / "arena"
    fill(arena)
    before = held_bytes(arena)
    assert before > 20 * MIB
    # no host has so much available, so that every look is a sign
    stopped.write_config("[pressure]\navailable_min = '1PiB'\nstep = 0.25\nfloor = '6MiB'\n")
    stopped.start()
    Live.wait_for(lambda: stopped.call("arena.usage")["budget_bytes"] == 6 * MIB)
    usage = stopped.call("arena.usage")
    assert usage["resident_bytes"] <= 6 * MIB
    assert held_bytes(arena) < 7 * MIB
    assert usage["persistent_pages"] == 512
    told = Live.wait_for(
        lambda: [e["text"] for e in stopped.call("events.recent") if "budget" in e["text"]]
    )
    assert [text.split(";")[0].rpartition(" now ")[2] for text in told] == [
        "24 MiB",
        "16 MiB",
        "8 MiB",
        "6 MiB",
    ]
    assert all("MemAvailable is" in text and "given back" in text for text in told)
