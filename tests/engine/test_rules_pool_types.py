# SPDX-License-Identifier: GPL-2.0-or-later
"""Rules 15-26: ephemeral and persistent pools, and how pools come and go.

The numbers are those of docs/semantics.md.
"""

from __future__ import annotations

import errno
from collections.abc import Callable

import pytest

from tests.engine.conftest import MIB, SHARED, OpenEngine
from tests.engine.filling import TOO_MANY_PAGES, fill, held, put_all
from tests.engine.pages import oid, random_page
from tmem_host.native import (
    BadPoolFlags,
    Client,
    ClientGone,
    Engine,
    Pool,
    PoolFlags,
    Put,
    UnknownPool,
)

A = random_page(1)
VERSION = 1 << 24


def test_rule_15_a_hit_on_a_private_ephemeral_pool_removes_the_page(
    engine: Engine, ephemeral: Pool
) -> None:
    """The guest has the page then, so keeping it would only cost memory."""
    assert ephemeral.put(oid(1), 0, A)
    assert ephemeral.read(oid(1), 0) == A
    assert ephemeral.read(oid(1), 0) is None
    assert (engine.usage().ephemeral_pages, engine.usage().objects) == (0, 0)


def test_rule_16_a_hit_on_a_shared_pool_keeps_and_promotes_the_page(
    engine: Engine, shared: tuple[Pool, Pool]
) -> None:
    """The page stays for the other members and becomes the last to be evicted."""
    mine, theirs = shared
    put_all(mine, 1, 40)
    for _ in range(2):
        assert theirs.read(oid(1), 0) == random_page(0)
    while engine.usage().ephemeral_pages > 4:
        engine.shrink(engine.usage().extent_bytes)
    survivors = held(mine, 1, 40)
    assert 0 in survivors
    assert 1 not in survivors


def test_rule_17_a_hit_on_a_persistent_pool_keeps_the_page(persistent: Pool) -> None:
    """It is the only copy until the guest flushes it."""
    assert persistent.put(oid(1), 0, A)
    for _ in range(3):
        assert persistent.read(oid(1), 0) == A
    assert persistent.info().pages == 1


def test_rule_18_persistent_pages_are_never_evicted(
    engine: Engine, client: Client, persistent: Pool, ephemeral: Pool
) -> None:
    """Not for other puts, not for a smaller budget, not for a shrink, not for a reclaim."""
    put_all(persistent, 1, 100)
    put_all(ephemeral, 2, 2000)
    engine.set_budget(0)
    engine.shrink(1 << 40)
    client.reclaim(1 << 40)
    assert engine.usage().ephemeral_pages == 0
    assert held(persistent, 1, 100) == set(range(100))


def test_rule_19_a_persistent_put_fails_at_the_clients_quota(
    engine: Engine, client: Client, other: Client, persistent: Pool
) -> None:
    """However much room the host has; and no other client is limited by it."""
    quota = 100_000
    client.set(persistent_quota_bytes=quota)
    stored = fill(persistent)
    assert client.info().persistent_bytes <= quota
    assert quota - client.info().persistent_bytes < 4096 + 64
    assert persistent.counters().refused_quota == 1
    assert len(stored) > quota // (4096 + 64) - 2
    assert engine.usage().resident_bytes < MIB
    put_all(other.new_pool(persistent=True), 1, 100)


def test_rule_20_ephemeral_pages_are_not_charged_to_the_quota(
    client: Client, ephemeral: Pool, persistent: Pool
) -> None:
    """They can be had back at any time, so they never keep a persistent page out."""
    client.set(persistent_quota_bytes=20_000)
    put_all(ephemeral, 1, 100)
    assert client.info().persistent_bytes == 0
    put_all(persistent, 1, 3)
    put_all(ephemeral, 2, 100)


def test_rule_21_a_get_on_an_empty_pool_is_not_counted_as_a_get(pool: Pool) -> None:
    """Nor is it when all its pages were flushed; with one page in it a miss is a miss."""
    assert pool.read(oid(1), 0) is None
    put_all(pool, 1, 1)
    assert pool.read(oid(1), 1) is None
    pool.flush()
    assert pool.read(oid(1), 0) is None
    counters = pool.counters()
    assert (counters.gets_empty, counters.gets_missed, counters.gets_hit) == (2, 1, 0)


