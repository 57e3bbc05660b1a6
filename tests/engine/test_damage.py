# SPDX-License-Identifier: GPL-2.0-or-later
"""Damaged bytes in an arena cost the pages they belong to, never the file, and are counted."""

from __future__ import annotations

import random
from pathlib import Path
from uuid import UUID

import pytest

from tests.engine.arenas import copy_arena
from tests.engine.conftest import OpenEngine
from tests.engine.pages import Kind, oid, page, random_page
from tmem_host.native import (
    ArenaError,
    Client,
    DamagedPage,
    Encoding,
    Engine,
    UnknownClient,
    check_arena,
)

# Where things are in an arena: c/engine/record.h.
HEADER_COPY_OFFSET = 4096
EXTENT_TABLE_OFFSET = 8192
RECORD_BYTES = 64
OID_OFFSET = 16  # of a record
STAMP_OFFSET = 60  # of a record; the only field that its check does not cover

PAGES = 60
OBJECT = 0x0123_4567_89AB_CDEF  # a name that is nothing else in the file


@pytest.fixture
def arena(open_engine: OpenEngine, arena_path: Path) -> Path:
    """A closed arena: clients "guest" and "other" each with PAGES persistent raw pages."""
    engine = open_engine()
    for number, name in enumerate(("guest", "other")):
        client = engine.create_client(name)
        client.set(encoding=Encoding.RAW)
        pool = client.new_pool(persistent=True)
        for index in range(PAGES):
            assert pool.put(oid(OBJECT + number), index, contents(number, index))
    engine.close()
    return arena_path


def contents(number: int, index: int) -> bytes:
    return random_page(1000 * number + index)


def change(path: Path, offset: int, *, mask: int = 0x10) -> None:
    """Flips bits of one byte of the file."""
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)
        file.seek(offset)
        file.write(bytes([byte[0] ^ mask]))


def record_offset(path: Path, number: int, index: int) -> int:
    """Where the record of a page is."""
    name = b"".join(word.to_bytes(8, "little") for word in oid(OBJECT + number))
    found = path.read_bytes().index(name + index.to_bytes(8, "little"))
    return found - OID_OFFSET


def survey(client: Client) -> tuple[set[int], set[int]]:
    """The pages that are whole, and those reported as damaged; any other contents fail."""
    number = ("guest", "other").index(client.name)
    whole, damaged = set(), set()
    for pool in client.pools():
        for index in range(PAGES):
            try:
                found = pool.read(oid(OBJECT + number), index)
            except DamagedPage as error:
                named = (error.client, error.pool, error.oid, error.index)
                if named != (client.name, pool.id, oid(OBJECT + number), index):
                    raise
                damaged.add(index)
                continue
            if found is not None:
                assert found == contents(number, index), "a get returned damaged contents"
                whole.add(index)
    return whole, damaged


ALL = set(range(PAGES))


def test_damaged_contents_cost_their_page(arena: Path, open_engine: OpenEngine) -> None:
    """The get says so once; then the page is gone, and everything else is whole."""
    place = arena.read_bytes().index(contents(0, 7))
    change(arena, place + 2000)
    assert check_arena(arena).sound
    assert check_arena(arena, contents=True).damaged_contents == 1
    engine = open_engine()
    guest = engine.find_client("guest")
    assert survey(guest) == (ALL - {7}, {7})
    assert survey(guest) == (ALL - {7}, set())
    assert survey(engine.find_client("other")) == (ALL, set())
    counters = engine.counters()
    assert (counters.gets_damaged, counters.damaged) == (1, 1)
    assert engine.usage().persistent_pages == 2 * PAGES - 1


