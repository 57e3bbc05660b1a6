# SPDX-License-Identifier: GPL-2.0-or-later
"""Every error has its own exception, which says what it is about and changes nothing."""

import errno
import os
from pathlib import Path
from uuid import UUID

import pytest

from tmem_host import native
from tmem_host.native import (
    CLIENT_NAME_MAX_BYTES,
    POOLS_PER_CLIENT_MAX,
    ArenaError,
    BadClientName,
    BadPoolFlags,
    Client,
    ClientError,
    ClientExists,
    ClientGone,
    Encoding,
    Engine,
    FrozenError,
    Pool,
    PoolError,
    TmemError,
    TooManyPools,
    UnknownClient,
    UnknownPool,
)

OID = (1, 2, 3)
UUID_A = UUID("6ba7b810-9dad-11d1-80b4-00c04fd430c8")
VERSION = 1 << 24


def test_one_base_for_all() -> None:
    errors = [
        value
        for value in vars(native).values()
        if isinstance(value, type) and issubclass(value, Exception)
    ]
    assert len(errors) > 10
    assert all(issubclass(error, TmemError) for error in errors)


# ---- arenas ----------------------------------------------------------------------------------


def test_an_absent_arena_is_not_made_unasked(arena_path: Path) -> None:
    with pytest.raises(ArenaError) as caught:
        Engine(arena_path, create=False)
    assert caught.value.errno == errno.ENOENT
    assert caught.value.path == str(arena_path)
    assert not arena_path.exists()


def test_what_is_no_arena_is_refused_and_kept(arena_path: Path) -> None:
    contents = os.urandom(1 << 20)
    arena_path.write_bytes(contents)
    with pytest.raises(ArenaError) as caught:
        Engine(arena_path)
    assert caught.value.errno == errno.EINVAL
    assert arena_path.read_bytes() == contents


def test_an_arena_has_one_engine(engine: Engine) -> None:
    with pytest.raises(ArenaError) as caught:
        Engine(engine.path)
    assert caught.value.errno == errno.EBUSY


def test_a_budget_above_the_maximum_is_refused(arena_path: Path) -> None:
    with Engine(arena_path, max_bytes=64 << 20, budget_bytes=8 << 20) as engine:
        with pytest.raises(ArenaError, match="budget"):
            engine.set_budget(1 << 40)
        assert engine.usage().budget_bytes == 8 << 20


def test_a_path_with_a_zero_byte(arena_path: Path) -> None:
    with pytest.raises(ValueError, match="zero byte"):
        Engine(f"{arena_path}\0x")
    assert not arena_path.exists()


def test_an_unknown_policy(engine: Engine) -> None:
    with pytest.raises(TmemError, match=r"no such policy.*'newest'") as caught:
        engine.set_policy(eviction="newest")
    assert caught.value.errno == errno.EINVAL
    engine.set_policy(eviction="lru", admission="second-chance")


# ---- clients ---------------------------------------------------------------------------------


def test_a_name_is_taken_once(engine: Engine, client: Client) -> None:
    with pytest.raises(ClientExists) as caught:
        engine.create_client(client.name)
    assert caught.value.client == client.name
    assert caught.value.errno == errno.EEXIST


def test_an_unknown_client(engine: Engine) -> None:
    with pytest.raises(UnknownClient) as caught:
        engine.find_client("nobody")
    assert caught.value.client == "nobody"


