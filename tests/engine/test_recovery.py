# SPDX-License-Identifier: GPL-2.0-or-later
"""Guarantee F: what comes back when an arena is opened again, and what must not (E, G, R)."""

from __future__ import annotations

import errno
import signal
import subprocess
import sys
from pathlib import Path
from uuid import UUID

import pytest

from tests.engine.conftest import MIB, SHARED, OpenEngine, Restart
from tests.engine.filling import fill, held, put_all
from tests.engine.pages import INDICES, OIDS, Kind, oid, page, random_page
from tmem_host.native import (
    ArenaError,
    Encoding,
    Engine,
    PoolFlags,
    Put,
    UnknownClient,
    UnknownPool,
    check_arena,
)


@pytest.mark.parametrize("dedup", [False, True])
@pytest.mark.parametrize("encoding", [Encoding.RAW, Encoding.LZ4, Encoding.ZSTD])
def test_every_acknowledged_persistent_page_comes_back(
    engine: Engine, restart: Restart, encoding: Encoding, dedup: bool
) -> None:
    """Bit for bit, whatever its name, its contents and how they are kept; ephemeral ones too."""
    client = engine.create_client("guest")
    client.set(encoding=encoding, dedup=dedup)
    wanted = {}
    for persistent in (True, False):
        pool = client.new_pool(persistent=persistent)
        for number, name in enumerate(OIDS):
            for index in INDICES:
                kind = list(Kind)[(number + index) % len(Kind)]
                contents = page(kind, (number + index) % 3)
                assert pool.put(name, index, contents)
                wanted[pool.id, name, index] = contents
    before = engine.usage()
    engine = restart(engine)
    client = engine.find_client("guest")
    recovery, usage = engine.recovery(), engine.usage()
    assert recovery.pages == len(wanted)
    assert (recovery.damaged_records, recovery.damaged_rows, recovery.damaged_extents) == (0, 0, 0)
    assert (usage.persistent_pages, usage.ephemeral_pages) == (len(wanted) // 2,) * 2
    assert (usage.payload_bytes, usage.slot_bytes) == (before.payload_bytes, before.slot_bytes)
    for (pool_id, name, index), contents in wanted.items():
        assert client.pool(pool_id).read(name, index) == contents


def test_nothing_comes_back_older(engine: Engine, restart: Restart) -> None:
    """What was replaced, flushed, taken, refused or destroyed stays so."""
    client = engine.create_client("guest")
    client.set(encoding=Encoding.LZ4)
    persistent, ephemeral = client.new_pool(persistent=True), client.new_pool()
    doomed = client.new_pool(persistent=True)
    for pool in (persistent, ephemeral, doomed):
        for number in range(6):
            put_all(pool, number, 8)
    for pool in (persistent, ephemeral):
        pool.flush_page(oid(0), 0)
        pool.flush_range(oid(1), 2, 4)
        pool.flush_object(oid(2))
        for index, kind in enumerate(Kind):
            assert pool.put(oid(3), index, page(kind, 77))
    assert held(ephemeral, 4, 8) == set(range(8))
    client.set(persistent_quota_bytes=1)
    assert persistent.put(oid(5), 0, random_page(99)) is Put.DROPPED
    doomed.destroy()
    engine = restart(engine)
    client = engine.find_client("guest")
    assert [pool.id for pool in client.pools()] == [persistent.id, ephemeral.id]
    for pool in client.pools():
        assert held(pool, 0, 8) == set(range(1, 8))
        assert held(pool, 1, 8) == {0, 1, 6, 7}
        assert held(pool, 2, 8) == set()
        for index, kind in enumerate(Kind):
            assert pool.read(oid(3), index) == page(kind, 77)
    persistent, ephemeral = client.pools()
    assert held(ephemeral, 4, 8) == set()
    assert held(persistent, 5, 8) == set(range(1, 8))
    assert held(ephemeral, 5, 8) == set(range(8))


def test_a_flushed_pool_stays_empty(engine: Engine, restart: Restart) -> None:
    """Also for the pages put after the flush: those are there."""
    pool = engine.create_client("guest").new_pool(persistent=True)
    put_all(pool, 1, 50)
    pool.flush()
    put_all(pool, 2, 5)
    pool = restart(engine).find_client("guest").pool(pool.id)
    assert pool.info().pages == 5
    assert held(pool, 1, 50) == set()
    assert held(pool, 2, 5) == set(range(5))


def test_clients_pools_rights_and_members_come_back(engine: Engine, restart: Restart) -> None:
    """The tables are as durable as the pages: settings, ids, uuids, owners, order of joining."""
    neighbour = UUID(int=1)
    engine.shared_auth_all = True
    names = ["zeta", "guest", "a" * 127]
    clients = [engine.create_client(name) for name in names]
    for number, client in enumerate(clients):
        client.set(weight=number, cap_bytes=number * MIB, encoding=Encoding.ZSTD)
        client.auth_add(neighbour)
        client.auth_add(SHARED)
        client.auth_remove(neighbour)
        client.new_pool(persistent=True)
        client.new_pool().destroy()
        client.new_pool(shared=SHARED)
    clients[1].new_pool(shared=SHARED)
    clients[0].destroy()
    kept = [
        (client.info(), client.auth_list(), [pool.info() for pool in client.pools()])
        for client in clients[1:]
    ]
    engine = restart(engine)
    assert engine.shared_auth_all is True
    assert [client.name for client in engine.clients()] == names[1:]
    for client, (info, auth, pools) in zip(engine.clients(), kept, strict=True):
        now = client.info()
        assert now.resumed is False
        assert (now.uid, now.settings, now.pools) == (info.uid, info.settings, info.pools)
        assert client.auth_list() == auth == [SHARED]
        assert [pool.id for pool in client.pools()] == [pool.id for pool in pools]
        for pool, was in zip(client.pools(), pools, strict=True):
            found = pool.info()
            assert (found.flags, found.uuid, found.members) == (was.flags, was.uuid, was.members)
            assert found.owner == was.owner == (engine.clients()[0].uid if was.uuid else info.uid)
            assert found.served is (PoolFlags.SHARED not in was.flags)
    with pytest.raises(UnknownClient):
        engine.find_client("zeta")


def test_an_id_of_before_is_not_given_again(engine: Engine, restart: Restart) -> None:
    """A guest that kept the id of a pool that is gone must not reach another with it."""
    client = engine.create_client("guest")
    ids = {client.new_pool().id for _ in range(5)}
    for pool in client.pools():
        pool.destroy()
    for _ in range(3):
        engine = restart(engine)
        client = engine.find_client("guest")
        for _ in range(5):
            made = client.new_pool()
            assert made.id not in ids
            ids.add(made.id)
            made.destroy()
            with pytest.raises(UnknownPool):
                made.info()


# ---- the arena itself --------------------------------------------------------------------------


def test_one_engine_at_a_time_has_an_arena(engine: Engine, open_engine: OpenEngine) -> None:
    """The second is told so; closing the first lets it in."""
    with pytest.raises(ArenaError) as caught:
        open_engine(path=Path(engine.path))
    assert caught.value.errno == errno.EBUSY
    assert str(caught.value).strip()
    engine.close()
    open_engine(path=Path(engine.path)).create_client("guest")


def test_a_smaller_budget_keeps_what_is_persistent(engine: Engine, open_engine: OpenEngine) -> None:
    """A budget that persistent pages do not allow costs none of them."""
    client = engine.create_client("guest")
    persistent, ephemeral = client.new_pool(persistent=True), client.new_pool()
    put_all(persistent, 1, 200)
    put_all(ephemeral, 2, 200)
    engine.close()
    engine = open_engine(100_000, Path(engine.path))
    client = engine.find_client("guest")
    assert held(client.pool(persistent.id), 1, 200) == set(range(200))
    engine.shrink(MIB)
    assert held(client.pool(persistent.id), 1, 200) == set(range(200))
    more = len(fill(client.pool(persistent.id)))
    assert more < 10  # into places that were free already
    assert engine.counters().refused_full == 1
    engine.set_budget(4 * MIB)
    assert client.pool(persistent.id).put(oid(3), 0, random_page(3)) is Put.STORED


def test_reopening_costs_nothing_but_the_counters(engine: Engine, restart: Restart) -> None:
    """Twenty times over: what is resident does not grow, and no page is lost."""
    client = engine.create_client("guest")
    client.set(dedup=True)
    pool_id = client.new_pool(persistent=True).id
    put_all(client.pool(pool_id), 1, 100)
    first = engine.usage()
    for turn in range(20):
        engine = restart(engine)
        pool = engine.find_client("guest").pool(pool_id)
        assert pool.counters().puts_stored == 0
        assert pool.put(oid(1), turn, random_page(turn))
        assert engine.usage().persistent_pages == 100
        assert engine.usage().resident_bytes <= first.resident_bytes + 2 * first.extent_bytes
    assert held(pool, 1, 100) == set(range(100))


CHILD = """
import itertools, sys
from tests.engine.pages import oid, random_page
from tmem_host.native import Engine
with Engine(sys.argv[1], budget_bytes=4 << 20, max_bytes=64 << 20, extent_bytes=16 << 10) as engine:
    pool = engine.create_client("guest").new_pool(persistent=True)
    for turn in itertools.count():
        assert pool.put(oid(turn % 7), turn % 150, random_page(turn))
        print(turn, flush=True)
"""


def test_acknowledged_pages_survive_a_kill(arena_path: Path, open_engine: OpenEngine) -> None:
    """A process is killed between acknowledging and whatever it did next."""
    for turns in (1, 40, 333):
        path = arena_path.with_name(f"killed-{turns}")
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(path)],
            cwd=Path(__file__).parents[2],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert child.stdout is not None
        done = [int(child.stdout.readline()) for _ in range(turns)][-1]
        child.send_signal(signal.SIGKILL)
        done = max([done, *(int(line) for line in child.stdout)])
        assert child.wait() == -signal.SIGKILL
        child.stdout.close()
        newest = {(turn % 7, turn % 150): turn for turn in range(done + 1)}
        maybe = ((done + 1) % 7, (done + 1) % 150)
        assert check_arena(path, contents=True).sound
        engine = open_engine(path=path)
        pool = engine.find_client("guest").pools()[0]
        for (number, index), turn in newest.items():
            allowed = [random_page(turn)]
            if (number, index) == maybe:
                allowed.append(random_page(done + 1))
            assert pool.read(oid(number), index) in allowed
        assert pool.info().pages in (len(newest), len({*newest, maybe}))
