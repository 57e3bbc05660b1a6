# SPDX-License-Identifier: GPL-2.0-or-later
"""What an engine reports and what it gives back."""

import os
from pathlib import Path

from tmem_host.native import Client, Encoding, Engine, Pool, check_arena

OID = (1, 2, 3)


def _fill(client: Client, pool: Pool, pages: int) -> None:
    client.set(encoding=Encoding.RAW)
    for index in range(pages):
        assert pool.put(OID, index, os.urandom(4096))


def test_usage_follows_what_is_stored(engine: Engine, client: Client, ephemeral: Pool) -> None:
    _fill(client, ephemeral, 100)
    usage = engine.usage()
    assert usage.ephemeral_pages == 100
    assert usage.payload_bytes == 100 * 4096
    assert usage.slot_bytes >= usage.payload_bytes
    assert usage.resident_bytes >= usage.slot_bytes + usage.record_bytes
    assert (usage.clients, usage.pools, usage.shared_pools) == (1, 1, 0)


def test_shrinking_reports_what_it_did(engine: Engine, client: Client, ephemeral: Pool) -> None:
    _fill(client, ephemeral, 1000)
    before = engine.usage()
    report = engine.shrink(1 << 20)
    assert report.asked_bytes == 1 << 20
    assert report.returned_bytes >= 1 << 20
    assert report.evicted_pages > 0
    assert engine.usage().resident_bytes == before.resident_bytes - report.returned_bytes


def test_a_lower_budget_shrinks(engine: Engine, client: Client, ephemeral: Pool) -> None:
    _fill(client, ephemeral, 1000)
    report = engine.set_budget(2 << 20)
    usage = engine.usage()
    assert usage.budget_bytes == 2 << 20
    assert usage.resident_bytes <= 2 << 20
    assert report.returned_bytes > 0


def test_pages_and_clients_outlive_the_engine(arena_path: Path) -> None:
    contents = os.urandom(4096)
    with Engine(arena_path) as engine:
        engine.create_client("guest").new_pool(persistent=True).put(OID, 3, contents)
    with Engine(arena_path, create=False) as engine:
        assert engine.recovery().pages == 1
        client = engine.find_client("guest")
        assert client.info().resumed is False
        client.resume()
        assert client.info().resumed is True
        (pool,) = client.pools()
        assert pool.read(OID, 3) == contents


def test_scrubbing_ends(arena_path: Path) -> None:
    with Engine(arena_path, extent_bytes=256 << 10) as engine:
        client = engine.create_client("guest")
        _fill(client, client.new_pool(persistent=True), 200)
    with Engine(arena_path) as engine:
        assert engine.recovery().scrub_done is False
        assert engine.scrub(0) == 0
        assert engine.recovery().scrub_done is False
        steps = []
        while step := engine.scrub(16):
            steps.append(step)
        assert len(steps) > 1
        assert sum(steps) == 200
        recovery = engine.recovery()
        assert (recovery.scrubbed_pages, recovery.scrub_damaged_pages) == (200, 0)
        assert recovery.scrub_done is True


def test_an_arena_can_be_looked_at_in_use_and_after(arena_path: Path) -> None:
    with Engine(arena_path) as engine:
        client = engine.create_client("guest")
        _fill(client, client.new_pool(persistent=True), 20)
        assert check_arena(arena_path).in_use is True
    report = check_arena(arena_path, contents=True)
    assert report.in_use is False
    assert report.sound
    assert (report.clients, report.pools, report.persistent_pages) == (1, 1, 20)
    assert report.payload_bytes == 20 * 4096
