# SPDX-License-Identifier: GPL-2.0-or-later
"""Shared contents: who may share, and that nobody loses a page by it.

Rule 47 and defects B19 and B20 stand with their numbers in other files.
"""

from __future__ import annotations

import dataclasses

import pytest

from tests.engine.conftest import MIB, SHARED, OpenEngine, Restart
from tests.engine.pages import PAGE_BYTES, Kind, oid, page, random_page
from tmem_host.native import Client, Encoding, Engine, Put

A = random_page(1)


def guest(engine: Engine, name: str, group: int = 0) -> Client:
    client = engine.create_client(name)
    client.set(dedup=True, trust_group=group)
    return client


def put_equal(client: Client, count: int, *, persistent: bool = True) -> int:
    """Puts `count` pages that are alike in every client; returns the pool's id."""
    pool = client.new_pool(persistent=persistent)
    for index in range(count):
        assert pool.put(oid(1), index, random_page(index)) is Put.STORED
    return pool.id


def all_there(client: Client, pool_id: int, count: int) -> None:
    pool = client.pool(pool_id)
    for index in range(count):
        assert pool.read(oid(1), index) == random_page(index)


@pytest.mark.parametrize(
    ("groups", "shares"),
    [((0, 0), False), ((1, 2), False), ((0, 1), False), ((3, 3), True)],
    ids=["alone", "two groups", "one in a group", "same group"],
)
def test_h_contents_are_shared_inside_a_trust_group_only(
    engine: Engine, groups: tuple[int, int], shares: bool
) -> None:
    """By default each client is a group of its own: who can time a put could tell otherwise what
    a neighbour holds."""
    one, two = guest(engine, "one", groups[0]), guest(engine, "two", groups[1])
    put_equal(one, 10)
    alone = engine.usage().payload_bytes
    pool_id = put_equal(two, 10)
    assert two.counters().deduplicated == (10 if shares else 0)
    assert engine.usage().payload_bytes == alone * (1 if shares else 2)
    all_there(two, pool_id, 10)


def test_h_a_shared_pool_shares_contents_with_itself_only(engine: Engine) -> None:
    """Its members may be of different groups, so its contents are nobody's but its own."""
    engine.shared_auth_all = True
    one, two = guest(engine, "one", 1), guest(engine, "two", 2)
    put_equal(one, 10)
    before = two.counters().deduplicated
    mine, theirs = one.new_pool(shared=SHARED), two.new_pool(shared=SHARED)
    for index in range(10):
        assert mine.put(oid(1), index, random_page(index))
    assert one.counters().deduplicated == before
    for index in range(10):
        assert theirs.put(oid(2), index, random_page(index))
    assert two.counters().deduplicated == 10
    for index in range(10):
        assert mine.read(oid(2), index) == theirs.read(oid(1), index) == random_page(index)


@pytest.mark.parametrize("end", ["flush", "destroy the pool", "destroy the client", "replace"])
def test_f_contents_outlive_the_page_they_came_with(
    engine: Engine, restart: Restart, end: str
) -> None:
    """Whoever stored them first may go; those that refer to them keep them, after reopening too,
    and the last to go frees them."""
    one, two = guest(engine, "one", 7), guest(engine, "two", 7)
    empty = engine.usage().payload_bytes
    first = one.pool(put_equal(one, 10))
    second = put_equal(two, 10)
    match end:
        case "flush":
            first.flush()
        case "destroy the pool":
            first.destroy()
        case "destroy the client":
            one.destroy()
        case "replace":
            for index in range(10):
                assert first.put(oid(1), index, page(Kind.SAME, index))
    all_there(two, second, 10)
    held = engine.usage().payload_bytes
    assert held == empty + 10 * PAGE_BYTES
    engine = restart(engine)
    two = engine.find_client("two")
    assert engine.usage().payload_bytes == held
    assert (engine.recovery().damaged_records, engine.counters().damaged) == (0, 0)
    all_there(two, second, 10)
    two.pool(second).flush()
    assert engine.usage().payload_bytes == empty
    engine.shrink(1 << 40)
    third = guest(engine, "three", 7)
    all_there(third, put_equal(third, 10), 10)