@pytest.mark.parametrize(
    "name", ["", "x" * (CLIENT_NAME_MAX_BYTES + 1), "é" * (CLIENT_NAME_MAX_BYTES // 2 + 1), "a\0b"]
)
def test_names_that_cannot_be(engine: Engine, name: str) -> None:
    with pytest.raises(BadClientName):
        engine.create_client(name)
    assert engine.clients() == []


@pytest.mark.parametrize("name", ["x" * CLIENT_NAME_MAX_BYTES, "domain/user", "gäst", "\udcff"])
def test_names_that_can_be(engine: Engine, name: str) -> None:
    assert engine.create_client(name).name == name
    assert engine.find_client(name).info().name == name


def test_a_destroyed_client_is_gone_for_all_its_references(engine: Engine, client: Client) -> None:
    pool = client.new_pool(persistent=True)
    engine.find_client(client.name).destroy()
    for call in (
        client.destroy,
        client.resume,
        client.new_pool,
        client.freeze,
        lambda: client.auth_add(UUID_A),
        lambda: client.auth_remove(UUID_A),
        lambda: pool.put(OID, 0, bytes(4096)),
        lambda: pool.read(OID, 0),
        lambda: pool.flush_page(OID, 0),
        pool.flush,
        pool.info,
        pool.counters,
    ):
        with pytest.raises(ClientGone) as caught:
            call()
        assert caught.value.client == "guest"
        assert caught.value.errno == errno.ENODEV


def test_a_successor_of_the_same_name_does_not_answer_for_it(
    engine: Engine, client: Client
) -> None:
    pool = client.new_pool()
    client.destroy()
    successor = engine.create_client(client.name)
    assert successor.new_pool().id == pool.id
    with pytest.raises(ClientGone):
        pool.info()


def test_settings_that_are_refused_change_nothing(client: Client) -> None:
    before = client.settings()
    with pytest.raises(ClientError) as caught:
        client.set(encoding=Encoding.SAME, weight=5)
    assert caught.value.errno == errno.EINVAL
    with pytest.raises(OverflowError):
        client.set(weight=-1)
    client.new_pool()
    with pytest.raises(ClientError, match="while it holds pools") as caught:
        client.set(trust_group=7)
    assert caught.value.errno == errno.EBUSY
    assert client.settings() == before


# ---- pools -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (0, errno.EPROTO),
        (2 << 24, errno.EPROTO),
        (VERSION | 1 << 4, errno.EOPNOTSUPP),
        (VERSION | 1 << 2, errno.EOPNOTSUPP),
        (VERSION | 1 << 8, errno.EINVAL),
        (VERSION | 3, errno.EPERM),
    ],
    ids=["no version", "other version", "page size", "precompressed", "reserved", "both"],
)
def test_flags_that_are_refused(client: Client, flags: int, expected: int) -> None:
    with pytest.raises(BadPoolFlags) as caught:
        client.new_pool(flags=flags, shared=UUID_A)
    assert caught.value.errno == expected
    assert caught.value.client == client.name
    assert client.pools() == []


def test_persistent_and_shared_at_once(client: Client) -> None:
    with pytest.raises(BadPoolFlags, match="cannot be persistent"):
        client.new_pool(persistent=True, shared=UUID_A)


def test_the_flag_word_and_its_parts_exclude_each_other(client: Client) -> None:
    with pytest.raises(ValueError, match="either"):
        client.new_pool(persistent=True, flags=VERSION)


def test_a_frozen_client_makes_no_pool(client: Client) -> None:
    client.freeze()
    with pytest.raises(FrozenError):
        client.new_pool()
    client.thaw()
    client.new_pool()


def test_an_unknown_pool_is_named_by_the_error(client: Client) -> None:
    pool = client.new_pool()
    pool.destroy()
    with pytest.raises(UnknownPool) as caught:
        pool.put(OID, 5, bytes(4096))
    error = caught.value
    assert (error.client, error.pool, error.oid, error.index) == (client.name, pool.id, OID, 5)
    assert error.errno == errno.ENODEV
    for call in (
        lambda: pool.read(OID, 0),
        lambda: pool.flush_page(OID, 0),
        lambda: pool.flush_object(OID),
        lambda: pool.flush_range(OID, 0, 1),
        pool.flush,
        pool.serve_empty,
        pool.info,
        pool.counters,
        lambda: client.pool(pool.id),
    ):
        with pytest.raises(UnknownPool):
            call()
    assert pool.destroy() is False


def test_a_client_cannot_name_the_pool_of_another(engine: Engine, persistent: Pool) -> None:
    with pytest.raises(UnknownPool):
        engine.create_client("other").pool(persistent.id)


def test_too_many_pools(client: Client) -> None:
    for _ in range(POOLS_PER_CLIENT_MAX):
        client.new_pool()
    with pytest.raises(TooManyPools, match=f"{POOLS_PER_CLIENT_MAX} pools") as caught:
        client.new_pool()
    assert caught.value.errno == errno.EMFILE
    assert issubclass(TooManyPools, PoolError)
