# SPDX-License-Identifier: GPL-2.0-or-later
"""Scrubbing in the background looks at every page, finds damage, and never outlives its engine."""

import os
from pathlib import Path

import pytest

from tmem_host.native import PAGE_BYTES, Encoding, Engine, Scrubber

PAGES = 600
OID = (1, 0, 0)


@pytest.fixture
def damaged(arena_path: Path) -> Path:
    """An arena of PAGES persistent pages, the contents of page 7 changed in the file."""
    victim = b""
    with Engine(arena_path) as engine:
        client = engine.create_client("guest")
        client.set(encoding=Encoding.RAW)
        pool = client.new_pool(persistent=True)
        for index in range(PAGES):
            contents = os.urandom(PAGE_BYTES)
            assert pool.put(OID, index, contents)
            victim = contents if index == 7 else victim
    data = arena_path.read_bytes()
    with arena_path.open("r+b") as file:
        file.seek(data.index(victim) + 100)
        file.write(bytes([victim[100] ^ 1]))
    return arena_path


def test_damage_is_found_before_anybody_asks(damaged: Path) -> None:
    with Engine(damaged) as engine, Scrubber(engine, pages_per_step=50) as scrubber:
        assert scrubber.wait(60)
        recovery = engine.recovery()
        assert recovery.pages == recovery.scrubbed_pages == PAGES
        assert recovery.scrub_damaged_pages == 1
        assert recovery.scrub_done is True
        (pool,) = engine.find_client("guest").pools()
        assert pool.read(OID, 7) is None
        assert pool.read(OID, 8) is not None


def test_closing_the_engine_ends_it(damaged: Path) -> None:
    engine = Engine(damaged)
    with Scrubber(engine, pages_per_step=1) as scrubber:
        engine.close()
        assert scrubber.wait(60)


def test_leaving_ends_it(damaged: Path) -> None:
    with Engine(damaged) as engine:
        with Scrubber(engine, pages_per_step=1) as scrubber:
            pass
        assert scrubber.wait(0)


def test_a_step_of_nothing_is_refused(damaged: Path) -> None:
    with Engine(damaged) as engine, pytest.raises(ValueError, match="at least 1"):
        Scrubber(engine, pages_per_step=0)
