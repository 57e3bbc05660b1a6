# SPDX-License-Identifier: GPL-2.0-or-later
"""One regression test for each defect of the old systems that an engine can have: B1-B14.

Numbers are those of docs/semantics.md, which also says why the others cannot exist here. B17-B26
stand in test_defects_of_tables.py; B11 and B18 need threads and stand in test_concurrency.py; B1
stands in test_fairness.py too.
"""

from __future__ import annotations

import itertools
from uuid import UUID

import pytest

from tests.engine.conftest import MIB, SHARED, OpenEngine
from tests.engine.filling import fill_to_the_last_byte, held, put_all
from tests.engine.pages import PAGE_BYTES, Kind, oid, page, random_page
from tmem_host.native import (
    BadPoolFlags,
    Client,
    Encoding,
    Engine,
    FrozenError,
    Pool,
    Put,
)

A, B = random_page(1), random_page(2)


def test_b01_the_client_above_its_share_pays_not_the_one_below(open_engine: OpenEngine) -> None:
    """Xen compared inverse shares the wrong way round: weights punished the wrong client."""
    engine = open_engine(2 * MIB)
    modest, greedy = engine.create_client("modest"), engine.create_client("greedy")
    modest.set(weight=10)
    greedy.set(weight=1)
    calm, busy = modest.new_pool(), greedy.new_pool()
    put_all(calm, 1, 200)
    put_all(busy, 1, 3000)
    assert held(calm, 1, 200) == set(range(200))
    put_all(calm, 1, 3000)
    assert modest.info().ephemeral_bytes > 5 * greedy.info().ephemeral_bytes


def test_b02_a_put_without_room_drops_the_older_page(open_engine: OpenEngine) -> None:
    """Xen 4.4 gave up for want of memory before it looked for the page that was there."""
    engine = open_engine(MIB)
    pool = engine.create_client("guest").new_pool(persistent=True)
    assert pool.put(oid(1), 0, page(Kind.SAME, 1))
    fill_to_the_last_byte(pool)
    assert pool.put(oid(1), 0, B) is Put.DROPPED
    assert pool.read(oid(1), 0) is None
    assert engine.counters().refused_full > 0


def test_b03_a_put_that_a_filter_refuses_drops_the_older_page(
    engine: Engine, ephemeral: Pool
) -> None:
    """zcache2 returned from its filter of one-touch pages with the older page in place."""
    assert ephemeral.put(oid(1), 0, A)
    engine.set_policy(admission="second-chance")
    answer = ephemeral.put(oid(1), 0, B)
    assert answer in (Put.STORED, Put.DROPPED)
    assert ephemeral.read(oid(1), 0) == (B if answer else None)
    assert ephemeral.put(oid(2), 0, A) is Put.NO_ROOM
    assert ephemeral.put(oid(2), 0, A) is Put.STORED


def test_b04_a_get_into_a_bad_buffer_loses_nothing(engine: Engine, ephemeral: Pool) -> None:
    """Xen unlinked the page before it copied, and left it on its lists when the copy failed."""
    put_all(ephemeral, 1, 10)
    for buffer in (bytearray(PAGE_BYTES - 1), bytearray(PAGE_BYTES + 1), bytearray()):
        with pytest.raises(ValueError, match="4096"):
            ephemeral.get(oid(1), 0, buffer)
    with pytest.raises(ValueError, match="writable"):
        ephemeral.get(oid(1), 0, bytes(PAGE_BYTES))
    assert ephemeral.info().pages == 10
    assert held(ephemeral, 1, 10) == set(range(10))
    put_all(ephemeral, 1, 10)
    assert engine.shrink(4 * MIB).evicted_pages == 10


def test_b05_a_pool_that_a_member_left_can_still_be_evicted(
    engine: Engine, shared: tuple[Pool, Pool]
) -> None:
    """Xen left the pool marked as dying: its pages were never evicted again."""
    mine, theirs = shared
    put_all(mine, 1, 10)
    theirs.destroy()
    put_all(mine, 1, 10)
    assert engine.shrink(4 * MIB).evicted_pages == 10
    assert held(mine, 1, 10) == set()


def test_b06_destroying_a_client_frees_what_it_held(engine: Engine, client: Client) -> None:
    """Xen's operation of that name only thawed the client."""
    before = engine.usage()
    for persistent in (False, True):
        put_all(client.new_pool(persistent=persistent), 1, 50)
    client.freeze()
    client.destroy()
    usage = engine.usage()
    assert (usage.ephemeral_pages, usage.persistent_pages) == (0, 0)
    assert (usage.clients, usage.pools, usage.objects) == (0, 0, 0)
    assert usage.payload_bytes == before.payload_bytes
    engine.shrink(4 * MIB)
    assert engine.usage().resident_bytes <= before.resident_bytes


