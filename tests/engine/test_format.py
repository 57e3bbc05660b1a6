# SPDX-License-Identifier: GPL-2.0-or-later
"""The arena's format: images of the past open, images of the future are refused with a sentence."""

from __future__ import annotations

import ctypes
import errno
import gzip
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.engine.conftest import OpenEngine
from tests.engine.data.make_arena import (
    CLIENTS,
    CONTENTS,
    EXTENT_BYTES,
    FLUSHED,
    IMAGE,
    MAX_BYTES,
    SETTINGS,
    SHARED,
    make,
)
from tmem_host.native import ArenaError, Engine, PoolFlags, check_arena

# Where things are in a header: c/engine/record.h. All numbers are little-endian.
HEADERS = (0, 4096)
VERSION_OFFSET = 8
FEATURES_INCOMPAT_OFFSET = 12
FEATURES_COMPAT_OFFSET = 16
CHECK_OFFSET = 72


@pytest.fixture
def image(arena_path: Path) -> Path:
    """The checked-in arena, unpacked."""
    data = gzip.decompress(IMAGE.read_bytes())
    with arena_path.open("wb") as file:
        file.write(data)
        file.truncate(MAX_BYTES + EXTENT_BYTES)
    return arena_path


def everything_is_there(engine: Engine) -> None:
    assert [client.name for client in engine.clients()] == list(CLIENTS)
    for client in engine.clients():
        settings = client.settings()
        for name, value in SETTINGS[client.name].items():
            assert getattr(settings, name) == value
        assert client.auth_list() == [SHARED]
        client.resume()
    pools = {client.name: client.pools() for client in engine.clients()}
    for mine in pools.values():
        assert [pool.info().flags for pool in mine] == [
            PoolFlags.PERSISTENT,
            PoolFlags(0),
            PoolFlags.SHARED,
        ]
        assert (mine[2].info().uuid, mine[2].info().members) == (SHARED, 2)
        assert mine[2].info().owner == engine.find_client("first").uid
    for name, number, oid, index in FLUSHED:
        assert pools[name][number].read(oid, index) is None
    for (name, number, oid, index), contents in CONTENTS.items():
        assert pools[name][number].read(oid, index) == contents


def test_the_checked_in_arena_opens_with_all_its_pages(
    image: Path, open_engine: OpenEngine
) -> None:
    """Clients, settings, rights, pools, members and pages, of every encoding, shared contents
    included."""
    report = check_arena(image, contents=True)
    assert report.sound
    assert (report.clients, report.shared_pools) == (2, 1)
    assert report.persistent_pages + report.ephemeral_pages == len(CONTENTS)
    engine = open_engine()
    recovery = engine.recovery()
    assert recovery.pages == len(CONTENTS)
    assert (recovery.damaged_records, recovery.damaged_rows, recovery.damaged_extents) == (0, 0, 0)
    everything_is_there(engine)


def test_what_todays_binary_writes_is_what_the_image_holds(
    arena_path: Path, open_engine: OpenEngine
) -> None:
    """The script that made the image still makes the same."""
    arena_path.write_bytes(make())
    with arena_path.open("r+b") as file:
        file.truncate(MAX_BYTES + EXTENT_BYTES)
    everything_is_there(open_engine())


def rewrite_headers(path: Path, change: Callable[[bytearray], None]) -> None:
    """Changes both copies of the header and makes their check right again."""
    xxhash = ctypes.CDLL("libxxhash.so.0")
    xxhash.XXH3_64bits.restype = ctypes.c_uint64
    data = bytearray(path.read_bytes())
    for start in HEADERS:
        header = data[start : start + CHECK_OFFSET]
        change(header)
        check = xxhash.XXH3_64bits(bytes(header), ctypes.c_size_t(len(header)))
        data[start : start + CHECK_OFFSET + 8] = header + check.to_bytes(8, "little")
    path.write_bytes(data)


def bump_version(header: bytearray) -> None:
    header[VERSION_OFFSET] += 1


def use_unknown_feature(header: bytearray) -> None:
    header[FEATURES_INCOMPAT_OFFSET + 3] |= 0x40


@pytest.mark.parametrize("change", [bump_version, use_unknown_feature])
def test_an_arena_of_another_format_is_refused(
    image: Path, open_engine: OpenEngine, change: Callable[[bytearray], None]
) -> None:
    """A sentence that says what to do, for opening and for looking; the file stays as it is."""
    rewrite_headers(image, change)
    before = image.read_bytes()
    for look in (open_engine, lambda: check_arena(image)):
        with pytest.raises(ArenaError) as caught:
            look()
        assert caught.value.errno == errno.EPROTONOSUPPORT
        assert "version" in str(caught.value)
    assert image.read_bytes() == before


def test_an_unknown_compatible_feature_is_no_obstacle(image: Path, open_engine: OpenEngine) -> None:
    """A feature that may be ignored is: the check over the header is right, so this also shows
    that the test above fails for the feature and not for the check."""

    def use(header: bytearray) -> None:
        header[FEATURES_COMPAT_OFFSET + 7] |= 0x40

    rewrite_headers(image, use)
    assert check_arena(image).features_compat == 1 << 62
    everything_is_there(open_engine())
