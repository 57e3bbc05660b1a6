# SPDX-License-Identifier: GPL-2.0-or-later
"""Frames of the agent's protocol: any damage, any cut, and what a liar may send."""

import itertools
import random
import zlib

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tmem_shim import agent_protocol as protocol
from tmem_shim.agent_protocol import FILLER, FrameReader, Malformed, TooLong, decode, encode

Sent = tuple[int, dict[str, object]]

messages = st.dictionaries(
    st.text(max_size=8),
    st.one_of(st.integers(-(2**63), 2**64 - 1), st.text(max_size=20), st.binary(max_size=300)),
    max_size=4,
).map(lambda keys: {**keys, "type": "data"})
sessions = st.integers(0, 2**64 - 1)
frames = st.tuples(sessions, messages)


def _pieces(stream: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts)})
    return [stream[start:end] for start, end in itertools.pairwise(places)]


def _read(reader: FrameReader, stream: bytes, cuts: list[int]) -> list[Sent]:
    return [
        (frame.session, decode(frame.payload))
        for piece in _pieces(stream, cuts)
        for frame in reader.feed(piece)
    ]


@given(st.lists(frames, max_size=5), st.lists(st.integers(0, 5000), max_size=8))
def test_what_is_sent_arrives_however_it_is_cut(sent: list[Sent], cuts: list[int]) -> None:
    reader = FrameReader()
    stream = b"".join(encode(session, message) for session, message in sent)
    assert _read(reader, stream, cuts) == sent
    assert reader.skipped_bytes == 0


# Noise, whole frames, beginnings of frames and headers that promise what does not come.
damage = st.lists(
    st.one_of(
        st.binary(max_size=64),
        frames.map(lambda frame: encode(*frame)),
        st.tuples(frames, st.integers(0, 400)).map(lambda cut: encode(*cut[0])[: cut[1]]),
        st.sampled_from([0, 1, protocol.MAX_PAYLOAD_BYTES]).map(
            lambda length: _header(length, session=5)
        ),
    ),
    max_size=6,
).map(b"".join)


def _header(length: int, session: int) -> bytes:
    """A header whose check is right, with nothing behind it."""
    fields = protocol._FIELDS.pack(protocol._MAGIC, length, session, 0xDEADBEEF)
    return fields + protocol._CHECK.pack(zlib.crc32(fields))


@given(
    damage, st.lists(frames, min_size=1, max_size=3), st.lists(st.integers(0, 70000), max_size=4)
)
def test_after_filler_nothing_is_lost(before: bytes, sent: list[Sent], cuts: list[int]) -> None:
    stream = before + FILLER + b"".join(encode(session, message) for session, message in sent)
    assert _read(FrameReader(), stream, cuts)[-len(sent) :] == sent


@given(damage, st.lists(st.integers(0, 2000), max_size=4))
def test_noise_never_takes_more_memory_than_a_frame(noise: bytes, cuts: list[int]) -> None:
    reader = FrameReader()
    for piece in _pieces(noise * 3, cuts):
        reader.feed(piece)
        assert len(reader._buffer) <= len(FILLER) + len(piece)


@given(frames, st.integers(0, 10**6), st.integers(1, 255))
def test_a_changed_byte_is_never_believed(frame: Sent, place: int, change: int) -> None:
    good = bytearray(encode(*frame))
    good[place % len(good)] ^= change
    # Of another frame behind it not one byte is lost.
    following = encode(7, {"type": "hello"})
    assert _read(FrameReader(), bytes(good) + FILLER + following, []) == [(7, {"type": "hello"})]


@pytest.mark.parametrize("length", [protocol.MAX_PAYLOAD_BYTES + 1, 2**31, 2**32 - 1])
def test_a_promise_of_too_much_is_not_waited_for(length: int) -> None:
    reader = FrameReader()
    hello = encode(9, {"type": "hello"})
    (frame,) = reader.feed(_header(length, session=9) + hello)
    assert decode(frame.payload) == {"type": "hello"}


def test_frames_of_other_sessions_are_not_waited_for() -> None:
    reader = FrameReader(lambda session: session == 9)
    hello = encode(9, {"type": "hello"})
    unfinished = _header(protocol.MAX_PAYLOAD_BYTES, session=8)
    whole = encode(8, {"type": "data"})
    (frame,) = reader.feed(whole + unfinished + hello)
    assert (frame.session, decode(frame.payload)) == (9, {"type": "hello"})


def test_the_longest_message() -> None:
    chunk = random.Random(1).randbytes(protocol.CHUNK_BYTES)
    message = {"type": "data", "id": 2**63, "stream": "stdout", "data": chunk}
    (frame,) = FrameReader().feed(encode(1, message))
    assert decode(frame.payload) == message
    assert len(encode(1, message)) <= len(FILLER)
    with pytest.raises(TooLong, match="65536 are the most"):
        encode(1, {"type": "data", "data": bytes(protocol.MAX_PAYLOAD_BYTES)})


def test_names_that_are_no_text_pass() -> None:
    name = b"\xe9\xff".decode(errors="surrogateescape")
    (frame,) = FrameReader().feed(encode(1, {"type": "request", "path": name}))
    assert decode(frame.payload)["path"] == name


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xc1",
        b"\x81\xa4type",
        msgpack.packb([1, 2]),
        msgpack.packb({"id": 1}),
        msgpack.packb({"type": 1}),
        msgpack.packb({"type": "data", b"id": 1}),
        msgpack.packb({"type": "data", 1: 1}),
        msgpack.packb({"type": "data", "x": msgpack.ExtType(5, b"")}),
        msgpack.packb({"type": "data"}) + b"more",
        b"\x81\xa1x\xd7\xff" + b"\xff" * 8,
        # lists of lists of lists
        b"\x91" * protocol.MAX_PAYLOAD_BYTES,
        # a map and a list of four thousand million elements
        b"\xdf\xff\xff\xff\xff",
        b"\xdd\xff\xff\xff\xff\x01",
        b"\xc6\xff\xff\xff\xff\x01",
    ],
)
def test_a_payload_that_is_no_message(payload: bytes) -> None:
    with pytest.raises(Malformed):
        decode(payload)


@given(st.binary(max_size=200))
def test_any_payload_is_a_message_or_malformed(payload: bytes) -> None:
    try:
        message = decode(payload)
    except Malformed:
        return
    assert isinstance(message["type"], str)
