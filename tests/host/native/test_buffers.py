# SPDX-License-Identifier: GPL-2.0-or-later
"""What may be passed for a page, an oid and an index; nothing else reaches the engine."""

import array
import mmap
from typing import Any

import pytest

from tmem_host.native import PAGE_BYTES, Pool, Put

OID = (1, 2, 3)
CONTENTS = bytes(range(256)) * (PAGE_BYTES // 256)


def _mapped(contents: bytes) -> mmap.mmap:
    memory = mmap.mmap(-1, PAGE_BYTES)
    memory[:] = contents
    return memory


@pytest.mark.parametrize(
    "make",
    [
        bytes,
        bytearray,
        memoryview,
        _mapped,
        lambda contents: array.array("Q", contents),
        lambda contents: memoryview(b"x" + contents)[1:],
        lambda contents: memoryview(contents).cast("B", (64, 64)),
    ],
    ids=["bytes", "bytearray", "memoryview", "mmap", "words", "slice", "two dimensions"],
)
def test_any_contiguous_page_can_be_put(persistent: Pool, make: Any) -> None:
    assert persistent.put(OID, 0, make(CONTENTS)) is Put.STORED
    assert persistent.read(OID, 0) == CONTENTS


@pytest.mark.parametrize("size", [0, 1, PAGE_BYTES - 1, PAGE_BYTES + 1, 2 * PAGE_BYTES])
def test_a_page_has_exactly_its_size(persistent: Pool, size: int) -> None:
    with pytest.raises(ValueError, match=f"4096 bytes, not {size}"):
        persistent.put(OID, 0, bytes(size))
    with pytest.raises(ValueError, match=f"4096 bytes, not {size}"):
        persistent.get(OID, 0, bytearray(size))


def test_a_refused_page_changes_nothing(persistent: Pool) -> None:
    persistent.put(OID, 0, CONTENTS)
    with pytest.raises(ValueError, match="bytes"):
        persistent.put(OID, 0, b"short")
    assert persistent.read(OID, 0) == CONTENTS
    assert persistent.counters().puts_stored == 1


def test_the_target_of_a_get_must_be_writable(persistent: Pool) -> None:
    persistent.put(OID, 0, CONTENTS)
    target = bytes(PAGE_BYTES)
    with pytest.raises(ValueError, match="writable"):
        persistent.get(OID, 0, target)
    with pytest.raises(ValueError, match="writable"):
        persistent.get(OID, 0, memoryview(bytearray(PAGE_BYTES)).toreadonly())
    assert target == bytes(PAGE_BYTES)


def test_a_page_must_be_in_one_piece(persistent: Pool) -> None:
    every_other = memoryview(bytearray(2 * PAGE_BYTES))[::2]
    assert len(every_other) == PAGE_BYTES
    with pytest.raises(ValueError, match="contiguous"):
        persistent.put(OID, 0, every_other)
    with pytest.raises(ValueError, match="contiguous"):
        persistent.get(OID, 0, every_other)


@pytest.mark.parametrize("not_a_buffer", [None, 5, "x" * PAGE_BYTES, [0] * PAGE_BYTES])
def test_what_is_no_buffer_is_a_type_error(persistent: Pool, not_a_buffer: Any) -> None:
    with pytest.raises(TypeError):
        persistent.put(OID, 0, not_a_buffer)
    with pytest.raises(TypeError):
        persistent.get(OID, 0, not_a_buffer)


def test_get_writes_in_place_and_within_its_page(persistent: Pool) -> None:
    persistent.put(OID, 0, CONTENTS)
    memory = bytearray(b"\xee" * (3 * PAGE_BYTES))
    assert persistent.get(OID, 0, memoryview(memory)[PAGE_BYTES : 2 * PAGE_BYTES])
    assert memory[PAGE_BYTES : 2 * PAGE_BYTES] == CONTENTS
    assert set(memory[:PAGE_BYTES] + memory[2 * PAGE_BYTES :]) == {0xEE}


def test_buffers_are_given_back(persistent: Pool) -> None:
    contents = bytearray(CONTENTS)
    persistent.put(OID, 0, contents)
    persistent.get(OID, 0, contents)
    contents.clear()  # BufferError as long as somebody holds the memory


@pytest.mark.parametrize("oid", [(), (1,), (1, 2), (1, 2, 3, 4)])
def test_an_oid_has_three_words(persistent: Pool, oid: Any) -> None:
    with pytest.raises(ValueError, match=f"3 words, not {len(oid)}"):
        persistent.put(oid, 0, CONTENTS)
    with pytest.raises(ValueError, match="3 words"):
        persistent.flush_object(oid)


@pytest.mark.parametrize("number", [-1, 2**64])
def test_numbers_must_fit(persistent: Pool, number: int) -> None:
    with pytest.raises(OverflowError):
        persistent.put(OID, number, CONTENTS)
    with pytest.raises(OverflowError):
        persistent.put((0, number, 0), 0, CONTENTS)
    with pytest.raises(OverflowError):
        persistent.flush_range(OID, 0, number)
