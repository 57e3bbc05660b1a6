# SPDX-License-Identifier: GPL-2.0-or-later
"""A live server over real sockets is fed with what hypothesis makes of good streams; a neighbour on
the same worker must not notice."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.server import peer as p
from tests.server.conftest import Host
from tests.server.peer import Ended, Farewell, Peer, page_of
from tests.wire.reference import Message

OPS = [1, 2, 4, 5, 6, 7, 16, 17, 32, 33, 34, 35, 36, 37]
NUMBERS = st.one_of(
    st.integers(0, 3), st.sampled_from([2**31, 2**32 - 1]), st.integers(0, 2**32 - 1)
)
WORDS = st.one_of(st.integers(0, 3), st.sampled_from([2**63, 2**64 - 1]), st.integers(0, 2**64 - 1))


@st.composite
def requests(draw: st.DrawFn) -> dict[str, Any]:
    """Any request there could be; often one that has the right form."""
    op = draw(st.sampled_from(OPS) | st.integers(0, 255))
    size = draw(st.sampled_from([0, 0, 0, 16, 4096]) | st.integers(0, 4096))
    if op == p.PUT and draw(st.booleans()):
        size = 4096
    return {
        "op": op,
        "flags": draw(st.sampled_from([0, 0, 0, 8, 32]) | st.integers(0, 2**16 - 1)),
        "status": draw(st.sampled_from([0, 0, 1, 32]) | st.integers(-(2**15), 2**15 - 1)),
        "pool": draw(st.sampled_from([0, 1, 2]) | NUMBERS),
        "index": draw(WORDS),
        "oid": (draw(WORDS), draw(WORDS), draw(WORDS)),
        "payload": bytes([draw(st.integers(0, 255))]) * size,
        "step": draw(st.sampled_from([1, 1, 1, 1, 0, 2])),
    }


EDITS = st.lists(
    st.tuples(
        st.sampled_from(["flip", "cut", "insert", "repeat"]),
        st.integers(0, 20_000),
        st.binary(min_size=1, max_size=40),
    ),
    max_size=2,
)


def edit(data: bytes, edits: list[tuple[str, int, bytes]]) -> bytes:
    for kind, where, what in edits:
        at = where % (len(data) + 1)
        if kind == "insert":
            data = data[:at] + what + data[at:]
        elif kind == "cut":
            data = data[:at] + data[at + 7 * len(what) :]
        elif kind == "repeat":
            data = data[:at] + data[max(0, at - 100) :]
        elif at < len(data):
            data = data[:at] + bytes([data[at] ^ what[0]]) + data[at + 1 :]
    return data


@pytest.fixture
def neighbour(host: Host) -> Iterator[tuple[Peer, int]]:
    peer = host.guest("neighbour")
    pool = peer.new_pool(persistent=True)
    for index in range(4):
        peer.put(pool, index, page_of(index))
    yield peer, pool
    assert host.server.session("neighbour").damaged_streams == 0


@settings(
    max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], database=None
)
@given(
    stream=st.lists(requests(), min_size=1, max_size=12),
    edits=EDITS,
    piece=st.sampled_from([1 << 20, 4096, 1000, 63]),
)
def test_any_stream(
    host: Host,
    neighbour: tuple[Peer, int],
    stream: list[dict[str, Any]],
    edits: list[tuple[str, int, bytes]],
    piece: int,
) -> None:
    guest = host.connect()
    guest.begin()
    memory = guest.memory
    data = b""
    for fields in stream:
        memory.tag = memory.tag + fields.pop("step") & 0xFFFFFFFF
        message = Message(tag=memory.tag, session=memory.session, **fields)
        data += message.encode(memory.key)
    data = edit(data, edits)
    for at in range(0, len(data), piece):
        guest.send(data[at : at + piece])
    guest.socket.shutdown(socket.SHUT_WR)
    # whatever it was, the host answers in whole messages, and closes
    with contextlib.suppress(Ended, Farewell):
        while True:
            reply = guest.receive()
            if reply.op == p.HELLO:
                guest.offer = {}
    peer, pool = neighbour
    for index in range(4):
        assert peer.get(pool, index) == page_of(index)
    guest.close()
