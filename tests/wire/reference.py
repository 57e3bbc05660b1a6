# SPDX-License-Identifier: GPL-2.0-or-later
"""Messages in Python, written from docs/protocol.md and not from the C code: what checks the other
may not share its mistakes. Slow, and used by tests only."""

import struct
from dataclasses import dataclass, field

import xxhash

HEADER = struct.Struct("<4sBBHHhIIIIIQ3Q")
HEADER_BYTES = 64
TAIL = struct.Struct("<II")
MAGIC = b"TMem"
CHECK_AT = 12
MASK = 0xFFFF_FFFF


@dataclass
class Message:
    """A message's fields; `check` is what was received, or None before it is made."""

    op: int
    flags: int = 0
    status: int = 0
    tag: int = 0
    session: int = 0
    pool: int = 0
    index: int = 0
    oid: tuple[int, int, int] = (0, 0, 0)
    payload: bytes = field(default=b"", repr=False)
    version: int = 1

    def header(self, check: int, session: int) -> bytes:
        """The 64 bytes, with these two fields as given."""
        return HEADER.pack(
            MAGIC,
            self.version,
            self.op,
            self.flags,
            len(self.payload),
            self.status,
            check,
            self.tag,
            session,
            self.pool,
            0,
            self.index,
            *self.oid,
        )

    def encode(self, key: int) -> bytes:
        """The message as it travels in the session of `key`."""
        check = xxhash.xxh64_intdigest(self.header(0, self.session), key) & MASK
        header = self.header(check, self.session)
        if not self.payload:
            return header
        zeros = bytes(-len(self.payload) % 8)
        return header + self.payload + zeros + TAIL.pack(~check & MASK, 0)

    def chain(self, before: int) -> int:
        """The digest with this message, after `before`."""
        digest = xxhash.xxh64_intdigest(self.header(0, 0), before)
        if not self.payload:
            return digest
        content = self.payload
        if len(content) == 4096:
            content = b"".join(content[at : at + 8] for at in range(0, 3641, 520))
        return xxhash.xxh64_intdigest(content, digest)


def message_bytes(payload_bytes: int) -> int:
    """How long a message with such a payload is."""
    if payload_bytes == 0:
        return HEADER_BYTES
    return HEADER_BYTES + (payload_bytes + 7) // 8 * 8 + TAIL.size


def decode(data: bytes, key: int) -> Message | None:
    """The message that `data` begins with; None when there is no whole and right one."""
    if len(data) < HEADER_BYTES:
        return None
    (magic, version, op, flags, size, status, _, tag, session, pool, zero, index, *oid) = (
        HEADER.unpack_from(data)
    )
    if magic != MAGIC or zero or len(data) < message_bytes(size):
        return None
    payload = data[HEADER_BYTES : HEADER_BYTES + size]
    words = (oid[0], oid[1], oid[2])
    message = Message(op, flags, status, tag, session, pool, index, words, payload, version)
    return message if message.encode(key) == data[: message_bytes(size)] else None
