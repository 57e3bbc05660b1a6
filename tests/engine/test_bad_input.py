# SPDX-License-Identifier: GPL-2.0-or-later
"""Bad input has an error of its own and changes nothing (H; the CVEs of the old hypercall)."""

from __future__ import annotations

import dataclasses
import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from uuid import UUID

import pytest

from tests.engine.conftest import MIB, SHARED
from tests.engine.filling import held, put_all
from tests.engine.pages import PAGE_BYTES, oid, random_page
from tmem_host.native import (
    CLIENT_NAME_MAX_BYTES,
    POOLS_PER_CLIENT_MAX,
    BadClientName,
    BadPoolFlags,
    Client,
    ClientError,
    ClientExists,
    ClientGone,
    Encoding,
    Engine,
    Pool,
    TmemError,
    TooManyPools,
    UnknownClient,
    UnknownPool,
)

A = random_page(1)
VERSION = 1 << 24


@contextmanager
def nothing_changes(engine: Engine) -> Iterator[None]:
    """Fails if anything that can be asked about the engine is different afterwards."""

    def everything() -> list[object]:
        clients = engine.clients()
        return [
            # Memory outside the arena may be taken ahead of its use.
            dataclasses.replace(engine.usage(), heap_bytes=0),
            engine.counters(),
            engine.shared_auth_all,
            [client.info() for client in clients],
            [client.counters() for client in clients],
            [client.auth_list() for client in clients],
            [pool.info() for client in clients for pool in client.pools()],
        ]

    before = everything()
    yield
    assert everything() == before


@pytest.fixture
def furnished(client: Client, other: Client) -> Pool:
    """Some contents that bad input might change; the client's first pool."""
    pool = client.new_pool(persistent=True)
    put_all(pool, 1, 5)
    put_all(other.new_pool(), 1, 5)
    other.auth_add(SHARED)
    put_all(other.new_pool(shared=SHARED), 1, 5)
    return pool


DATA_CALLS: list[Callable[[Pool], object]] = [
    lambda pool: pool.put(oid(1), 0, A),
    lambda pool: pool.get(oid(1), 0, bytearray(PAGE_BYTES)),
    lambda pool: pool.flush_page(oid(1), 0),
    lambda pool: pool.flush_object(oid(1)),
    lambda pool: pool.flush_range(oid(1), 0, 100),
    lambda pool: pool.flush(),
    lambda pool: pool.serve_empty(),
    lambda pool: pool.info(),
    lambda pool: pool.counters(),
]


def pool_named(client: Client, pool_id: int) -> Pool:
    """A handle with any id, as a guest may send it, checked by nobody yet."""
    return Pool(client, pool_id, granted_shared=False)


@pytest.mark.parametrize("call", DATA_CALLS)
@pytest.mark.parametrize(
    "pool_id", [1, 15, 16, 16383, 16384, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1]
)
def test_an_unknown_pool_is_none(
    engine: Engine, furnished: Pool, call: Callable[[Pool], object], pool_id: int
) -> None:
    """Ids in and out of any table's range, among them those that are negative when signed."""
    unknown = furnished.id ^ pool_id
    with nothing_changes(engine), pytest.raises(UnknownPool) as caught:
        call(pool_named(furnished.client, unknown))
    assert (caught.value.errno, caught.value.pool) == (errno.ENODEV, unknown)


@pytest.mark.parametrize("call", DATA_CALLS)
def test_a_foreign_pool_is_none(
    engine: Engine, furnished: Pool, call: Callable[[Pool], object]
) -> None:
    """A client cannot name another's pool: not private, not shared, not with the right id."""
    stranger = engine.create_client("stranger")
    for client in engine.clients():
        for pool in client.pools():
            with nothing_changes(engine), pytest.raises(UnknownPool):
                call(pool_named(stranger, pool.id))
            assert not pool_named(stranger, pool.id).destroy()
    assert held(furnished, 1, 5) == set(range(5))


