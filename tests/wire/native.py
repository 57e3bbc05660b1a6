# SPDX-License-Identifier: GPL-2.0-or-later
"""The C code of c/wire, with the types of tests.wire.reference."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from tests.wire.reference import Message
from tmem_host.native._engine import ffi, lib

if TYPE_CHECKING:
    from tmem_host.native._engine import tmem_message


def _to_c(message: Message) -> "tmem_message":
    c = ffi.new("struct tmem_message *")
    c.version, c.op, c.flags = message.version, message.op, message.flags
    c.payload_bytes, c.status = len(message.payload), message.status
    c.tag, c.session, c.pool, c.index = message.tag, message.session, message.pool, message.index
    for word, value in enumerate(message.oid):
        c.oid.words[word] = value
    return c


def encode(message: Message, key: int) -> bytes:
    """As Message.encode."""
    size = lib.tmem_wire_bytes(len(message.payload))
    # what the C code does not write shows
    room = bytearray(b"\xee" * (size + 8))
    end = 64 + len(message.payload)
    room[64:end] = message.payload
    written = lib.tmem_wire_encode(_to_c(message), key, ffi.from_buffer("uint8_t[]", room))
    assert written == size
    assert room[size:] == b"\xee" * 8
    return bytes(room[:size])


def chain(message: Message, before: int) -> int:
    """As Message.chain."""
    payload = ffi.new("uint8_t[]", message.payload) if message.payload else ffi.NULL
    return lib.tmem_wire_chain(before, _to_c(message), payload)


def peek(data: bytes) -> tuple[Message | None, int]:
    """What the next message seems to be, without its payload, and the bytes that it would have."""
    c = ffi.new("struct tmem_message *")
    # of exact size, so that a sanitizer would see a read beyond it
    size = lib.tmem_wire_peek(ffi.new("uint8_t[]", data), len(data), c)
    return (_from_c(c, b""), size) if size else (None, 0)


def _from_c(c: "tmem_message", payload: bytes) -> Message:
    words = (c.oid.words[0], c.oid.words[1], c.oid.words[2])
    fields = (c.op, c.flags, c.status, c.tag, c.session, c.pool, c.index)
    return Message(*fields, words, payload, c.version)


class Decoder:
    """One direction of one connection."""

    def __init__(self, *, replies: bool = False) -> None:
        self.c = ffi.new("struct tmem_decoder *")
        lib.tmem_decoder_init(self.c, replies)

    def begin(self, session: int, key: int) -> None:
        lib.tmem_decoder_begin(self.c, session, key)

    def offer(self, session: int, key: int) -> None:
        lib.tmem_decoder_offer(self.c, session, key)

    def search(self) -> None:
        lib.tmem_decoder_search(self.c)

    def next(self, data: bytes) -> tuple[int, Message | None, int]:
        """What was found, the message if one was, and how many bytes were used."""
        c = ffi.new("struct tmem_message *")
        payload = ffi.new("void const **")
        used = ffi.new("size_t *")
        # a copy of exact size, so that a sanitizer would see a read beyond it
        exact = ffi.new("uint8_t[]", data)
        found = lib.tmem_decoder_next(self.c, exact, len(data), c, payload, used)
        if found != lib.TMEM_WIRE_FOUND:
            return found, None, used[0]
        content = bytes(ffi.buffer(payload[0], c.payload_bytes)) if c.payload_bytes else b""
        return found, _from_c(c, content), used[0]

    def finish(self, beginning: bytes, whole: bytes) -> tuple[int, Message | None]:
        """What is found of `whole`, once only the `beginning`, with the header, was there."""
        c = ffi.new("struct tmem_message *")
        payload = ffi.new("void const **")
        used = ffi.new("size_t *")
        first = ffi.new("uint8_t[]", beginning)
        found = lib.tmem_decoder_next(self.c, first, len(beginning), c, payload, used)
        assert (found, used[0], payload[0]) == (lib.TMEM_WIRE_MORE, 0, ffi.NULL)
        all_of_it = ffi.new("uint8_t[]", whole)  # `payload` points into it
        found = lib.tmem_decoder_finish(c, all_of_it, payload)
        if found != lib.TMEM_WIRE_FOUND:
            return found, None
        return found, _from_c(c, bytes(ffi.buffer(payload[0], c.payload_bytes)))

    def take(self, stream: bytearray) -> Iterator[Message]:
        """Takes whole messages off the stream's beginning; ends when it needs more, and raises
        Damaged when it is out of step."""
        while True:
            found, message, used = self.next(bytes(stream))
            del stream[:used]
            if found == lib.TMEM_WIRE_DAMAGED:
                raise Damaged
            if message is None:
                return
            yield message


class Damaged(Exception):
    """The stream is not what it should be."""
