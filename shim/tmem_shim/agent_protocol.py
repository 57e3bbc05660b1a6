# SPDX-License-Identifier: GPL-2.0-or-later
"""How the host and the agent in a guest talk: frames of msgpack maps over a virtio-serial port.

    header, 24 bytes, little-endian     payload, one msgpack map
    magic     4 bytes "TmA1"
    length    u32, of the payload, at most MAX_PAYLOAD_BYTES
    session   u64
    check     u32, CRC-32 of the payload
    check     u32, CRC-32 of the header before it

The port loses what it cannot deliver, and either side may start again while the other is in the
middle of a frame. So:

1. Whoever starts to talk first sends FILLER, which is as long as the longest frame. A receiver
   that waits for the rest of a frame gets it from there, finds that the check fails, and looks for
   the next header. Nothing that follows the filler is lost, whatever came before it.
2. Each connection of the host is a session with a random number, opened by HELLO. The guest ends
   what an older session left running and answers HELLO; the host takes no frame of another session.
3. An agent that starts says STARTED, in session NO_SESSION: who waits for an answer of the agent
   before it learns that there will be none. A request of a session that this agent did not open
   is answered UNKNOWN: nobody began it, and it may be sent again in a new session.

One request runs at a time. Message types and their keys:

    host to guest
      HELLO      version
      REQUEST    id, method, arguments
      DATA       id, data             for a method that takes a stream: exec, write_file
      END        id                   the stream is complete
    guest to host
      STARTED    version, boot_id
      HELLO      version, boot_id
      UNKNOWN    id                   the request is of no session that this agent knows
      DATA       id, stream, data     stdout, stderr, or the contents of a file
      TAKEN      id, bytes            that many bytes of the host's stream are dealt with
      ALIVE      id                   the request still runs; sent at least each ALIVE_EVERY_S
      RESULT     id, result           the request is done
      ERROR      id, kind, message    the request failed; kind is for programs, message for people

The host keeps at most WINDOW_BYTES of its stream beyond what was TAKEN, so that the agent can
always read the port, and with that a new HELLO.
"""

import struct
import zlib
from collections.abc import Callable
from typing import Any, NamedTuple

import msgpack

VERSION = 1
PORT_NAME = "org.kvmtmem.agent.0"
PORT_PATH = f"/dev/virtio-ports/{PORT_NAME}"

NO_SESSION = 0
MAX_PAYLOAD_BYTES = 64 << 10
# Leaves room for the other keys of a DATA message.
CHUNK_BYTES = MAX_PAYLOAD_BYTES - 128
WINDOW_BYTES = 4 * CHUNK_BYTES
ALIVE_EVERY_S = 2.0

HELLO = "hello"
REQUEST = "request"
DATA = "data"
END = "end"
STARTED = "started"
UNKNOWN = "unknown"
TAKEN = "taken"
ALIVE = "alive"
RESULT = "result"
ERROR = "error"

_MAGIC = b"TmA1"
_FIELDS = struct.Struct("<4sIQI")
_CHECK = struct.Struct("<I")
_HEADER_BYTES = _FIELDS.size + _CHECK.size

FILLER = bytes(_HEADER_BYTES + MAX_PAYLOAD_BYTES)

Message = dict[str, Any]


class TooLong(Exception):
    """A message does not fit in a frame; nothing was sent."""


class Malformed(Exception):
    """A payload that arrived whole is no message: the other side does not keep to the protocol."""


class Frame(NamedTuple):
    """A payload that arrived whole."""

    session: int
    payload: bytes


def encode(session: int, message: Message) -> bytes:
    """The frame of a message; TooLong if it does not fit.

    Strings that came from the file system may hold bytes that are no UTF-8; they pass unchanged, as
    Python's surrogate escapes.
    """
    payload = msgpack.packb(message, unicode_errors="surrogateescape")
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise TooLong(f"a message of {len(payload)} bytes; {MAX_PAYLOAD_BYTES} are the most")
    fields = _FIELDS.pack(_MAGIC, len(payload), session, zlib.crc32(payload))
    return b"".join((fields, _CHECK.pack(zlib.crc32(fields)), payload))


def decode(payload: bytes) -> Message:
    """The message of a payload: a map whose keys are strings, with a string "type"; Malformed.

    Takes memory in proportion to the payload, whatever the payload says.
    """
    try:
        message = msgpack.unpackb(
            payload, unicode_errors="surrogateescape", ext_hook=_no_extension, strict_map_key=True
        )
    except (ValueError, TypeError, OverflowError, msgpack.UnpackException) as error:
        raise Malformed(f"not msgpack: {error}") from error
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        raise Malformed("not a map with a type")
    if not all(isinstance(key, str) for key in message):
        raise Malformed("a map with a key that is no string")
    return message


def _no_extension(code: int, _data: bytes) -> None:
    raise ValueError(f"extension type {code}")


class FrameReader:
    """Finds the frames in a stream of bytes; what is none is skipped and counted.

    `wanted` says of a session whether its frames are to be found at all. A header of any other is
    skipped like noise, so that old traffic is not waited for. Holds less than a frame and what
    was fed last.
    """

    def __init__(self, wanted: Callable[[int], bool] = lambda _session: True) -> None:
        self._wanted = wanted
        self._buffer = bytearray()
        self.skipped_bytes = 0

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that are complete with `data`, in their order."""
        self._buffer += data
        frames: list[Frame] = []
        while self._find_header():
            _, length, session, check = _FIELDS.unpack_from(self._buffer)
            end = _HEADER_BYTES + length
            if len(self._buffer) < end:
                break
            payload = bytes(self._buffer[_HEADER_BYTES:end])
            if zlib.crc32(payload) == check:
                frames.append(Frame(session, payload))
                del self._buffer[:end]
            else:
                # What looked like the payload may hold the next frame.
                self._skip(1)
        return frames

    def _find_header(self) -> bool:
        """Skips to the next header; False if it is not here, or not all of it."""
        while True:
            at = self._buffer.find(_MAGIC)
            if at < 0:
                # The last bytes may be the beginning of a magic.
                self._skip(max(0, len(self._buffer) - len(_MAGIC) + 1))
                return False
            self._skip(at)
            if len(self._buffer) < _HEADER_BYTES:
                return False
            if self._header_is_good():
                return True
            self._skip(1)

    def _header_is_good(self) -> bool:
        _, length, session, _ = _FIELDS.unpack_from(self._buffer)
        (check,) = _CHECK.unpack_from(self._buffer, _FIELDS.size)
        return (
            zlib.crc32(self._buffer[: _FIELDS.size]) == check
            and length <= MAX_PAYLOAD_BYTES
            and self._wanted(session)
        )

    def _skip(self, count: int) -> None:
        del self._buffer[:count]
        self.skipped_bytes += count
