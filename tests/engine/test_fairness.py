# SPDX-License-Identifier: GPL-2.0-or-later
"""Shares by weight (J, rules 42 and 43, defect B1)."""

from __future__ import annotations

import itertools

import pytest

from tests.engine.arenas import EXTENT_BYTES
from tests.engine.conftest import MIB, SHARED, OpenEngine
from tests.engine.filling import held, put_all
from tests.engine.pages import Kind, oid, page, random_page
from tmem_host.native import Client, Engine, Pool

WEIGHTS = (1, 2, 5)
TOLERANCE = 0.05


def weighted(engine: Engine, weights: tuple[int, ...]) -> list[tuple[Client, Pool]]:
    """A client of each weight with an ephemeral pool."""
    clients = [engine.create_client(f"guest {number}") for number in range(len(weights))]
    for client, weight in zip(clients, weights, strict=True):
        client.set(weight=weight)
    return [(client, client.new_pool()) for client in clients]


def shares(guests: list[tuple[Client, Pool]]) -> list[float]:
    held_bytes = [client.info().ephemeral_bytes for client, _pool in guests]
    return [bytes_ / sum(held_bytes) for bytes_ in held_bytes]


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_j_shares_under_pressure_follow_the_weights(
    open_engine: OpenEngine, order: tuple[int, int, int]
) -> None:
    """Weights 1:2:5, all putting more than there is room for, hold 1:2:5 within 5 %, whoever
    begins."""
    engine = open_engine(8 * MIB)
    guests = weighted(engine, WEIGHTS)
    for number in order:
        put_all(guests[number][1], 0, 1000)
    for index in range(6000):
        guests[order[index % 3]][1].put(oid(1), index, random_page(index % 500))
    for share, weight in zip(shares(guests), WEIGHTS, strict=True):
        wanted = weight / sum(WEIGHTS)
        assert abs(share - wanted) <= TOLERANCE * wanted
    for client, _pool in guests:
        info = client.info()
        assert abs(info.share_bytes - info.ephemeral_bytes) <= TOLERANCE * info.share_bytes


def test_j_shares_follow_weights_with_pages_of_all_sizes(open_engine: OpenEngine) -> None:
    """Shares are of bytes, not of pages: one guest's compress, another's do not."""
    engine = open_engine(8 * MIB)
    guests = weighted(engine, WEIGHTS)
    kinds = (Kind.RANDOM, Kind.SMALL, Kind.MEDIUM)
    for index in range(8000):
        for (_client, pool), kind in zip(guests, kinds, strict=True):
            pool.put(oid(1), index, page(kind, index % 300))
    for share, weight in zip(shares(guests), WEIGHTS, strict=True):
        wanted = weight / sum(WEIGHTS)
        assert abs(share - wanted) <= TOLERANCE * wanted


def test_j_new_weights_take_effect(open_engine: OpenEngine) -> None:
    """Weights are relative and can change at any time."""
    engine = open_engine(4 * MIB)
    guests = weighted(engine, (10, 10))
    for turn, weights in enumerate(((10, 10), (10, 30), (3, 1))):
        for (client, _pool), weight in zip(guests, weights, strict=True):
            client.set(weight=weight)
        for index in range(3000):
            for _client, pool in guests:
                pool.put(oid(turn), index, random_page(index % 500))
        share = shares(guests)[0]
        wanted = weights[0] / sum(weights)
        assert abs(share - wanted) <= TOLERANCE * wanted


@pytest.mark.parametrize("weights", [(1, 1), (1, 5), (5, 1), (1, 50)])
def test_j_a_client_below_its_share_never_loses_a_page_to_one_above(
    open_engine: OpenEngine, weights: tuple[int, int]
) -> None:
    """Checked while the one above puts, however old the pages of the one below are (B1)."""
    engine = open_engine(2 * MIB)
    (modest, calm), (greedy, busy) = weighted(engine, weights)
    put_all(busy, 1, 600)
    share_pages = engine.usage().ephemeral_pages * weights[0] // sum(weights)
    count = share_pages * 3 // 4
    put_all(calm, 1, count)
    for index in range(2000):
        assert busy.put(oid(2), index, random_page(index % 500))
        if index % 50 == 0:
            assert modest.info().ephemeral_pages == count
            assert greedy.info().ephemeral_bytes > greedy.info().share_bytes
    assert held(calm, 1, count) == set(range(count))