def test_the_same_id_means_each_clients_own_pool(client: Client, other: Client) -> None:
    """Ids are names that a client has for its pools, so two clients may have the same."""
    mine, theirs = client.new_pool(persistent=True), other.new_pool(persistent=True)
    assert mine.put(oid(1), 0, A)
    if mine.id == theirs.id:
        assert pool_named(other, mine.id).read(oid(1), 0) is None
    theirs.flush()
    theirs.destroy()
    assert mine.read(oid(1), 0) == A


@pytest.mark.parametrize(
    ("flags", "code"),
    [
        (VERSION | 1 << 8, errno.EINVAL),
        (VERSION | 1 << 23, errno.EINVAL),
        (VERSION | 1 << 4, errno.EOPNOTSUPP),
        (VERSION | 4, errno.EOPNOTSUPP),
        (0, errno.EPROTO),
        (2 << 24, errno.EPROTO),
        (VERSION | 3, errno.EPERM),
    ],
    ids=[
        "reserved",
        "reserved high",
        "page size",
        "precompressed",
        "v0",
        "v2",
        "shared+persistent",
    ],
)
def test_bad_pool_flags_each_have_an_error(
    engine: Engine, furnished: Pool, flags: int, code: int
) -> None:
    """Reserved bit, page size, precompressed, version, shared and persistent at once."""
    with nothing_changes(engine), pytest.raises(BadPoolFlags) as caught:
        furnished.client.new_pool(shared=SHARED, flags=flags)
    assert caught.value.errno == code


def test_a_shared_uuid_without_right_gives_a_private_pool(engine: Engine, furnished: Pool) -> None:
    """No error, by rule 29, but nothing of the shared pool changes."""
    stranger = engine.create_client("stranger")
    member = engine.find_client("other").pools()[1]
    before = member.info()
    for uuid in (SHARED, UUID(int=0), UUID(int=2**128 - 1)):
        got = stranger.new_pool(shared=uuid)
        assert not got.granted_shared
        assert got.read(oid(1), 0) is None
        got.flush()
        got.destroy()
    assert member.info() == before
    assert held(member, 1, 5) == set(range(5))
    del furnished


