# SPDX-License-Identifier: GPL-2.0-or-later
"""Pages go in and come out as the caller's own bytes, and results say what happened."""

import os
from pathlib import Path
from uuid import UUID

import pytest

from tmem_host.native import (
    INDEX_MAX,
    PAGE_BYTES,
    Client,
    DamagedPage,
    Encoding,
    Engine,
    Pool,
    Put,
)

OID = (1, 2**63, 2**64 - 1)
UNTOUCHED = b"\xa5" * PAGE_BYTES


def page(seed: int = 0) -> bytes:
    """A page that does not compress."""
    return bytes([seed]) + os.urandom(PAGE_BYTES - 1)


@pytest.mark.parametrize("index", [0, 1, 2**32, INDEX_MAX])
def test_a_page_comes_back_bit_for_bit(persistent: Pool, index: int) -> None:
    contents = page()
    assert persistent.put(OID, index, contents) is Put.STORED
    into = bytearray(PAGE_BYTES)
    assert persistent.get(OID, index, into) is True
    assert into == contents
    assert persistent.read(OID, index) == contents


def test_a_hit_on_an_ephemeral_pool_removes_the_page(ephemeral: Pool) -> None:
    ephemeral.put(OID, 0, page())
    ephemeral.put(OID, 1, page())
    assert ephemeral.read(OID, 0) is not None
    assert ephemeral.read(OID, 0) is None


@pytest.mark.parametrize("filled", [False, True], ids=["empty pool", "pool with another page"])
def test_a_miss_leaves_the_buffer_as_it_was(ephemeral: Pool, filled: bool) -> None:
    if filled:
        ephemeral.put(OID, 1, page())
    into = bytearray(UNTOUCHED)
    assert ephemeral.get(OID, 0, into) is False
    assert into == UNTOUCHED


def test_words_of_an_oid_keep_their_order(persistent: Pool) -> None:
    persistent.put((1, 2, 3), 0, page())
    assert persistent.read((3, 2, 1), 0) is None
    assert persistent.read((1, 2, 3), 0) is not None


def test_each_flush_removes_what_it_names(persistent: Pool) -> None:
    other = (9, 9, 9)

    def left() -> set[int]:
        return {index for index in range(6) if persistent.read(OID, index) is not None}

    for index in range(6):
        persistent.put(OID, index, page(index))
    persistent.put(other, 0, page())

    persistent.flush_page(OID, 0)
    assert left() == {1, 2, 3, 4, 5}
    persistent.flush_range(OID, 2, 2)
    assert left() == {1, 4, 5}
    persistent.flush_range(OID, 5, INDEX_MAX)
    assert left() == {1, 4}
    persistent.flush_object(OID)
    assert left() == set()
    assert persistent.read(other, 0) is not None
    persistent.flush()
    assert persistent.read(other, 0) is None


def test_flushing_what_is_absent_is_no_error(persistent: Pool) -> None:
    persistent.flush_page(OID, 0)
    persistent.flush_range(OID, 0, 10)
    persistent.flush_object(OID)
    persistent.flush()


def test_a_frozen_client_is_refused_new_pages(client: Client, persistent: Pool) -> None:
    client.freeze()
    assert persistent.put(OID, 0, page()) is Put.FROZEN
    client.thaw()
    assert persistent.put(OID, 0, page()) is Put.STORED


def test_a_quota_refuses_and_a_refused_replacement_drops(client: Client, persistent: Pool) -> None:
    client.set(encoding=Encoding.RAW)
    persistent.put(OID, 0, bytes(PAGE_BYTES))  # a repeated word, which costs its record alone
    client.set(persistent_quota_bytes=1024)
    assert persistent.put(OID, 1, page()) is Put.OVER_LIMIT
    assert persistent.put(OID, 0, page()) is Put.DROPPED
    assert persistent.read(OID, 0) is None


def test_persistent_pages_fill_the_budget(client: Client, persistent: Pool) -> None:
    client.set(encoding=Encoding.RAW)
    results = [persistent.put(OID, index, page()) for index in range(5000)]
    assert set(results) == {Put.STORED, Put.NO_ROOM}
    assert client.counters().refused_full == results.count(Put.NO_ROOM)


def test_a_recovered_shared_pool_waits_for_its_members(arena_path: Path) -> None:
    uuid = UUID("6ba7b810-9dad-11d1-80b4-00c04fd430c8")
    with Engine(arena_path) as engine:
        engine.shared_auth_all = True
        for name in ("one", "two"):
            assert engine.create_client(name).new_pool(shared=uuid).granted_shared
    with Engine(arena_path) as engine:
        one, two = engine.find_client("one"), engine.find_client("two")
        (pool,) = one.pools()
        one.resume()
        assert pool.put(OID, 0, page()) is Put.UNSERVED
        two.resume()
        assert pool.put(OID, 0, page()) is Put.STORED


def test_a_damaged_persistent_page_is_an_error_that_names_it(
    arena_path: Path, client: Client, persistent: Pool
) -> None:
    client.set(encoding=Encoding.RAW)
    contents = page()
    persistent.put(OID, 7, contents)
    with arena_path.open("r+b") as file:
        offset = file.read().index(contents)
        file.seek(offset + 100)
        file.write(bytes([contents[100] ^ 1]))

    with pytest.raises(DamagedPage, match="page 7 of object") as caught:
        persistent.read(OID, 7)
    error = caught.value
    assert (error.client, error.pool, error.oid, error.index) == ("guest", persistent.id, OID, 7)
    assert persistent.read(OID, 7) is None
