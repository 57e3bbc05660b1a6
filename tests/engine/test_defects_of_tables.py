# SPDX-License-Identifier: GPL-2.0-or-later
"""Regression tests for the defects of the old systems: B17-B26, tables, eviction and reports.

Numbers are those of docs/semantics.md. B18 needs threads and stands in test_concurrency.py.
"""

from __future__ import annotations

from uuid import UUID

import pytest

from tests.engine.conftest import MIB, SHARED, OpenEngine
from tests.engine.filling import put_all
from tests.engine.pages import UNCHANGED, Kind, oid, page, random_page
from tmem_host.native import (
    BadPoolFlags,
    Client,
    Counters,
    Engine,
    FrozenError,
    Pool,
    TmemError,
    UnknownPool,
)

A, B = random_page(1), random_page(2)


def test_b17_shared_pools_are_counted_right(engine: Engine, client: Client) -> None:
    """The sole creator was not on the pool's list of members; two shared pools in one guest were
    used after they were freed."""
    uuids = [UUID(int=number) for number in range(1, 6)]
    for _ in range(3):
        for uuid in uuids:
            client.auth_add(uuid)
        pools = [client.new_pool(shared=uuid) for uuid in uuids]
        assert [pool.info().members for pool in pools] == [1] * len(pools)
        for number, pool in enumerate(pools):
            assert pool.info().pages == 0
            assert pool.put(oid(1), 0, random_page(number))
        for number, pool in enumerate(pools):
            assert pool.read(oid(1), 0) == random_page(number)
            pool.destroy()
            with pytest.raises(UnknownPool):
                pool.read(oid(1), 0)
        assert (engine.usage().shared_pools, engine.usage().pools) == (0, 0)
        assert engine.usage().ephemeral_pages == 0


@pytest.mark.parametrize("dedup", [False, True])
def test_b19_eviction_works_with_dedup_off_and_on(open_engine: OpenEngine, dedup: bool) -> None:
    """With dedup off Xen's eviction released a lock that it did not hold."""
    engine = open_engine(MIB)
    client = engine.create_client("guest")
    client.set(dedup=dedup)
    pool = client.new_pool()
    for turn in range(4):
        for index in range(400):
            assert pool.put(oid(turn), index, random_page(index % 300))
    assert engine.counters().evicted > 0
    client.set(dedup=not dedup)
    for index in range(400):
        assert pool.put(oid(9), index, random_page(index % 300))
    for index in range(400):
        assert pool.read(oid(9), index) in (None, random_page(index % 300))


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind is not Kind.SAME])
def test_b20_equal_pages_are_found_whatever_they_compress_to(
    engine: Engine, client: Client, persistent: Pool, kind: Kind
) -> None:
    """Xen's pages with trailing zeros cut off never matched each other."""
    client.set(dedup=True)
    assert persistent.put(oid(1), 0, page(kind, 1))
    alone = engine.usage().payload_bytes
    for index in range(1, 10):
        assert persistent.put(oid(1), index, page(kind, 1))
    assert client.counters().deduplicated == 9
    assert engine.usage().payload_bytes == alone
    for index in range(10):
        assert persistent.read(oid(1), index) == page(kind, 1)


def test_b20_same_filled_pages_need_no_contents_at_all(
    engine: Engine, client: Client, persistent: Pool
) -> None:
    """Pages of one repeated word are kept as that word, dedup or not."""
    client.set(dedup=True)
    before = engine.usage().payload_bytes
    for index in range(10):
        assert persistent.put(oid(1), index, page(Kind.SAME, index % 2))
    assert engine.usage().payload_bytes == before
    assert client.counters().encoded_same == 10
    assert persistent.read(oid(1), 3) == page(Kind.SAME, 1)


def test_b21_a_frozen_client_makes_no_pools(client: Client) -> None:
    """Xen's save assumed it and nothing saw to it."""
    client.freeze()
    with pytest.raises(FrozenError):
        client.new_pool()
    assert client.info().pools == 0


def test_b22_authorising_twice_is_once(client: Client, open_engine: OpenEngine) -> None:
    """It used up two of sixteen places; and a right that was taken back once stayed."""
    assert client.auth_add(SHARED)
    assert not client.auth_add(SHARED)
    assert client.auth_list() == [SHARED]
    assert client.auth_remove(SHARED)
    assert client.auth_list() == []
    assert not client.auth_remove(SHARED)
    assert not client.new_pool(shared=SHARED).granted_shared


