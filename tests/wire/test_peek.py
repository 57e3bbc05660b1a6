# SPDX-License-Identifier: GPL-2.0-or-later
"""A look at what the next message seems to be: right for a message, and safe for anything else."""

import dataclasses

from hypothesis import given
from hypothesis import strategies as st

from tests.wire.native import encode, peek
from tests.wire.reference import HEADER_BYTES, Message
from tests.wire.test_decoder import KEY, REQUESTS
from tmem_host.native._engine import lib

LENGTH_AT = 8  # of the payload, in the header


@given(REQUESTS, st.binary(max_size=100))
def test_a_message_is_seen_by_its_header_alone(message: Message, after: bytes) -> None:
    whole = encode(message, KEY)
    expected = (dataclasses.replace(message, payload=b""), len(whole))
    assert peek(whole + after) == expected
    assert peek(whole[:HEADER_BYTES]) == expected


@given(REQUESTS, st.integers(0, HEADER_BYTES - 1))
def test_a_header_that_is_cut_is_none(message: Message, size: int) -> None:
    assert peek(encode(message, KEY)[:size]) == (None, 0)


@given(REQUESTS, st.integers(0, 3), st.integers(1, 255))
def test_without_the_magic_there_is_none(message: Message, at: int, change: int) -> None:
    whole = bytearray(encode(message, KEY))
    whole[at] ^= change
    assert peek(bytes(whole)) == (None, 0)


@given(REQUESTS, st.integers(lib.TMEM_WIRE_PAYLOAD_MAX + 1, 2**16 - 1))
def test_a_length_that_cannot_be_is_none(message: Message, length: int) -> None:
    whole = bytearray(encode(message, KEY))
    whole[LENGTH_AT : LENGTH_AT + 2] = length.to_bytes(2, "little")
    assert peek(bytes(whole)) == (None, 0)


@given(st.binary(max_size=200))
def test_whatever_follows_the_magic_moves_by_a_possible_length(noise: bytes) -> None:
    magic = encode(Message(1), KEY)[:4]
    _, size = peek(magic + noise)
    assert size == 0 or HEADER_BYTES <= size <= lib.TMEM_WIRE_MESSAGE_MAX