def test_b07_handing_over_a_pool_hands_over_nothing_else(
    client: Client, other: Client, shared: tuple[Pool, Pool]
) -> None:
    """Xen spliced the old owner's whole list into the new owner's, private pages included."""
    mine, theirs = shared
    private = client.new_pool()
    put_all(private, 1, 7)
    put_all(mine, 1, 5)
    charged = private.info().bytes
    mine.destroy()
    put_all(theirs, 2, 3)
    assert (client.info().ephemeral_pages, other.info().ephemeral_pages) == (7, 3)
    assert client.info().ephemeral_bytes == charged
    assert other.reclaim(MIB) == 3 * (PAGE_BYTES + 64)
    assert held(private, 1, 7) == set(range(7))


def test_b08_a_page_of_a_shared_pool_remembers_who_put_it(shared: tuple[Pool, Pool]) -> None:
    """Xen noted the pool's owner instead, so that what one client found of another's could not
    be told, nor whose pages to drop when a member left."""
    mine, theirs = shared
    put_all(theirs, 1, 4)
    assert held(theirs, 1, 4) == set(range(4))
    assert (theirs.counters().gets_hit, theirs.counters().hits_other) == (4, 0)
    assert held(mine, 1, 4) == set(range(4))
    assert (mine.counters().gets_hit, mine.counters().hits_other) == (4, 4)


def test_b09_every_page_of_every_pool_comes_back_every_time(open_engine: OpenEngine) -> None:
    """Xen's save left out the first page of each pool, and sent nothing the second time. Here
    the arena is what is saved."""
    engine = open_engine()
    guest = engine.create_client("guest")
    pools = [guest.new_pool(persistent=True).id for _ in range(4)]
    for count, pool in enumerate(pools):
        put_all(guest.pool(pool), 1, count)
    for _ in range(3):
        engine.close()
        engine = open_engine()
        guest = engine.find_client("guest")
        assert not guest.settings().frozen
        for count, pool in enumerate(pools):
            assert held(guest.pool(pool), 1, count) == set(range(count))


def test_b10_settings_come_back_as_they_were(open_engine: OpenEngine) -> None:
    """Xen's restore set weight and cap to 0, later ignored that the client was frozen."""
    engine = open_engine()
    settings = engine.create_client("guest").set(
        weight=7,
        trust_group=3,
        cap_bytes=5 * MIB,
        persistent_quota_bytes=3 * MIB,
        encoding=Encoding.ZSTD,
        zstd_level=5,
        dedup=True,
        frozen=True,
    )
    engine.close()
    guest = open_engine().find_client("guest")
    assert guest.settings() == settings
    with pytest.raises(FrozenError):
        guest.new_pool()


def test_b12_b13_a_uuid_is_compared_as_it_is_printed(
    engine: Engine, client: Client, other: Client
) -> None:
    """Xen swapped halves and bytes between the operator's text and the guest's flags, and took
    the digits A-F for 0-5. Here all sixteen bytes count, in the order in which blkid prints."""
    printed = "0a1b2c3d-4e5f-6789-abcd-ef0123456789"
    client.auth_add(UUID(printed))
    assert client.new_pool(shared=UUID(printed.upper())).info().uuid == UUID(printed)
    right = UUID(printed)
    wrong = {
        UUID(bytes=right.bytes[::-1]),
        UUID(bytes=right.bytes[8:] + right.bytes[:8]),
        UUID(bytes_le=right.bytes),
        *(UUID(int=right.int ^ 1 << bit) for bit in range(128)),
    }
    for uuid in wrong:
        assert not client.new_pool(shared=uuid).granted_shared
        other.auth_add(uuid)
    assert not other.new_pool(shared=right).granted_shared
    assert engine.usage().shared_pools == 1


def test_b14_no_word_of_a_guest_gives_it_a_right(
    engine: Engine, client: Client, other: Client
) -> None:
    """Any guest could authorise itself, and one client number switched the whole host. Nothing
    that a guest sends, flags and uuid of a pool, changes who may share what."""
    client.auth_add(SHARED)
    store = client.new_pool(shared=SHARED)
    assert store.put(oid(1), 0, A)
    for bit, uuid in itertools.product(range(32), (SHARED, UUID(int=0), UUID(int=2**128 - 1))):
        try:
            got = other.new_pool(shared=uuid, flags=1 << 24 | 2 | 1 << bit)
        except BadPoolFlags:
            continue
        assert not got.granted_shared
        assert got.read(oid(1), 0) is None
    assert other.auth_list() == []
    assert client.auth_list() == [SHARED]
    assert engine.shared_auth_all is False
    assert store.info().members == 1
