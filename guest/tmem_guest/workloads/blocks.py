# SPDX-License-Identifier: GPL-2.0-or-later
"""Blocks of 4 KiB that say what they are, so that a reader can tell an old one from a new one.

A block is one header of 32 bytes, again and again: which file, which block, which version, who
wrote it, and a checksum over these. What a reader finds is told as a number: a version from 1,
ZEROS, ABSENT (the file ends before it), or, for a mixture, the list of what is in it.
"""

import struct
import zlib

BLOCK_BYTES = 4096
ZEROS = 0
ABSENT = -1
GARBAGE = -2

_HEADER = struct.Struct("<4sIQQHH")
_CHECKSUM = struct.Struct("<I")
_PIECE_BYTES = _HEADER.size + _CHECKSUM.size
_PIECES = BLOCK_BYTES // _PIECE_BYTES
_MAGIC = b"tmTT"
_NOTHING = bytes(BLOCK_BYTES)

Found = int | list[int]


def make_block(file: int, block: int, version: int, writer: int) -> bytes:
    """The contents of a block."""
    header = _HEADER.pack(_MAGIC, block, file, version, writer, 0)
    return (header + _CHECKSUM.pack(zlib.crc32(header))) * _PIECES


def what_is(data: bytes, block: int) -> Found:
    """What was found where block number `block` should be: see above.

    A whole block of another number is GARBAGE in a list: no version of this block looks like it.
    """
    if not data:
        return ABSENT
    if data == _NOTHING:
        return ZEROS
    version = _version(data[:_PIECE_BYTES], block)
    if version > 0 and data == data[:_PIECE_BYTES] * _PIECES:
        return version
    starts = range(0, len(data), _PIECE_BYTES)
    return sorted({_version(data[start : start + _PIECE_BYTES], block) for start in starts})


def _version(piece: bytes, block: int) -> int:
    if not any(piece):
        return ZEROS
    if len(piece) < _PIECE_BYTES:
        return GARBAGE
    magic, found, _file, version, _writer, _ = _HEADER.unpack_from(piece)
    (checksum,) = _CHECKSUM.unpack_from(piece, _HEADER.size)
    if magic != _MAGIC or found != block or checksum != zlib.crc32(piece[: _HEADER.size]):
        return GARBAGE
    return int(version)


def describe(data: bytes) -> str:
    """The header of a block, for people."""
    if len(data) < _PIECE_BYTES:
        return f"{len(data)} bytes"
    magic, block, file, version, writer, _ = _HEADER.unpack_from(data)
    if magic != _MAGIC:
        return f"no block, begins with {data[:16].hex()}"
    return f"file {file}, block {block}, version {version}, written by node {writer}"
