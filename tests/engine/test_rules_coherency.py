# SPDX-License-Identifier: GPL-2.0-or-later
"""Rules 1-14: what a guest may rely on about the contents of a handle.

The numbers are those of docs/semantics.md.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from tests.engine.conftest import MIB, OpenEngine
from tests.engine.filling import fill, fill_to_the_last_byte, put_all
from tests.engine.pages import INDEX_MAX, OIDS, UNCHANGED, Kind, oid, page, random_page
from tmem_host.native import Client, Encoding, Engine, Pool, Put

A, B = random_page(1), random_page(2)


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("earlier", Kind)
def test_rule_01_a_get_never_returns_what_a_later_put_replaced(
    pool: Pool, earlier: Kind, kind: Kind
) -> None:
    """After put A, put B on one handle a get never returns A, whatever the two compress to."""
    assert pool.put(oid(1), 0, page(earlier, 1))
    assert pool.put(oid(1), 0, page(kind, 2))
    assert pool.read(oid(1), 0) == page(kind, 2)


def refuse_for_cap(client: Client, pool: Pool) -> None:
    client.set(cap_bytes=1)


def refuse_for_quota(client: Client, pool: Pool) -> None:
    client.set(persistent_quota_bytes=1)


@pytest.mark.parametrize("refuse", [refuse_for_cap, refuse_for_quota])
def test_rule_02_a_duplicate_put_stores_the_new_or_drops_the_old(
    client: Client, persistent: Pool, refuse: Callable[[Client, Pool], None]
) -> None:
    """A put over a page either stores the new one or fails with the old one gone."""
    assert persistent.put(oid(1), 0, page(Kind.TINY, 1))
    refuse(client, persistent)
    assert persistent.put(oid(1), 0, B) is Put.DROPPED
    assert persistent.read(oid(1), 0) is None


def test_rule_02_holds_when_the_budget_is_used_up(open_engine: OpenEngine) -> None:
    """The same with no room left: the old page never stays because the new one did not fit."""
    engine = open_engine(MIB)
    pool = engine.create_client("guest").new_pool(persistent=True)
    handles = [(oid(number), 0) for number in range(64)]
    for name, index in handles:
        assert pool.put(name, index, page(Kind.SAME, 1))
    fill_to_the_last_byte(pool)
    answers = set()
    for name, index in handles:
        answer = pool.put(name, index, B)
        answers.add(answer)
        assert answer in (Put.STORED, Put.DROPPED)
        assert pool.read(name, index) == (B if answer else None)
    assert Put.DROPPED in answers


def test_rule_03_after_a_miss_a_handle_misses_until_it_is_put(pool: Pool) -> None:
    """Get-get coherency: what missed once misses again, whatever happens to other handles."""
    assert pool.put(oid(1), 0, A)
    pool.flush_page(oid(1), 0)
    assert pool.read(oid(1), 0) is None
    for name in OIDS:
        pool.put(name, 1, B)
    assert pool.read(oid(1), 0) is None
    assert pool.put(oid(1), 0, B)
    assert pool.read(oid(1), 0) == B


def test_rule_04_a_failed_duplicate_put_has_an_answer_and_a_counter_of_its_own(
    client: Client, persistent: Pool
) -> None:
    """-ENOSPC tells a guest that a page was dropped; the reason has a counter beside that."""
    assert persistent.put(oid(1), 0, page(Kind.TINY, 1))
    client.set(persistent_quota_bytes=1)
    assert persistent.put(oid(1), 1, B) is Put.OVER_LIMIT
    assert persistent.put(oid(1), 0, B) is Put.DROPPED
    counters = persistent.counters()
    assert (counters.dup_puts_flushed, counters.refused_quota) == (1, 2)


def test_rule_06_a_duplicate_put_that_succeeds_counts_as_replaced(pool: Pool) -> None:
    """Puts stored and puts replaced are told apart; replacing stores no second page."""
    assert pool.put(oid(1), 0, A)
    assert pool.put(oid(1), 0, B)
    counters, info = pool.counters(), pool.info()
    assert (counters.puts_stored, counters.puts_replaced) == (1, 1)
    assert (info.pages, info.objects) == (1, 1)


def test_rule_07_a_failed_duplicate_put_of_the_last_page_frees_the_object(
    client: Client, engine: Engine, persistent: Pool
) -> None:
    """No empty object stays behind when its last page is dropped."""
    assert persistent.put(oid(1), 0, page(Kind.TINY, 1))
    client.set(persistent_quota_bytes=1)
    assert persistent.put(oid(1), 0, B) is Put.DROPPED
    assert (engine.usage().objects, persistent.info().objects) == (0, 0)


def test_rule_08_a_failed_put_leaves_no_page_and_no_empty_object(
    client: Client, engine: Engine, persistent: Pool
) -> None:
    """A refused put of a new page leaves everything as it was."""
    client.set(persistent_quota_bytes=1)
    before = engine.usage()
    assert persistent.put(oid(1), 0, B) is Put.OVER_LIMIT
    after = engine.usage()
    assert (after.objects, after.persistent_pages) == (0, 0)
    assert (after.record_bytes, after.slot_bytes) == (before.record_bytes, before.slot_bytes)
    assert client.info().persistent_bytes == 0


def test_rule_09_a_flushed_page_is_gone_and_flushing_nothing_succeeds(pool: Pool) -> None:
    """A flush answers success whether the page was there or not; the counters tell which."""
    assert pool.put(oid(1), 0, A)
    pool.flush_page(oid(1), 0)
    pool.flush_page(oid(1), 0)
    pool.flush_page(oid(2), INDEX_MAX)
    assert pool.read(oid(1), 0) is None
    counters = pool.counters()
    assert (counters.page_flushes, counters.page_flushes_found) == (3, 1)


def test_rule_10_flush_object_removes_all_of_that_object_only(pool: Pool) -> None:
    """Every index of the object goes, and objects whose names differ in one bit stay."""
    indexes = (0, 1, 2**32, INDEX_MAX)
    for name in OIDS:
        for index in indexes:
            assert pool.put(name, index, A)
    pool.flush_object(OIDS[0])
    assert pool.counters().object_flushes_found == len(indexes)
    for name in OIDS:
        for index in indexes:
            assert pool.read(name, index) == (None if name == OIDS[0] else A)


def test_rule_10_flush_range_removes_the_range_only(pool: Pool) -> None:
    """Both ends belong to the range, which ends at the largest index at the latest."""
    indexes = [0, 9, 10, 11, 19, 20, INDEX_MAX]
    for index in indexes:
        assert pool.put(oid(1), index, A)
    pool.flush_range(oid(1), 10, 10)
    pool.flush_range(oid(1), INDEX_MAX, INDEX_MAX)
    pool.flush_range(oid(1), 0, 0)
    assert pool.counters().range_flushes_found == 4
    assert [index for index in indexes if pool.read(oid(1), index)] == [0, 9, 20]


@pytest.mark.parametrize("encoding", [Encoding.RAW, Encoding.LZ4, Encoding.ZSTD])
def test_rule_11_a_put_copies_before_it_returns(
    client: Client, pool: Pool, encoding: Encoding
) -> None:
    """What the guest does to its page after the put is never seen in the store."""
    client.set(encoding=encoding)
    guest_page = bytearray(A)
    assert pool.put(oid(1), 0, guest_page)
    guest_page[:] = B
    assert pool.read(oid(1), 0) == A


def test_rule_12_concurrent_calls_on_one_handle_have_no_order_but_whole_pages(
    pool: Pool,
) -> None:
    """Without the guest's page lock either put may come last; a mixture of both never does."""
    pages = [random_page(number) for number in range(4)]

    def put(contents: bytes) -> None:
        for _ in range(300):
            assert pool.put(oid(1), 0, contents)

    threads = [threading.Thread(target=put, args=(contents,)) for contents in pages]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        found = pool.read(oid(1), 0)
        assert found is None or found in pages
    for thread in threads:
        thread.join()
    counters = pool.counters()
    assert counters.puts_stored + counters.puts_replaced == 300 * len(pages)
    assert pool.info().pages <= 1