def test_b22_a_new_pool_that_fails_leaves_no_trace(engine: Engine, client: Client) -> None:
    """From 4.5 a shared pool that could not be made stayed in the client's table."""
    client.auth_add(SHARED)
    for flags in (1 << 24 | 3, 2 << 24 | 2, 1 << 24 | 2 | 1 << 8):
        with pytest.raises(BadPoolFlags):
            client.new_pool(shared=SHARED, flags=flags)
    client.freeze()
    with pytest.raises(FrozenError):
        client.new_pool(shared=SHARED)
    assert (client.pools(), client.info().pools, engine.usage().pools) == ([], 0, 0)
    client.thaw()
    made = client.new_pool(shared=SHARED)
    assert (made.granted_shared, made.info().members) == (True, 1)


def test_b24_a_guest_cannot_flood_a_log(
    client: Client, ephemeral: Pool, capfd: pytest.CaptureFixture[str]
) -> None:
    """What a guest does wrong is answered and counted, never printed."""
    ephemeral.destroy()
    for _ in range(200):
        with pytest.raises(TmemError):
            client.new_pool(flags=0)
        with pytest.raises(TmemError):
            ephemeral.put(oid(1), 0, A)
    assert capfd.readouterr() == ("", "")


def test_b25_each_shared_pool_is_reported_as_itself(client: Client) -> None:
    """With two or more, Xen's list mixed up their lines and printed 0 for every id."""
    uuids = [UUID(int=2**64 + number) for number in range(5)]
    for number, uuid in enumerate(uuids):
        client.auth_add(uuid)
        put_all(client.new_pool(shared=uuid), 1, number)
    reported = [pool.info() for pool in client.pools()]
    assert [info.uuid for info in reported] == uuids
    assert [info.pages for info in reported] == list(range(5))
    assert len({info.id for info in reported}) == 5
    assert [pool.id for pool in client.pools()] == [info.id for info in reported]


def added(counters: list[Counters]) -> dict[str, int]:
    names = Counters.__slots__
    return {name: sum(getattr(one, name) for one in counters) for name in names}


def test_b26_counters_add_up(open_engine: OpenEngine) -> None:
    """Xen's were unlocked and disagreed. Here puts = stored + replaced + refused, gets = hit +
    missed, and pools add up to clients, clients to the engine, the gone included."""
    engine = open_engine(MIB)
    clients = [engine.create_client(name) for name in ("one", "two", "three")]
    puts = gets = 0
    for number, client in enumerate(clients):
        for persistent in (True, False):
            pool = client.new_pool(persistent=persistent)
            for index in range(200):
                pool.put(oid(index % 7), index % 50, random_page(number * 1000 + index))
                puts += 1
                pool.read(oid(index % 5), index % 60)
                gets += 1
            pool.flush_object(oid(1))
        client.set(frozen=True)
        pool.put(oid(99), 0, A)
        puts += 1
    by_client = added([client.counters() for client in clients])
    for client in clients:
        pools = added([pool.counters() for pool in client.pools()])
        assert pools == added([client.counters()])
    total = added([engine.counters()])
    assert by_client == total
    outcomes = [name for name in total if name.startswith(("puts_", "refused_"))]
    assert sum(total[name] for name in outcomes) == puts
    assert total["gets_hit"] + total["gets_missed"] + total["gets_empty"] == gets
    stored = ("encoded_same", "encoded_raw", "encoded_lz4", "encoded_zstd", "deduplicated")
    assert sum(total[name] for name in stored) == total["puts_stored"] + total["puts_replaced"]

    clients[0].pools()[0].destroy()
    clients[1].destroy()
    after = added([engine.counters()])
    for name, count in total.items():
        if not name.startswith("pool_flushes"):
            assert after[name] == count, name


def test_b26_a_miss_leaves_the_buffer_and_counts_once(persistent: Pool) -> None:
    """One call, one outcome."""
    put_all(persistent, 1, 1)
    buffer = bytearray(UNCHANGED)
    assert not persistent.get(oid(1), 9, buffer)
    counters = persistent.counters()
    assert (counters.gets_missed, counters.gets_hit, counters.gets_empty) == (1, 0, 0)
    assert buffer == UNCHANGED
