# SPDX-License-Identifier: GPL-2.0-or-later
"""The format of a trace, from docs/trace.md alone: writes files, damaged ones too."""

from __future__ import annotations

import struct
from dataclasses import astuple, dataclass, field, replace

import xxhash
import zstandard

PAGE_BYTES = 4096
CLIENTS, RECORDS, END = 1, 2, 3
HAS_PAGE = 1
_RECORD = struct.Struct("<QQQQQIIHhhBB")
_BLOCK = struct.Struct("<IBBHIIIIQQQ")
_MASK = 2**64 - 1


@dataclass
class Record:
    time_ns: int
    index: int = 0
    oid0: int = 0
    oid1: int = 0
    oid2: int = 0
    pool: int = 0
    ahead: int = 0
    client: int = 0
    count: int = 0
    result: int = 1
    op: int = 4
    flags: int = 0


@dataclass
class Client:
    number: int
    name: bytes
    cap_bytes: int = 0
    persistent_quota_bytes: int = 0
    weight: int = 0
    trust_group: int = 0
    encoding: int = 2
    zstd_level: int = 1
    dedup: int = 0
    frozen: int = 0

    def pack(self) -> bytes:
        return struct.pack(
            "<IIQQIIIiII128s",
            self.number,
            len(self.name),
            self.cap_bytes,
            self.persistent_quota_bytes,
            self.weight,
            self.trust_group,
            self.encoding,
            self.zstd_level,
            self.dedup,
            self.frozen,
            self.name,
        )


def header(flags: int = 0, started_ns: int = 5) -> bytes:
    start = struct.pack("<8sIIQ", b"TMEMTRC\n", 1, flags, started_ns)
    return start + xxhash.xxh64_intdigest(start).to_bytes(8, "little")


def block(kind: int, number: int, raw: bytes, records: int = 0, pages: int = 0) -> bytes:
    stored = zstandard.compress(raw, 1)
    check = xxhash.xxh64_intdigest(stored, number)
    head = _BLOCK.pack(0x42544D54, kind, 0, 0, records, pages, len(stored), 0, number, 0, check)
    return head + xxhash.xxh64_intdigest(head).to_bytes(8, "little") + stored


def records_block(number: int, records: list[Record], pages: tuple[bytes, ...] = ()) -> bytes:
    packed, before = [], Record(0)
    for record in records:
        packed.append(
            _RECORD.pack(
                *astuple(
                    replace(
                        record,
                        time_ns=record.time_ns - before.time_ns & _MASK,
                        index=record.index - before.index & _MASK,
                    )
                )
            )
        )
        before = record
    columns = b"".join(bytes(column) for column in zip(*packed, strict=True))
    return block(RECORDS, number, columns + b"".join(pages), len(records), len(pages))


@dataclass
class File:
    """A whole file: clients, then records by blocks, then the end."""

    clients: list[Client]
    blocks: list[list[Record]]
    pages: dict[int, tuple[bytes, ...]] = field(default_factory=dict)

    def parts(self) -> list[bytes]:
        """Header, clients, one part for each block of records, end."""
        found = [header(1 if self.pages else 0)]
        packed = b"".join(client.pack() for client in self.clients)
        found.append(block(CLIENTS, 0, packed, len(self.clients)))
        for number, records in enumerate(self.blocks):
            found.append(records_block(number + 1, records, self.pages.get(number, ())))
        count = sum(map(len, self.blocks))
        last = max((record.time_ns for records in self.blocks for record in records), default=0)
        found.append(block(END, len(found) - 1, struct.pack("<QQQq", count, 0, last, 0)))
        return found


def read_blocks(data: bytes) -> list[tuple[int, int, bytes]]:
    """Kind, records and raw bytes of each block of a sound file."""
    assert data[:8] == b"TMEMTRC\n"
    at, found = 32, []
    while at < len(data):
        fields = _BLOCK.unpack_from(data, at)
        kind, records, stored_bytes = fields[1], fields[4], fields[6]
        stored = data[at + 56 : at + 56 + stored_bytes]
        assert xxhash.xxh64_intdigest(stored, fields[8]) == fields[10]
        assert xxhash.xxh64_intdigest(data[at : at + 48]) == int.from_bytes(
            data[at + 48 : at + 56], "little"
        )
        found.append((kind, records, zstandard.decompress(stored)))
        at += 56 + stored_bytes
    return found


def records_of(raw: bytes, count: int) -> list[Record]:
    """The records of a block's raw bytes."""
    columns = [raw[byte * count : (byte + 1) * count] for byte in range(_RECORD.size)]
    found, time_ns, index = [], 0, 0
    for row in zip(*columns, strict=True):
        record = Record(*_RECORD.unpack(bytes(row)))
        time_ns = time_ns + record.time_ns & _MASK
        index = index + record.index & _MASK
        found.append(replace(record, time_ns=time_ns, index=index))
    return found