def test_rule_13_calls_on_different_objects_do_not_disturb_each_other(persistent: Pool) -> None:
    """Threads on objects of their own each see what they alone would; on one object calls are
    serialised, so that no put or flush is lost."""
    failures: list[str] = []
    shared_object = oid(99)

    def work(number: int) -> None:
        for turn in range(100):
            contents = random_page(1000 * number + turn)
            persistent.put(oid(number), turn, contents)
            if persistent.read(oid(number), turn) != contents:
                failures.append(f"thread {number} turn {turn}")
            persistent.put(shared_object, 1000 * number + turn, contents)
            if turn % 2:
                persistent.flush_page(shared_object, 1000 * number + turn)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    info = persistent.info()
    assert (info.pages, info.objects) == (4 * 100 + 4 * 50, 5)
    for number in range(4):
        for turn in range(0, 100, 2):
            index = 1000 * number + turn
            assert persistent.read(shared_object, index) == random_page(index)


def test_rule_14_a_get_that_fails_leaves_the_guest_page_alone(client: Client, pool: Pool) -> None:
    """A miss writes nothing, be the pool empty, the object absent or the index."""
    buffer = bytearray(UNCHANGED)
    assert not pool.get(oid(1), 0, buffer)
    put_all(pool, 1, 1)
    assert not pool.get(oid(1), 1, buffer)
    assert not pool.get(oid(2), 0, buffer)
    assert buffer == UNCHANGED


def test_rule_14_holds_for_a_refused_put(open_engine: OpenEngine) -> None:
    """After puts that were refused a get writes nothing either."""
    engine = open_engine(MIB)
    pool = engine.create_client("guest").new_pool(persistent=True)
    stored = fill(pool)
    buffer = bytearray(UNCHANGED)
    assert not pool.get(oid(10_000), len(stored), buffer)
    assert buffer == UNCHANGED
