# SPDX-License-Identifier: GPL-2.0-or-later
"""Rule R: after an arena was opened again a shared pool waits for all its members."""

from __future__ import annotations

import pytest

from tests.engine.conftest import SHARED, Restart
from tests.engine.filling import held, put_all
from tests.engine.pages import oid, random_page
from tmem_host.native import (
    Engine,
    Put,
)


def shared_pool(engine: Engine) -> int:
    """Three members; each has put four pages in an object of its own. The id that all have."""
    ids = set()
    for number, name in enumerate(("one", "two", "three")):
        client = engine.create_client(name)
        client.auth_add(SHARED)
        pool = client.new_pool(shared=SHARED)
        put_all(pool, number, 4)
        ids.add(pool.id)
    assert len(ids) == 1
    return ids.pop()


def test_a_shared_pool_is_served_once_every_member_is_back(
    engine: Engine, restart: Restart
) -> None:
    """Until then gets miss and puts are refused and drop: a member that is away may have
    overwritten on disk what the pool holds (R). Flushes work at any time."""
    pool_id = shared_pool(engine)
    engine = restart(engine)
    clients = [engine.find_client(name) for name in ("one", "two", "three")]
    pools = [client.pool(pool_id) for client in clients]
    for client in clients[:2]:
        client.resume()
        for pool in pools:
            assert not pool.info().served
            assert held(pool, 0, 4) == set()
    assert engine.usage().unserved_pools == 1
    assert pools[0].counters().gets_unserved == 8
    assert pools[0].put(oid(0), 0, random_page(9)) is Put.DROPPED
    assert pools[0].put(oid(9), 0, random_page(9)) is Put.UNSERVED
    assert pools[0].counters().refused_unserved == 2
    pools[1].flush_page(oid(0), 1)
    pools[2].flush_object(oid(2))
    clients[2].resume()
    assert engine.usage().unserved_pools == 0
    for pool in pools:
        assert held(pool, 0, 4) == {2, 3}
        assert held(pool, 1, 4) == {0, 1, 2, 3}
        assert held(pool, 2, 4) == set()
        assert held(pool, 9, 1) == set()
    assert pools[0].put(oid(9), 0, random_page(0)) is Put.STORED


def test_a_shared_pool_whose_member_stays_away_starts_empty(
    engine: Engine, restart: Restart
) -> None:
    """The operator says so, and nothing of before is served."""
    pool_id = shared_pool(engine)
    engine = restart(engine)
    one, two = engine.find_client("one"), engine.find_client("two")
    one.resume()
    one.pool(pool_id).serve_empty()
    pools = [one.pool(pool_id), two.pool(pool_id)]
    for pool in pools:
        assert pool.info().served
        for number in range(3):
            assert held(pool, number, 4) == set()
    put_all(pools[0], 1, 4)
    assert held(pools[1], 1, 4) == set(range(4))
    one.pool(pool_id).serve_empty()
    assert held(pools[1], 1, 4) == set(range(4)), "a pool that is served was emptied"


@pytest.mark.parametrize("end", ["leave", "destroy the client"])
def test_a_member_that_goes_instead_of_resuming_empties_the_pool(
    engine: Engine, restart: Restart, end: str
) -> None:
    """As always when one leaves (R(1)); the rest are served then."""
    pool_id = shared_pool(engine)
    engine = restart(engine)
    one, two, three = (engine.find_client(name) for name in ("one", "two", "three"))
    one.resume()
    two.resume()
    if end == "leave":
        three.pool(pool_id).destroy()
    else:
        three.destroy()
    pool = one.pool(pool_id)
    assert (pool.info().served, pool.info().pages) == (True, 0)
    put_all(pool, 1, 4)
    assert held(two.pool(pool_id), 1, 4) == set(range(4))


def test_a_member_joining_anew_is_not_a_member_that_is_back(
    engine: Engine, restart: Restart
) -> None:
    """A pool that waits goes on waiting for those it knew."""
    pool_id = shared_pool(engine)
    engine = restart(engine)
    fourth = engine.create_client("four")
    fourth.auth_add(SHARED)
    pool = fourth.new_pool(shared=SHARED)
    assert pool.granted_shared
    assert not pool.info().served
    assert pool.put(oid(1), 0, random_page(1)) in (Put.UNSERVED, Put.DROPPED)
    for name in ("one", "two", "three"):
        assert not pool.info().served
        engine.find_client(name).resume()
    assert pool.info().served
    del pool_id