def test_a_page_that_differs_in_one_bit_is_another(engine: Engine) -> None:
    """Contents are compared in full."""
    pool = guest(engine, "guest").new_pool(persistent=True)
    pages = [bytes(A)]
    for bit in range(0, 8 * PAGE_BYTES, 1021):
        changed = bytearray(A)
        changed[bit // 8] ^= 1 << bit % 8
        pages.append(bytes(changed))
    for index, contents in enumerate(pages):
        assert pool.put(oid(1), index, contents)
    assert pool.counters().deduplicated == 0
    for index, contents in enumerate(pages):
        assert pool.read(oid(1), index) == contents


@pytest.mark.parametrize("encoding", [Encoding.RAW, Encoding.LZ4, Encoding.ZSTD])
def test_equal_pages_are_found_whatever_each_was_encoded_with(
    engine: Engine, encoding: Encoding
) -> None:
    """It is the page that is compared, not its encoded form; each put counts once."""
    client = guest(engine, "guest")
    pool = client.new_pool(persistent=True)
    for index, chosen in enumerate((encoding, Encoding.LZ4, Encoding.RAW, Encoding.ZSTD)):
        client.set(encoding=chosen)
        assert pool.put(oid(1), index, page(Kind.MEDIUM, 1))
        assert pool.put(oid(1), index, page(Kind.MEDIUM, 1))
    counters = pool.counters()
    assert counters.deduplicated == 7
    assert counters.puts_stored + counters.puts_replaced == 8
    for index in range(4):
        assert pool.read(oid(1), index) == page(Kind.MEDIUM, 1)


def test_switching_dedup_off_keeps_what_is_shared(engine: Engine) -> None:
    """The setting is for pages put from now on."""
    client = guest(engine, "guest")
    pool_id = put_equal(client, 10)
    other = put_equal(client, 10)
    client.set(dedup=False)
    last = put_equal(client, 10)
    assert client.counters().deduplicated == 10
    client.pool(pool_id).destroy()
    all_there(client, other, 10)
    all_there(client, last, 10)


def test_j_shared_contents_are_charged_to_each_that_has_them(engine: Engine) -> None:
    """What a client is charged does not depend on what its neighbours hold, or its cap would
    tell it."""
    one, two = guest(engine, "one", 7), guest(engine, "two", 7)
    put_equal(one, 10)
    put_equal(two, 10)
    assert two.info().persistent_bytes == one.info().persistent_bytes
    one.destroy()
    assert two.info().persistent_bytes == 10 * (PAGE_BYTES + 64)


def test_nothing_leaks_while_contents_come_and_go(open_engine: OpenEngine) -> None:
    """Thousands of puts of few contents, over every way for a page to go: in the end there is
    nothing, and in between nothing is wrong."""
    engine = open_engine(2 * MIB)
    clients = [guest(engine, name, 7) for name in ("one", "two")]
    pools = [
        client.new_pool(persistent=persistent) for client in clients for persistent in (True, False)
    ]
    empty = engine.usage()
    newest: dict[tuple[int, int, int], bytes | None] = {}
    for turn in range(6000):
        number, name, index = turn % 4, turn * 5 % 9, turn * 3 % 31
        contents = page(list(Kind)[turn % 6], turn * 7 % 5)
        put = pools[number].put(oid(name), index, contents)
        newest[number, name, index] = contents if put else None
        if turn % 97 == 0:
            pools[number].flush_object(oid(name))
            newest = {key: page for key, page in newest.items() if key[:2] != (number, name)}
        if turn % 501 == 0:
            engine.shrink(100_000)
        if turn % 1300 == 0:
            pools[number].flush()
            newest = {key: page for key, page in newest.items() if key[0] != number}
        key = (number, turn % 9, turn % 31)
        found = pools[number].read(oid(key[1]), key[2])
        wanted = newest.get(key)
        assert found == wanted or (number % 2 and found is None)
        if number % 2:
            newest.pop(key, None)
    for pool in pools:
        pool.flush()
    engine.shrink(1 << 40)
    after = dataclasses.replace(
        engine.usage(), resident_bytes=0, idle_bytes=0, freeable_bytes=0, heap_bytes=0
    )
    assert after == dataclasses.replace(
        empty, resident_bytes=0, idle_bytes=0, freeable_bytes=0, heap_bytes=0
    )
    assert engine.usage().resident_bytes <= empty.resident_bytes
