# SPDX-License-Identifier: GPL-2.0-or-later
"""The maps of HELLO and others, against the msgpack library."""

from typing import Any

import msgpack
from hypothesis import given
from hypothesis import strategies as st

from tmem_host.native._engine import ffi, lib

KEYS = st.text("abcdefghijklmnopqrstuvwxyz_", min_size=1, max_size=31)
KNOWN = st.one_of(
    st.integers(-(2**63), 2**64 - 1),
    st.booleans(),
    st.text(max_size=60).filter(lambda text: "\0" not in text),
    st.binary(max_size=200),
)
OTHER = st.recursive(
    st.one_of(st.none(), st.floats(allow_nan=False), KNOWN),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.integers(0, 9), inner, max_size=4)
    ),
    max_leaves=8,
)


def read(data: bytes) -> dict[str, Any] | None:
    """What the C code finds; None when it refuses. Values that it passes over are None."""
    reader, value = ffi.new("struct tmem_map_reader *"), ffi.new("struct tmem_map_value *")
    key, content = ffi.new("char[]", 32), ffi.new("uint8_t[]", data)
    if lib.tmem_map_open(reader, content, len(data)):
        return None
    found: dict[str, Any] = {}
    while (more := lib.tmem_map_next(reader, key, value)) == 1:
        found[ffi.string(key).decode(errors="replace")] = _value(value)
    return found if more == 0 else None


def _value(value: Any) -> Any:
    match value.kind:
        case lib.TMEM_MAP_UINT:
            return value.number
        case lib.TMEM_MAP_INT:
            return value.number - 2**64
        case lib.TMEM_MAP_BOOL:
            return bool(value.number)
        case lib.TMEM_MAP_TEXT:
            return bytes(ffi.buffer(value.data, value.bytes)).decode(errors="replace")
        case lib.TMEM_MAP_BYTES:
            return bytes(ffi.buffer(value.data, value.bytes))
    return None


def write(entries: dict[str, Any], size: int = 4096) -> bytes:
    """The map that the C code makes of `entries`; empty when it does not fit."""
    writer, room = ffi.new("struct tmem_map_writer *"), ffi.new("uint8_t[]", size)
    lib.tmem_map_begin(writer, room, size)
    for key, value in entries.items():
        match value:
            case bool():
                lib.tmem_map_bool(writer, key.encode(), value)
            case int():
                add = lib.tmem_map_int if value < 0 else lib.tmem_map_uint
                add(writer, key.encode(), value)
            case str():
                lib.tmem_map_text(writer, key.encode(), value.encode())
            case bytes():
                lib.tmem_map_bytes(writer, key.encode(), value, len(value))
    end = lib.tmem_map_end(writer)
    return bytes(ffi.buffer(room, size))[:end]


@given(st.dictionaries(KEYS, KNOWN, max_size=20))
def test_what_is_written_is_msgpack(entries: dict[str, Any]) -> None:
    data = write(entries, 8192)
    assert msgpack.unpackb(data) == entries
    assert read(data) == entries


@given(st.dictionaries(KEYS, KNOWN, max_size=8), st.dictionaries(KEYS, OTHER, max_size=8))
def test_what_others_write_is_read(entries: dict[str, Any], unknown: dict[str, Any]) -> None:
    found = read(msgpack.packb(unknown | entries))
    assert found is not None
    assert found.keys() == unknown.keys() | entries.keys()
    assert {key: found[key] for key in entries} == entries


@given(st.dictionaries(KEYS, OTHER, max_size=8), st.data())
def test_a_cut_map_is_refused(entries: dict[str, Any], data: st.DataObject) -> None:
    whole = msgpack.packb(entries)
    assert read(whole[: data.draw(st.integers(0, len(whole) - 1))]) is None
    assert read(whole + b"\0") is None


@given(st.binary(max_size=64))
def test_any_bytes_are_survived(data: bytes) -> None:
    read(data)
    read(b"\x8f" + data)


def test_limits() -> None:
    assert read(msgpack.packb({str(n): n for n in range(64)})) is not None
    assert read(msgpack.packb({str(n): n for n in range(65)})) is None
    assert write({str(n): n for n in range(65)}) == b""
    assert write({"key": "x" * 50}, 40) == b""
    nested: Any = 1
    for _ in range(8):
        nested = [nested]
    assert read(msgpack.packb({"deep": nested})) == {"deep": None}
    assert read(msgpack.packb({"deep": [nested]})) is None
    assert read(b"\x81\xa1a\xdd\xff\xff\xff\xff") is None
    # keys are cut, and are not always text
    assert read(msgpack.packb({"k" * 40: 1})) == {"k" * 31: 1}
    assert read(msgpack.packb({5: 1})) == {"": 1}
