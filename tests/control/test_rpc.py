# SPDX-License-Identifier: GPL-2.0-or-later
"""Messages of the control protocol."""

import contextlib
import itertools
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tmem_host.control.rpc import (
    MESSAGE_MAX_BYTES,
    BadMessage,
    Decoder,
    Message,
    Notification,
    Request,
    Response,
)

IDS = st.integers(0, 2**32 - 1)
PLAIN = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(0, 2**63), st.text()),
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.text(), inner)),
    max_leaves=6,
)
MAPS = st.dictionaries(st.text(max_size=8), PLAIN, max_size=4)
MESSAGES = st.one_of(
    st.builds(Request, IDS, st.text(), MAPS),
    st.builds(Response, IDS, st.none(), PLAIN),
    st.builds(Response, IDS, st.fixed_dictionaries({"code": st.text()}), st.none()),
    st.builds(Notification, st.text(), MAPS),
)


@given(st.lists(MESSAGES, max_size=6), st.integers(1, 40))
def test_messages_come_out_as_they_went_in(messages: list[Message], piece: int) -> None:
    data = b"".join(message.pack() for message in messages)
    decoder = Decoder()
    found: list[Message] = []
    for at in range(0, len(data), piece):
        found += decoder.feed(data[at : at + piece])
    assert found == messages


@given(st.binary(min_size=1, max_size=60))
def test_other_bytes_are_refused_or_waited_on(data: bytes) -> None:
    with contextlib.suppress(BadMessage):
        list(Decoder().feed(data))


@pytest.mark.parametrize(
    "item",
    [
        5,
        [],
        [0, 1, "m"],
        [0, -1, "m", []],
        [0, 2**32, "m", []],
        [0, 1, "m", [1]],
        [0, 1, "m", [{}, {}]],
        [0, 1, b"m", []],
        [1, 1, "text", None],
        [2, "m", {}],
        [3, "m", []],
    ],
)
def test_what_is_no_message_is_refused(item: Any) -> None:
    with pytest.raises(BadMessage):
        list(Decoder().feed(msgpack.packb(item)))


def test_a_message_is_bounded() -> None:
    decoder = Decoder()
    start = msgpack.packb([0, 1, "m", [{"text": "x" * 2 * MESSAGE_MAX_BYTES}]])
    pieces = [start[at : at + 65536] for at in range(0, len(start), 65536)]
    with pytest.raises(BadMessage, match="at most"):
        list(itertools.chain.from_iterable(decoder.feed(piece) for piece in pieces))