@pytest.mark.parametrize(
    ("name", "kind", "code"),
    [
        ("", BadClientName, errno.EINVAL),
        ("x" * (CLIENT_NAME_MAX_BYTES + 1), BadClientName, errno.ENAMETOOLONG),
        ("ä" * (CLIENT_NAME_MAX_BYTES // 2 + 1), BadClientName, errno.ENAMETOOLONG),
        ("x" * 100_000, BadClientName, errno.ENAMETOOLONG),
        ("guest", ClientExists, errno.EEXIST),
    ],
    ids=["empty", "one too long", "too long in bytes", "huge", "taken"],
)
def test_bad_client_names_each_have_an_error(
    engine: Engine, furnished: Pool, name: str, kind: type[ClientError], code: int
) -> None:
    """A name has 1 to 127 bytes, and one client."""
    with nothing_changes(engine), pytest.raises(kind) as caught:
        engine.create_client(name)
    assert caught.value.errno == code
    del furnished


def test_the_longest_name_works(open_engine: Callable[[], Engine]) -> None:
    """All its bytes count, and come back."""
    name = "x" * (CLIENT_NAME_MAX_BYTES - 1)
    engine = open_engine()
    uids = {engine.create_client(name + end).uid for end in "ab"}
    assert len(uids) == 2
    engine.close()
    engine = open_engine()
    assert {engine.find_client(name + end).uid for end in "ab"} == uids
    with pytest.raises(UnknownClient):
        engine.find_client(name)


def test_a_client_that_was_destroyed_answers_that_it_is_gone(
    engine: Engine, furnished: Pool
) -> None:
    """Every call through an old reference, even when a new client has the name."""
    client = furnished.client
    client.destroy()
    engine.create_client("guest")
    calls: list[Callable[[], object]] = [
        client.destroy,
        client.resume,
        client.new_pool,
        client.freeze,
        lambda: client.auth_add(SHARED),
        *(partial(call, furnished) for call in DATA_CALLS),
    ]
    with nothing_changes(engine):
        for call in calls:
            with pytest.raises(ClientGone):
                call()


@pytest.mark.parametrize("size", [0, 1, PAGE_BYTES - 1, PAGE_BYTES + 1, 2 * PAGE_BYTES])
def test_a_page_has_4096_bytes(engine: Engine, furnished: Pool, size: int) -> None:
    """Neither put nor get takes a buffer of another size."""
    with nothing_changes(engine):
        with pytest.raises(ValueError, match="4096"):
            furnished.put(oid(1), 0, bytes(size))
        with pytest.raises(ValueError, match="4096"):
            furnished.get(oid(1), 0, bytearray(size))


@pytest.mark.parametrize("wrong", [-1, 2**64])
def test_names_are_unsigned_64_bit_words(engine: Engine, furnished: Pool, wrong: int) -> None:
    """A number that does not fit is not cut to one that does."""
    with nothing_changes(engine):
        for name, index in (((wrong, 0, 0), 0), ((0, 0, wrong), 0), ((0, 0, 0), wrong)):
            with pytest.raises(OverflowError):
                furnished.put(name, index, A)
            with pytest.raises(OverflowError):
                furnished.flush_page(name, index)


@pytest.mark.parametrize(
    "changes",
    [{"encoding": Encoding.SAME}, {"encoding": 99}, {"zstd_level": 10_000}],
    ids=["same", "unknown encoding", "level"],
)
def test_settings_that_mean_nothing_are_refused(
    engine: Engine, furnished: Pool, changes: dict[str, int]
) -> None:
    """-EINVAL, and none of the other settings of the same call is taken either."""
    with nothing_changes(engine), pytest.raises(ClientError) as caught:
        furnished.client.set(weight=99, **changes)  # type: ignore[arg-type]
    assert caught.value.errno == errno.EINVAL


def test_a_trust_group_stays_while_there_are_pools(engine: Engine, furnished: Pool) -> None:
    """What the pools hold is shared by group, so it cannot change under them."""
    with nothing_changes(engine), pytest.raises(ClientError) as caught:
        furnished.client.set(trust_group=9)
    assert caught.value.errno == errno.EBUSY
    furnished.destroy()
    assert furnished.client.set(trust_group=9).trust_group == 9


def test_an_unknown_policy_is_refused(engine: Engine, furnished: Pool) -> None:
    """And a known one beside it is not set."""
    for policy in ({"eviction": "fifo"}, {"admission": ""}, {"eviction": "lru", "admission": "x"}):
        with nothing_changes(engine), pytest.raises(TmemError) as caught:
            engine.set_policy(**policy)
        assert caught.value.errno == errno.EINVAL
    del furnished


def test_a_budget_above_the_arenas_maximum_is_refused(engine: Engine, furnished: Pool) -> None:
    """The maximum is part of the format."""
    with nothing_changes(engine), pytest.raises(TmemError) as caught:
        engine.set_budget(engine.usage().max_bytes + 1)
    assert caught.value.errno == errno.EINVAL
    del furnished


@pytest.mark.slow
def test_the_last_pool_is_one_too_many(open_engine: Callable[[int], Engine]) -> None:
    """A client has at most POOLS_PER_CLIENT_MAX pools; one that goes makes room for one."""
    engine = open_engine(64 * MIB)
    client = engine.create_client("guest")
    pools = [client.new_pool() for _ in range(POOLS_PER_CLIENT_MAX)]
    with nothing_changes(engine), pytest.raises(TooManyPools):
        client.new_pool()
    assert len({pool.id for pool in pools}) == POOLS_PER_CLIENT_MAX
    pools[77].destroy()
    assert client.new_pool().id not in {pool.id for pool in pools}