@pytest.mark.parametrize("encoding", [Encoding.RAW, Encoding.LZ4, Encoding.ZSTD])
@pytest.mark.parametrize("shared", [False, True])
def test_a_damaged_ephemeral_page_is_a_miss(
    open_engine: OpenEngine, arena_path: Path, encoding: Encoding, shared: bool
) -> None:
    """It might as well have been evicted (G); whatever decodes wrongly is never returned."""
    engine = open_engine()
    engine.shared_auth_all = True
    client = engine.create_client("guest")
    client.set(encoding=encoding)
    pool = client.new_pool(shared=UUID(int=1) if shared else None)
    sent = page(Kind.MEDIUM, 1)
    assert pool.put(oid(1), 0, sent)
    assert pool.put(oid(1), 1, random_page(1))
    engine.close()
    place = arena_path.read_bytes().index(sent[100:164])
    change(arena_path, place + 30)
    engine = open_engine()
    client = engine.find_client("guest")
    client.resume()
    pool = client.pools()[0]
    assert pool.read(oid(1), 0) is None
    assert pool.read(oid(1), 1) == random_page(1)
    counters = pool.counters()
    assert (counters.gets_damaged, counters.gets_missed, counters.gets_hit) == (1, 0, 1)


def test_scrubbing_finds_damaged_contents_before_a_get_does(
    arena: Path, open_engine: OpenEngine
) -> None:
    """Every page is looked at once; damaged ones are dropped and counted. To look at no page is
    no progress."""
    data = arena.read_bytes()
    for index in (3, 30):
        change(arena, data.index(contents(1, index)) + 5)
    engine = open_engine()
    assert engine.scrub(0) == 0
    assert engine.recovery().scrub_done is False
    looked = 0
    while True:
        step = engine.scrub(7)
        assert step <= 9  # three raw pages to an extent, of which the last is done as a whole
        looked += step
        if step == 0:
            break
    recovery = engine.recovery()
    assert looked == recovery.scrubbed_pages == 2 * PAGES
    assert (recovery.scrub_damaged_pages, recovery.scrub_done) == (2, True)
    assert engine.counters().damaged == 2
    assert survey(engine.find_client("other")) == (ALL - {3, 30}, set())
    assert survey(engine.find_client("guest")) == (ALL, set())


@pytest.mark.parametrize("place", range(0, RECORD_BYTES, 3))
def test_a_damaged_record_costs_its_page(arena: Path, open_engine: OpenEngine, place: int) -> None:
    """Any byte of it that matters; the stamp only says how old the page is."""
    change(arena, record_offset(arena, 0, 11) + place)
    lost = {11} if place < STAMP_OFFSET else set()
    report = check_arena(arena)
    assert report.damaged_records == len(lost)
    assert report.sound is not bool(lost)
    engine = open_engine()
    assert engine.recovery().damaged_records == len(lost)
    assert survey(engine.find_client("guest")) == (ALL - lost, set())
    assert survey(engine.find_client("other")) == (ALL, set())


def test_a_damaged_header_has_a_second_copy(arena: Path, open_engine: OpenEngine) -> None:
    """Either copy serves; that one of them is damaged is reported."""
    for offset in (3, HEADER_COPY_OFFSET + 3):
        copy = arena.with_name(f"damaged-{offset}")
        copy_arena(arena, copy)
        change(copy, offset)
        assert check_arena(copy).header_damaged is (offset < HEADER_COPY_OFFSET)
        engine = open_engine(path=copy)
        assert survey(engine.find_client("guest")) == (ALL, set())
        engine.close()


def test_without_a_header_a_file_is_no_arena(arena: Path, open_engine: OpenEngine) -> None:
    """Nothing is guessed, and nothing is formatted over it."""
    for offset in (3, HEADER_COPY_OFFSET + 3):
        change(arena, offset)
    before = arena.read_bytes()
    for look in (lambda: open_engine(path=arena), lambda: check_arena(arena)):
        with pytest.raises(ArenaError) as caught:
            look()
        assert str(arena) in str(caught.value) or caught.value.path == str(arena)
        assert str(caught.value).count("\n") == 0
    assert arena.read_bytes() == before


