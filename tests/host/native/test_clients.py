# SPDX-License-Identifier: GPL-2.0-or-later
"""Clients, their settings, their rights and their pools as Python sees them."""

import dataclasses
from typing import Any
from uuid import UUID

import pytest

from tmem_host.native import Client, Encoding, Engine, PoolFlags

UUID_A = UUID("6ba7b810-9dad-11d1-80b4-00c04fd430c8")
UUID_B = UUID("6ba7b811-9dad-11d1-80b4-00c04fd430c8")


def test_clients_are_found_by_name_and_listed_by_uid(engine: Engine) -> None:
    made = [engine.create_client(name) for name in ("c", "a", "b")]
    assert [client.name for client in engine.clients()] == ["c", "a", "b"]
    assert [client.uid for client in engine.clients()] == sorted(client.uid for client in made)
    assert engine.find_client("a").uid == made[1].uid


def test_a_destroyed_client_frees_its_name(engine: Engine, client: Client) -> None:
    client.destroy()
    assert engine.clients() == []
    assert engine.create_client("guest").info().pools == 0


def test_a_new_client_has_the_documented_settings(client: Client) -> None:
    settings = client.settings()
    assert (settings.weight, settings.cap_bytes, settings.persistent_quota_bytes) == (0, 0, 0)
    assert settings.encoding is Encoding.LZ4
    assert settings.dedup is False
    assert settings.frozen is False


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("weight", 7),
        ("trust_group", 3),
        ("cap_bytes", 1 << 33),
        ("persistent_quota_bytes", 1 << 34),
        ("encoding", Encoding.ZSTD),
        ("zstd_level", -5),
        ("dedup", True),
        ("frozen", True),
    ],
)
def test_one_setting_changes_alone(client: Client, name: str, value: Any) -> None:
    before = client.settings()
    returned = client.set(**{name: value})
    assert returned == client.settings() == dataclasses.replace(before, **{name: value})
    assert returned != before


def test_freeze_and_thaw(client: Client) -> None:
    client.freeze()
    assert client.settings().frozen is True
    client.thaw()
    assert client.settings().frozen is False


def test_rights_to_share(client: Client) -> None:
    assert client.auth_list() == []
    assert client.auth_add(UUID_A) is True
    assert client.auth_add(UUID_A) is False
    assert client.auth_add(UUID_B) is True
    assert set(client.auth_list()) == {UUID_A, UUID_B}
    assert client.auth_remove(UUID_A) is True
    assert client.auth_remove(UUID_A) is False
    assert client.auth_list() == [UUID_B]


def test_a_shared_request_is_answered_with_what_was_granted(client: Client) -> None:
    refused = client.new_pool(shared=UUID_A)
    assert refused.granted_shared is False
    assert refused.info().uuid is None
    client.auth_add(UUID_A)
    granted = client.new_pool(shared=UUID_A)
    assert granted.granted_shared is True
    assert granted.info().uuid == UUID_A
    assert granted.info().flags == PoolFlags.SHARED
    assert client.pool(granted.id).granted_shared is True
    assert client.pool(refused.id).granted_shared is False


def test_the_switch_for_all(engine: Engine, client: Client) -> None:
    assert engine.shared_auth_all is False
    engine.shared_auth_all = True
    assert engine.shared_auth_all is True
    assert client.new_pool(shared=UUID_A).granted_shared is True


def test_pools_are_listed(client: Client) -> None:
    made = [client.new_pool(), client.new_pool(persistent=True), client.new_pool()]
    made[0].destroy()
    listed = client.pools()
    assert [pool.id for pool in listed] == sorted(pool.id for pool in made[1:])
    assert {pool.id: pool.info().flags for pool in listed} == {
        made[1].id: PoolFlags.PERSISTENT,
        made[2].id: PoolFlags(0),
    }


def test_info_counts_what_is_charged(client: Client) -> None:
    pool = client.new_pool(persistent=True)
    pool.put((1, 2, 3), 4, bytes(4096))
    info = client.info()
    assert (info.persistent_pages, info.ephemeral_pages, info.pools) == (1, 0, 1)
    assert info.persistent_bytes > 0
    assert (pool.info().pages, pool.info().objects, pool.info().owner) == (1, 1, client.uid)
    assert client.counters().puts_stored == pool.counters().puts_stored == 1


def test_reclaim_frees_ephemeral_pages(client: Client) -> None:
    pool = client.new_pool()
    for index in range(100):
        pool.put((1, 2, 3), index, index.to_bytes(8, "little") * 512)
    assert client.reclaim(1) > 0
    assert client.info().ephemeral_pages < 100
    client.reclaim(1 << 30)
    assert client.info().ephemeral_pages == 0
