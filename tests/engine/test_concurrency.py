# SPDX-License-Identifier: GPL-2.0-or-later
"""Races: B11, B18, and control calls while data calls run. Calls release the interpreter's lock,
so these threads do meet in the engine; what they must not do is asserted, never how long it takes.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from functools import partial

import pytest

from tests.engine.conftest import MIB, SHARED, OpenEngine
from tests.engine.filling import held, put_all
from tests.engine.pages import PAGE_BYTES, oid, random_page
from tests.engine.system import Oid
from tmem_host.native import Client, ClientGone, Engine, FrozenError, Pool, Put, UnknownPool

A, B = random_page(1), random_page(2)


def together(*works: Callable[[], object]) -> None:
    """Runs each in a thread of its own, all started at once; the first failure is raised."""
    failures: list[BaseException] = []
    start = threading.Barrier(len(works))

    def run(work: Callable[[], object]) -> None:
        start.wait()
        try:
            work()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def use_until_it_is_gone(pool: Pool, number: int, gone: threading.Event) -> None:
    """Puts and gets pages of one object until the pool is no more."""
    page = random_page(number)

    def use() -> None:
        for index in itertools.count():
            was_gone = gone.is_set()
            assert pool.put(oid(number), index % 8, page)
            assert not was_gone, "a put was stored in a pool after it was destroyed"
            assert pool.read(oid(number), index % 8) in (None, page)

    with pytest.raises(UnknownPool):
        use()


def destroy_in_use(pool: Pool, gone: threading.Event) -> None:
    while pool.counters().puts_stored < 20:
        pass
    assert pool.destroy()
    gone.set()


def test_b11_destroying_a_pool_races_with_its_use(engine: Engine, client: Client) -> None:
    """Xen looked the pool up, dropped the lock and took it again. A call either finds the pool
    whole or not at all; no page and no memory of it stays."""
    quiet = engine.usage()
    for turn in range(60):
        pool = client.new_pool(persistent=turn % 2 == 0)
        gone = threading.Event()
        together(
            *(partial(use_until_it_is_gone, pool, number, gone) for number in range(4)),
            partial(destroy_in_use, pool, gone),
        )
        usage = engine.usage()
        assert (usage.ephemeral_pages, usage.persistent_pages, usage.objects) == (0, 0, 0)
        assert (usage.slot_bytes, usage.pools) == (quiet.slot_bytes, 0)


def test_b11_leaving_a_shared_pool_races_with_its_use(
    engine: Engine, client: Client, other: Client
) -> None:
    """When the leave has returned nothing that was put before is there, and what others put
    meanwhile is theirs alone."""
    for member in (client, other):
        member.auth_add(SHARED)
    stays = client.new_pool(shared=SHARED)

    def use() -> None:
        for index in range(100):
            assert stays.put(oid(2), index % 10, A)
            assert stays.read(oid(2), index % 10) in (None, A)

    for _ in range(40):
        leaves = other.new_pool(shared=SHARED)
        put_all(leaves, 1, 20)
        together(use, leaves.destroy)
        assert held(stays, 1, 20) == set()
        assert stays.info().members == 1
        assert stays.info().pages == engine.usage().ephemeral_pages
    assert client.info().ephemeral_bytes == stays.info().bytes


def test_b11_destroying_a_client_races_with_its_calls(engine: Engine) -> None:
    """Running calls end, later ones are told; nothing of the client stays."""

    def use(guest: Client, pool: Pool, busy: threading.Event) -> None:
        for index in itertools.count():
            pool.put(oid(index % 5), index % 16, A)
            made = guest.new_pool()
            made.put(oid(1), 0, B)
            if index % 4:
                made.destroy()
            if index == 20:
                busy.set()

    def use_until_gone(guest: Client, pool: Pool, busy: threading.Event) -> None:
        with pytest.raises((UnknownPool, ClientGone)):
            use(guest, pool, busy)

    def destroy(guest: Client, busy: threading.Event) -> None:
        busy.wait()
        guest.destroy()

    for turn in range(30):
        guest = engine.create_client(f"guest {turn}")
        pool, busy = guest.new_pool(persistent=True), threading.Event()
        use_it = partial(use_until_gone, guest, pool, busy)
        together(use_it, use_it, partial(destroy, guest, busy))
        usage = engine.usage()
        assert (usage.clients, usage.pools, usage.objects) == (0, 0, 0)
        assert (usage.ephemeral_pages, usage.persistent_pages) == (0, 0)


def store(pool: Pool, name: Oid, index: int, page: bytes) -> None:
    assert pool.put(name, index, page) is Put.STORED


def test_b18_two_puts_racing_on_a_new_object_make_one_object(persistent: Pool) -> None:
    """Each inserted an object of its own, and one of the two pages was lost."""
    for turn in range(300):
        name = oid(turn)
        together(partial(store, persistent, name, 0, A), partial(store, persistent, name, 1, B))
        assert persistent.read(name, 0) == A
        assert persistent.read(name, 1) == B
    assert (persistent.info().objects, persistent.info().pages) == (300, 600)
    persistent.flush_object(oid(7))
    assert persistent.info().pages == 598


def test_b18_two_puts_racing_on_one_new_page_make_one_page(persistent: Pool) -> None:
    """Of two puts on one handle one replaces the other, whichever comes last."""
    for turn in range(300):
        name = oid(turn)
        together(partial(store, persistent, name, 0, A), partial(store, persistent, name, 0, B))
        assert persistent.read(name, 0) in (A, B)
    counters, info = persistent.counters(), persistent.info()
    assert (counters.puts_stored, counters.puts_replaced) == (300, 300)
    assert (info.pages, info.objects) == (300, 300)


def test_freezing_races_with_puts(client: Client, persistent: Pool) -> None:
    """Once freeze has returned no new page is stored and no pool is made; thawing ends that."""

    def put(stored: list[int], frozen: threading.Event) -> None:
        for index in range(300):
            was_frozen = frozen.is_set()
            answer = persistent.put(oid(1), index, A)
            assert answer in (Put.STORED, Put.FROZEN)
            assert not (was_frozen and answer), "stored after freeze had returned"
            if answer:
                stored.append(index)

    def make_pools(frozen: threading.Event) -> None:
        for _ in range(30):
            was_frozen = frozen.is_set()
            try:
                client.new_pool().destroy()
            except FrozenError:
                continue
            assert not was_frozen, "a pool was made after freeze had returned"

    def freeze(frozen: threading.Event) -> None:
        while not persistent.info().pages:
            pass
        client.freeze()
        frozen.set()

    for _ in range(50):
        stored: list[int] = []
        frozen = threading.Event()
        together(partial(put, stored, frozen), partial(make_pools, frozen), partial(freeze, frozen))
        assert persistent.put(oid(2), 0, A) is Put.FROZEN
        for index in stored:
            assert persistent.read(oid(1), index) == A
        client.thaw()
        persistent.flush()
    assert persistent.put(oid(2), 0, A) is Put.STORED


def test_changing_settings_races_with_puts_and_gets(open_engine: OpenEngine) -> None:
    """Encodings, dedup, weight and cap change under load; every hit is whole and the newest."""
    engine = open_engine(2 * MIB)
    clients = [engine.create_client(f"guest {number}") for number in range(3)]
    done = threading.Event()

    def use(client: Client, number: int) -> None:
        try:
            pools = [client.new_pool(), client.new_pool(persistent=True)]
            newest: dict[tuple[int, int], bytes | None] = {}
            for turn in range(3000):
                kind, index = turn % 2, turn * 7 % 64
                contents = random_page(turn % 50)[: 500 * (turn % 9)].ljust(PAGE_BYTES, b"\0")
                put = pools[kind].put(oid(number), index, contents)
                newest[kind, index] = contents if put else None
                found = pools[kind].read(oid(number), index)
                assert found == newest[kind, index] or (kind == 0 and found is None)
        finally:
            done.set()

    def disturb() -> None:
        turn = 0
        while not done.is_set():
            turn += 1
            client = clients[turn % len(clients)]
            client.set(weight=turn % 3, dedup=turn % 2 == 0, cap_bytes=(turn % 4) << 19)
            engine.shrink(64 << 10)
            engine.set_budget((1 + turn % 3) * MIB // 2 + MIB)
            engine.scrub(100)
            client.reclaim(20_000)

    together(*(partial(use, client, number) for number, client in enumerate(clients)), disturb)
    assert engine.counters().damaged == 0
    for client in clients:
        info = client.info()
        pages = sum(pool.info().pages for pool in client.pools())
        assert info.ephemeral_pages + info.persistent_pages == pages
