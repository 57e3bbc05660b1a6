# SPDX-License-Identifier: GPL-2.0-or-later
"""Blocks that say what they are."""

import pytest

from tmem_guest.workloads.blocks import (
    ABSENT,
    BLOCK_BYTES,
    GARBAGE,
    ZEROS,
    describe,
    make_block,
    what_is,
)


def test_a_block_is_known_again() -> None:
    data = make_block(7, 3, 12, 1)
    assert len(data) == BLOCK_BYTES
    assert what_is(data, 3) == 12
    assert describe(data) == "file 7, block 3, version 12, written by node 1"


def test_a_block_of_another_place_is_garbage() -> None:
    assert what_is(make_block(7, 3, 12, 1), 4) == [GARBAGE]


def test_what_is_not_there() -> None:
    assert what_is(b"", 0) == ABSENT
    assert what_is(bytes(BLOCK_BYTES), 0) == ZEROS


@pytest.mark.parametrize("cut", [512, 2048, 4032])
def test_a_mixture_is_told_apart(cut: int) -> None:
    old, new = make_block(1, 0, 5, 0), make_block(1, 0, 6, 1)
    assert what_is(new[:cut] + old[cut:], 0) == [5, 6]
    assert what_is(new[:cut] + bytes(BLOCK_BYTES - cut), 0) == [ZEROS, 6]
    # cut through a piece
    assert what_is(new[: cut + 18] + old[cut + 18 :], 0) == [GARBAGE, 5, 6]


@pytest.mark.parametrize("byte", [0, 5, 13, 30, 4000])
def test_a_byte_that_changed_is_noticed(byte: int) -> None:
    data = bytearray(make_block(1, 0, 5, 0))
    data[byte] ^= 1
    assert what_is(bytes(data), 0) == [GARBAGE, 5]


def test_part_of_a_block_is_not_one() -> None:
    assert what_is(make_block(1, 0, 5, 0)[:100], 0) == [GARBAGE, 5]
    assert describe(b"abc") == "3 bytes"
    assert describe(b"x" * BLOCK_BYTES).startswith("no block")
