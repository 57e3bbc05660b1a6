# SPDX-License-Identifier: GPL-2.0-or-later
"""Finding messages in a stream that may be cut, continued by other bytes, or forged (rule Q)."""

from hypothesis import given
from hypothesis import strategies as st

from tests.wire.native import Decoder, encode
from tests.wire.reference import Message
from tmem_host.native._engine import lib

SESSION, KEY = 77, 0x1234_5678_9ABC_DEF0
WORD = st.integers(0, 2**64 - 1)
REQUESTS = st.builds(
    Message,
    op=st.sampled_from([1, 2, 4, 5, 6, 7, 16, 17, 34, 36, 37]),
    flags=st.sampled_from([0, 8, 32]),
    status=st.integers(-(2**15), 2**15 - 1),
    tag=st.integers(0, 2**32 - 1),
    session=st.just(SESSION),
    pool=st.integers(0, 2**32 - 1),
    index=WORD,
    oid=st.tuples(WORD, WORD, WORD),
    payload=st.one_of(st.just(b""), st.binary(max_size=100), st.just(b"TMem" * 1024)),
)
HELLO = Message(32, tag=99, payload=b"\x80")
START = Message(33, tag=4, session=SESSION + 1)


def started() -> Decoder:
    decoder = Decoder()
    decoder.begin(SESSION, KEY)
    return decoder


@given(st.lists(REQUESTS, max_size=8), st.lists(st.integers(1, 5000), max_size=60))
def test_a_stream_may_come_in_any_pieces(messages: list[Message], cuts: list[int]) -> None:
    whole = b"".join(encode(message, KEY) for message in messages)
    decoder, stream = started(), bytearray()
    found: list[Message] = []
    for cut in [*cuts, len(whole)]:
        stream += whole[:cut]
        whole = whole[cut:]
        found += decoder.take(stream)
    assert found == messages
    assert not stream


@given(REQUESTS, st.data())
def test_one_changed_byte_is_no_message(message: Message, data: st.DataObject) -> None:
    """But within the payload: the channel does not change bytes, it only loses them."""
    whole = bytearray(encode(message, KEY))
    payload = range(64, 64 + len(message.payload))
    at = data.draw(st.sampled_from([at for at in range(len(whole)) if at not in payload]))
    whole[at] ^= data.draw(st.integers(1, 255))
    found, _, used = started().next(bytes(whole) + bytes(8192))
    assert (found, used) == (lib.TMEM_WIRE_DAMAGED, 0)


@given(REQUESTS.filter(lambda message: message.payload), st.data())
def test_a_payload_that_other_bytes_continue_is_no_message(
    message: Message, data: st.DataObject
) -> None:
    """A guest that was reset in the middle of a put says HELLO; no page is made of both."""
    whole = encode(message, KEY)
    cut = whole[: data.draw(st.integers(64, len(whole) - 1))]
    hello = encode(HELLO, 0)
    decoder, stream = started(), bytearray(cut + hello * 60)
    found, _, _ = decoder.next(bytes(stream))
    assert found == lib.TMEM_WIRE_DAMAGED
    decoder.search()
    assert list(decoder.take(stream)) == [HELLO] * 60


@given(REQUESTS.filter(lambda message: message.payload), st.data())
def test_a_message_whose_header_was_seen_is_finished(message: Message, data: st.DataObject) -> None:
    whole = bytearray(encode(message, KEY))
    beginning = bytes(whole[: data.draw(st.integers(64, len(whole) - 1))])
    assert started().finish(beginning, bytes(whole)) == (lib.TMEM_WIRE_FOUND, message)
    at = data.draw(st.integers(64 + len(message.payload), len(whole) - 1))
    whole[at] ^= data.draw(st.integers(1, 255))
    assert started().finish(beginning, bytes(whole)) == (lib.TMEM_WIRE_DAMAGED, None)


@given(st.binary(max_size=300), st.binary(max_size=300))
def test_searching_finds_the_next_beginning(before: bytes, between: bytes) -> None:
    decoder = Decoder()
    decoder.offer(START.session, KEY)
    hello, start = encode(HELLO, 0), encode(START, KEY)
    stream = bytearray(before + hello + between + b"TMe" + start)
    assert list(decoder.take(stream)) == [HELLO, START]
    assert decoder.c.skipped_bytes == len(before) + len(between) + 3


def test_searching_says_what_is_of_no_interest() -> None:
    decoder = Decoder()
    noise = bytes(1000) + b"TMem" + bytes(20)
    assert decoder.next(noise) == (lib.TMEM_WIRE_MORE, None, 1000)
    assert decoder.next(bytes(10)) == (lib.TMEM_WIRE_MORE, None, 10)


def test_a_page_cannot_pass_for_a_message_of_the_session() -> None:
    """Who does not know the key cannot make a header, whatever a guest's program writes."""
    forged = encode(Message(7, tag=5, session=SESSION, pool=1), KEY ^ 1)
    put = Message(4, tag=5, session=SESSION, payload=(forged * 64))
    stream = encode(put, KEY)
    for decoder in (started(), Decoder()):
        found, message, _ = decoder.next(stream[64:])
        assert message is None
        assert found == (lib.TMEM_WIRE_MORE if decoder.c.searching else lib.TMEM_WIRE_DAMAGED)


def test_start_counts_for_the_offer_only() -> None:
    decoder = started()
    start = encode(START, KEY)
    assert decoder.next(start)[0] == lib.TMEM_WIRE_DAMAGED
    decoder.offer(START.session, KEY ^ 1)
    assert decoder.next(start)[0] == lib.TMEM_WIRE_DAMAGED
    decoder.offer(START.session, KEY)
    assert decoder.next(start)[1] == START


def test_hello_is_taken_at_any_time() -> None:
    request = Message(6, tag=1, session=SESSION)
    stream = bytearray(encode(request, KEY) + encode(HELLO, 0) + encode(request, KEY))
    assert list(started().take(stream)) == [request, HELLO, request]


def test_hello_of_another_version_is_taken() -> None:
    newer = Message(32, tag=1, payload=b"\x80", version=9)
    assert Decoder().next(encode(newer, 0))[1] == newer
    other = Message(6, session=SESSION, version=9)
    assert started().next(encode(other, KEY))[0] == lib.TMEM_WIRE_DAMAGED


def test_each_end_takes_the_other_direction_only() -> None:
    request, reply = Message(6, session=SESSION), Message(6, 1, session=SESSION)
    guest = Decoder(replies=True)
    guest.begin(SESSION, KEY)
    assert guest.next(encode(reply, KEY))[1] == reply
    assert guest.next(encode(request, KEY))[0] == lib.TMEM_WIRE_DAMAGED
    assert started().next(encode(reply, KEY))[0] == lib.TMEM_WIRE_DAMAGED


def test_a_length_is_not_believed() -> None:
    whole = bytearray(encode(Message(4, session=SESSION, payload=bytes(4096)), KEY))
    whole[8:10] = (65535).to_bytes(2, "little")
    assert started().next(bytes(whole))[0] == lib.TMEM_WIRE_DAMAGED