def test_a_damaged_extent_costs_at_most_its_pages(arena: Path, open_engine: OpenEngine) -> None:
    """What an extent holds stands twice, in the table and in the extent: one is enough."""
    data = arena.read_bytes()
    words = range(EXTENT_TABLE_OFFSET, EXTENT_TABLE_OFFSET + 8 * 200, 8)
    used = [place for place in words if data[place : place + 8] != bytes(8)]
    assert len(used) > 2 * PAGES // 4
    for place in used[::7]:
        copy = arena.with_name(f"damaged-{place}")
        copy_arena(arena, copy)
        change(copy, place + 2)
        engine = open_engine(path=copy)
        lost = 2 * PAGES - engine.usage().persistent_pages
        assert lost == 0 or engine.recovery().damaged_extents == 1
        for client in engine.clients():
            whole, damaged = survey(client)
            assert damaged == set()
            assert len(ALL - whole) <= 16
        engine.close()
        copy.unlink()


def test_a_damaged_row_costs_what_it_names(arena: Path, open_engine: OpenEngine) -> None:
    """Without its row a client is unknown; the others have all their pages."""
    change(arena, arena.read_bytes().index(b"guest\0"))
    assert check_arena(arena).damaged_rows == 1
    engine = open_engine()
    assert engine.recovery().damaged_rows == 1
    with pytest.raises(UnknownClient):
        engine.find_client("guest")
    assert survey(engine.find_client("other")) == (ALL, set())
    again = engine.create_client("guest")
    assert again.pools() == []
    assert again.new_pool(persistent=True).read(oid(OBJECT), 0) is None


def damage_found(engine: Engine) -> int:
    recovery = engine.recovery()
    return (
        recovery.damaged_records
        + recovery.damaged_rows
        + recovery.damaged_extents
        + engine.counters().damaged
    )


@pytest.mark.parametrize("seed", range(12))
def test_any_damage_is_survived_and_counted(
    arena: Path, open_engine: OpenEngine, seed: int
) -> None:
    """Bytes anywhere behind the headers: what is missing was counted, what is there is right."""
    chance = random.Random(seed)
    data = arena.read_bytes()
    written = [
        place for place in range(EXTENT_TABLE_OFFSET, len(data), 64) if any(data[place:][:64])
    ]
    for turn in range(8):
        copy = arena.with_name(f"damaged-{seed}-{turn}")
        copy_arena(arena, copy)
        for _ in range(1 + turn * 5):
            change(
                copy, chance.choice(written) + chance.randrange(64), mask=chance.randrange(1, 256)
            )
        report = check_arena(copy, contents=True)
        engine = open_engine(path=copy)
        lost = 0
        for client in engine.clients():
            if client.name in ("guest", "other"):
                whole, _damaged = survey(client)
                lost += len(ALL - whole)
        if lost:
            assert damage_found(engine) > 0
            assert not report.sound
        # It goes on working.
        pool = engine.create_client("new").new_pool(persistent=True)
        for index in range(20):
            assert pool.put(oid(1), index, random_page(index))
        engine.close()
        copy.unlink()


@pytest.mark.parametrize("size", [0, 1, 63, 4096, 8191, 100_000])
def test_a_file_that_was_cut_never_harms_the_process(
    arena: Path, open_engine: OpenEngine, size: int
) -> None:
    """A sentence, or what is left of it; no signal, and no page with other contents."""
    with arena.open("r+b") as file:
        file.truncate(size)
    try:
        engine = open_engine()
    except ArenaError:
        with pytest.raises(ArenaError, match=r"\w+ \w+ \w+"):
            check_arena(arena)
        return
    for client in engine.clients():
        survey(client)


def test_other_files_are_not_arenas(open_engine: OpenEngine, tmp_path: Path) -> None:
    """They are refused with a sentence and stay as they are."""
    text = tmp_path / "text"
    text.write_bytes(b"not an arena\n" * 1000)
    before = text.read_bytes()
    for path in (text, tmp_path, tmp_path / "absent" / "arena"):
        with pytest.raises(ArenaError) as caught:
            open_engine(path=path)
        assert len(str(caught.value)) > 10
    assert text.read_bytes() == before