def test_j_below_its_share_a_client_takes_from_those_above(open_engine: OpenEngine) -> None:
    """Its puts are stored at once, at the cost of whoever holds too much."""
    engine = open_engine(2 * MIB)
    (modest, calm), (greedy, busy) = weighted(engine, (1, 1))
    put_all(busy, 1, 1000)
    was = greedy.info().ephemeral_pages
    for index in range(100):
        assert calm.put(oid(1), index, random_page(index))
    assert modest.info().ephemeral_pages == 100
    assert was - greedy.info().ephemeral_pages >= 90
    assert held(calm, 1, 100) == set(range(100))


def test_j_without_a_weight_a_client_has_no_claim(open_engine: OpenEngine) -> None:
    """It may use what is free, and goes first when those with weights want it."""
    engine = open_engine(2 * MIB)
    guests = weighted(engine, (0, 1))
    put_all(guests[0][1], 1, 1000)
    assert guests[0][0].info().share_bytes == 0
    assert guests[0][0].info().ephemeral_pages > 300
    put_all(guests[1][1], 1, 1000)
    assert guests[0][0].info().ephemeral_pages < 20


def test_j_an_idle_weight_reserves_nothing(open_engine: OpenEngine) -> None:
    """A client that puts nothing leaves its share to the others."""
    engine = open_engine(2 * MIB)
    guests = weighted(engine, (100, 1))
    put_all(guests[1][1], 1, 1000)
    # An extent of 16 KiB has room for three of these pages.
    assert guests[1][0].info().ephemeral_bytes > 0.95 * 2 * MIB * 3 * 4160 / EXTENT_BYTES


def test_j_a_shared_pool_weighs_on_its_owner(open_engine: OpenEngine) -> None:
    """Whoever puts the pages: those of the pool count for its owner, who pays by its own."""
    engine = open_engine(4 * MIB)
    engine.shared_auth_all = True
    (owner, own), (_other, private), (member, _unused) = weighted(engine, (1, 1, 1))
    store = owner.new_pool(shared=SHARED)
    joined = member.new_pool(shared=SHARED)
    for index in range(3000):
        assert private.put(oid(1), index, random_page(index % 500))
        assert joined.put(oid(1), index, random_page(index % 500))
        assert own.put(oid(1), index % 20, random_page(index % 500))
    assert member.info().ephemeral_bytes == 0
    assert store.info().bytes + own.info().bytes == owner.info().ephemeral_bytes
    assert abs(shares([(owner, own), (_other, private)])[0] - 0.5) <= TOLERANCE


def test_j_a_cap_is_never_exceeded(open_engine: OpenEngine) -> None:
    """Xen stored and printed caps and never enforced them. At its cap a client evicts its own
    ephemeral pages, for persistent ones too; with nothing of its own to evict it is refused."""
    engine = open_engine(4 * MIB)
    client = engine.create_client("guest")
    cap = 200_000
    client.set(cap_bytes=cap)
    ephemeral, persistent = client.new_pool(), client.new_pool(persistent=True)

    def charged() -> int:
        info = client.info()
        return info.ephemeral_bytes + info.persistent_bytes

    for index in range(200):
        assert ephemeral.put(oid(1), index, random_page(index))
        assert charged() <= cap
    assert charged() > cap - 4200
    stored = 0
    for index in range(200):
        if not persistent.put(oid(1), index, random_page(index)):
            break
        stored += 1
        assert charged() <= cap
    assert client.info().ephemeral_pages == 0
    assert stored == cap // 4160
    assert client.counters().refused_cap == 1
    assert held(persistent, 1, stored) == set(range(stored))
    assert engine.usage().resident_bytes < MIB
    assert not ephemeral.put(oid(1), 0, random_page(0))
    client.set(cap_bytes=0)
    assert ephemeral.put(oid(1), 0, random_page(0))


def test_j_a_cap_that_is_lowered_takes_effect_with_the_next_puts(open_engine: OpenEngine) -> None:
    """What is above it is evicted as the client puts, and nobody else pays."""
    engine = open_engine(4 * MIB)
    client, neighbour = engine.create_client("guest"), engine.create_client("neighbour")
    pool, other = client.new_pool(), neighbour.new_pool()
    put_all(pool, 1, 200)
    put_all(other, 1, 200)
    client.set(cap_bytes=100_000)
    for index in range(100):
        pool.put(oid(2), index, random_page(index))
    assert client.info().ephemeral_bytes <= 100_000
    assert held(other, 1, 200) == set(range(200))
