# SPDX-License-Identifier: GPL-2.0-or-later
"""Rules 41-47: which page goes when room is needed, and what becomes of its memory.

Shares by weight have a file of their own, test_fairness.py. The numbers are those of
docs/semantics.md.
"""

from __future__ import annotations

from pathlib import Path

from tests.engine.arenas import allocated_bytes
from tests.engine.conftest import MIB, OpenEngine
from tests.engine.filling import held, put_all
from tests.engine.pages import PAGE_BYTES, oid, random_page
from tmem_host.native import Client, Encoding, Engine, Pool

A = random_page(1)


def test_rule_41_the_oldest_put_goes_first(open_engine: OpenEngine) -> None:
    """What is left of a run of puts that did not fit is its end."""
    engine = open_engine(MIB)
    pool = engine.create_client("guest").new_pool()
    count = 1000
    put_all(pool, 1, count)
    survivors = held(pool, 1, count)
    assert engine.counters().evicted == count - len(survivors) > 0
    assert survivors == set(range(count - len(survivors), count))


def test_rule_41_a_page_put_again_is_young_again(open_engine: OpenEngine) -> None:
    """Replacing a page counts as putting it."""
    engine = open_engine(MIB)
    pool = engine.create_client("guest").new_pool()
    put_all(pool, 1, 200)
    put_all(pool, 1, 1)
    put_all(pool, 2, engine.usage().budget_bytes // PAGE_BYTES - 100)
    survivors = held(pool, 1, 200)
    assert 0 in survivors
    assert 1 not in survivors


def test_rule_41_what_is_newest_stays_while_pages_of_all_sizes_come(
    open_engine: OpenEngine,
) -> None:
    """Ages count across size classes: a rare class does not keep old pages for good, and a new
    page is not evicted for want of room in its class alone."""
    engine = open_engine(MIB)
    client = engine.create_client("guest")
    pool = client.new_pool()
    client.set(encoding=Encoding.RAW)
    put_all(pool, 1, 50)
    client.set(encoding=Encoding.LZ4)
    for number in range(3000):
        contents = random_page(number)[:1000] + bytes(PAGE_BYTES - 1000)
        assert pool.put(oid(2), number, contents)
        assert pool.read(oid(2), number) == contents
        assert pool.put(oid(2), number, contents)
    assert held(pool, 1, 50) == set()


def test_rule_42_a_client_above_its_share_is_evicted_for_its_own_puts(
    open_engine: OpenEngine,
) -> None:
    """Who puts above its share pays itself; who is below loses nothing (compare B1)."""
    engine = open_engine(2 * MIB)
    small, large = engine.create_client("small"), engine.create_client("large")
    for client in (small, large):
        client.set(weight=1)
    quiet, busy = small.new_pool(), large.new_pool()
    put_all(quiet, 1, 100)
    put_all(busy, 1, 3000)
    assert large.info().ephemeral_bytes > small.info().share_bytes
    assert held(quiet, 1, 100) == set(range(100))


def test_rule_43_without_weights_age_alone_decides(open_engine: OpenEngine) -> None:
    """Weights of 0 all round: one order of age for the whole host, oldest first. Between pools
    ages are compared in steps of 64 puts, within a pool exactly."""
    step = 64
    engine = open_engine(16 * MIB)
    pools = [engine.create_client(f"guest {number}").new_pool() for number in range(3)]
    put_times: list[dict[int, int]] = [{} for _ in pools]
    now = 0
    for turn in range(6000):
        # One guest puts all the time, one every other time, one in bursts.
        for number in {0, 1 - turn % 2, 2 * (turn % 500 < 100)}:
            assert pools[number].put(oid(1), turn, random_page(turn % 500))
            put_times[number][turn] = now
            now += 1
    oldest = []
    for pool, times in zip(pools, put_times, strict=True):
        survivors = [turn for turn in times if pool.read(oid(1), turn) is not None]
        assert survivors == list(times)[-len(survivors) :]
        assert len(survivors) < len(times)
        oldest.append(times[survivors[0]])
    assert max(oldest) - min(oldest) <= len(pools) * step


def test_rule_46_memory_that_goes_back_holds_nothing(
    open_engine: OpenEngine, arena_path: Path
) -> None:
    """The host's kernel takes it as a hole, which reads as zeros."""
    engine = open_engine(4 * MIB)
    client = engine.create_client("guest")
    client.set(encoding=Encoding.RAW)
    secret = bytes(range(256)) * (PAGE_BYTES // 256)
    pool = client.new_pool()
    for index in range(500):
        assert pool.put(oid(1), index, index.to_bytes(8, "little") + secret[8:])
    assert secret[8:] in arena_path.read_bytes()
    before = allocated_bytes(arena_path)
    report = engine.shrink(4 * MIB)
    assert report.evicted_pages == 500
    assert before - allocated_bytes(arena_path) == report.returned_bytes > 500 * PAGE_BYTES
    assert secret[8:] not in arena_path.read_bytes()


def test_rule_46_one_clients_bytes_never_reach_another(open_engine: OpenEngine) -> None:
    """Memory that pages of one client leave and pages of another take shows through no get."""
    engine = open_engine(MIB)
    first, second = engine.create_client("first"), engine.create_client("second")
    for client in (first, second):
        client.set(encoding=Encoding.RAW)
    secret = b"\x5e" * PAGE_BYTES
    source = first.new_pool()
    for index in range(1000):
        assert source.put(oid(1), index, index.to_bytes(8, "little") + secret[8:])
    first.destroy()
    pool = second.new_pool()
    buffer = bytearray(PAGE_BYTES)
    for index in range(1000):
        assert not pool.get(oid(1), index, buffer)
        assert pool.put(oid(1), index, random_page(index))
    assert buffer == bytes(PAGE_BYTES)
    for index in range(1000):
        if pool.get(oid(1), index, buffer):
            assert buffer == random_page(index)


def test_rule_47_shared_contents_go_with_their_last_reference(
    engine: Engine, client: Client, persistent: Pool
) -> None:
    """With dedup a page that goes takes its reference along; the contents stay for the others."""
    client.set(dedup=True)
    before = engine.usage().payload_bytes
    for number in range(5):
        assert persistent.put(oid(number), 0, A)
    once = engine.usage().payload_bytes - before
    assert client.counters().deduplicated == 4
    assert 0 < once <= 2 * PAGE_BYTES
    persistent.flush_page(oid(0), 0)
    persistent.flush_object(oid(1))
    assert persistent.put(oid(2), 0, random_page(2))
    persistent.flush_page(oid(2), 0)
    assert engine.usage().payload_bytes - before == once
    for number in (3, 4):
        assert persistent.read(oid(number), 0) == A
        persistent.flush_page(oid(number), 0)
    assert engine.usage().payload_bytes == before


def test_rule_47_evicting_one_reference_leaves_the_others(open_engine: OpenEngine) -> None:
    """An evicted page never takes along what a page of another handle needs."""
    engine = open_engine(MIB)
    client = engine.create_client("guest")
    client.set(dedup=True)
    ephemeral, persistent = client.new_pool(), client.new_pool(persistent=True)
    for index in range(20):
        assert ephemeral.put(oid(1), index, random_page(index))
        assert persistent.put(oid(1), index, random_page(index))
    assert client.counters().deduplicated == 20
    put_all(ephemeral, 2, 1000, first=5000)
    assert held(ephemeral, 1, 20) == set()
    assert held(persistent, 1, 20) == set(range(20))