@pytest.mark.parametrize(
    ("flags", "code"),
    [
        (0, errno.EPROTO),  # version 0
        (2 << 24, errno.EPROTO),
        (255 << 24, errno.EPROTO),
        (VERSION | 1 << 4, errno.EOPNOTSUPP),  # pages of 8 KiB
        (VERSION | 15 << 4, errno.EOPNOTSUPP),
        (VERSION | 4, errno.EOPNOTSUPP),  # precompressed
        *((VERSION | 1 << bit, errno.EINVAL) for bit in (3, *range(8, 24))),
    ],
)
@pytest.mark.parametrize("more", [0, PoolFlags.PERSISTENT, PoolFlags.SHARED])
def test_rule_23_bad_pool_flags_are_refused_and_make_nothing(
    engine: Engine, client: Client, flags: int, code: int, more: int
) -> None:
    """Another version, another page size, precompression and a reserved bit each have an error
    of their own, where Xen said -EPERM to all."""
    client.auth_add(SHARED)
    before = engine.usage()
    with pytest.raises(BadPoolFlags) as caught:
        client.new_pool(shared=SHARED, flags=flags | more)
    assert caught.value.errno == code
    assert engine.usage() == before
    assert client.pools() == []


def test_rule_24_a_pool_cannot_be_shared_and_persistent(engine: Engine, client: Client) -> None:
    """A persistent page has one guest that flushes it; authorised or not, nothing is made."""
    client.auth_add(SHARED)
    before = engine.usage()
    with pytest.raises(BadPoolFlags) as caught:
        client.new_pool(persistent=True, shared=SHARED)
    assert caught.value.errno == errno.EPERM
    assert engine.usage() == before


def test_rule_25_a_destroyed_pool_has_no_pages_and_no_id(
    engine: Engine, client: Client, private: Pool
) -> None:
    """All its pages are freed, and every call on its id finds no pool."""
    put_all(private, 1, 50)
    assert private.destroy()
    usage = engine.usage()
    assert (usage.ephemeral_pages, usage.persistent_pages, usage.objects) == (0, 0, 0)
    assert (usage.payload_bytes, usage.slot_bytes, usage.pools) == (0, 0, 0)
    calls: list[Callable[[], object]] = [
        lambda: private.put(oid(1), 0, A),
        lambda: private.read(oid(1), 0),
        lambda: private.flush_page(oid(1), 0),
        lambda: private.flush_object(oid(1)),
        lambda: private.flush_range(oid(1), 0, 1),
        private.flush,
        private.info,
        private.counters,
        private.serve_empty,
    ]
    for call in calls:
        with pytest.raises(UnknownPool):
            call()
    assert not private.destroy()
    assert client.pools() == []


def test_rule_25_an_id_is_not_given_to_the_next_pool(client: Client) -> None:
    """A late call on an old id must not reach a new pool; Xen gave the lowest free id (22)."""
    seen = set()
    for _ in range(1000):
        made = client.new_pool()
        assert made.id not in seen
        seen.add(made.id)
        made.destroy()


def test_rule_26_the_end_of_a_client_destroys_its_pools_and_leaves_the_shared(
    engine: Engine, client: Client, other: Client, shared: tuple[Pool, Pool]
) -> None:
    """Nothing of it stays but what belongs to others; its name is free."""
    _mine, theirs = shared
    put_all(client.new_pool(), 1, 20)
    put_all(client.new_pool(persistent=True), 1, 20)
    client.destroy()
    usage = engine.usage()
    assert (usage.persistent_pages, usage.ephemeral_pages, usage.pools) == (0, 0, 1)
    info = theirs.info()
    assert (info.members, info.owner) == (1, other.uid)
    put_all(theirs, 1, 5)
    assert other.info().ephemeral_pages == 5
    with pytest.raises(ClientGone):
        client.new_pool()
    again = engine.create_client("guest")
    assert (again.pools(), again.auth_list()) == ([], [])


def test_rule_26_frees_the_memory_for_others(open_engine: OpenEngine) -> None:
    """A new client can store as much as the one that is gone."""
    engine = open_engine(MIB)
    counts = []
    for turn in range(3):
        guest = engine.create_client(f"guest {turn}")
        counts.append(len(fill(guest.new_pool(persistent=True))))
        guest.destroy()
    assert 100 < counts[0] < TOO_MANY_PAGES
    assert counts[1:] == [counts[0]] * 2
    assert engine.create_client("last").new_pool(persistent=True).put(oid(1), 0, A) is Put.STORED
