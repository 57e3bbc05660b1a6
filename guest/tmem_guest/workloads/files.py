# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads files record by record, in an order that a seed decides, and verifies each record."""

from __future__ import annotations

import os
import random
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from tmem_guest.workloads.errors import WorkloadError, WrongBytes

PATTERNS: Final = ("sequential", "random")
# More are opened and closed for each record.
_OPEN_MAX: Final = 512
_PART_BYTES: Final = 128 << 10
_PAUSE_S: Final = 0.002


@dataclass(frozen=True)
class File:
    """A file below the root: its size, and the CRC-32 of each of its records."""

    path: str
    size_bytes: int
    records: tuple[int, ...]


@dataclass(frozen=True)
class Manifest:
    """What there is to be read. All records are of one size but the last one of a file."""

    record_bytes: int
    files: tuple[File, ...]


@dataclass(frozen=True)
class Figures:
    """What was gone through, all passes together."""

    bytes: int
    records: int


def manifest(document: object) -> Manifest:
    """The manifest that a JSON document is; WorkloadError."""
    try:
        assert isinstance(document, dict)
        files = tuple(
            File(str(item["path"]), int(item["size_bytes"]), tuple(map(int, item["records"])))
            for item in document["files"]
        )
        found = Manifest(int(document["record_bytes"]), files)
        for file in files:
            assert len(file.records) == -(-file.size_bytes // found.record_bytes)
    except (AssertionError, KeyError, TypeError, ValueError, ZeroDivisionError):
        raise WorkloadError("the manifest is not one") from None
    return found


def read(wanted: Manifest, root: str, *, pattern: str, seed: int, passes: int) -> Figures:
    """Reads every record once in each pass.

    WrongBytes for the first record that is not as the manifest says, WorkloadError for a file that
    cannot be read.
    """
    reader = _Reader(wanted, root, sequential=pattern == "sequential")
    try:
        for number in range(passes):
            for file, record in order(wanted, pattern, seed, number):
                reader.verify(file, record)
    finally:
        reader.close()
    return Figures(reader.bytes, reader.records)


def drop(wanted: Manifest, root: str) -> Figures:
    """Goes through the files once more and has the kernel drop each part after it was read, as it
    would if it needed the memory; they stay as they are on disk. WorkloadError.

    So whatever takes what a kernel drops is offered all of it, also what a kernel in a hurry had
    dropped too fast before. Somebody who needs memory needs it little by little, hence a pause
    after each part.
    """
    buffer = bytearray(_PART_BYTES)
    dropped_bytes = records = 0
    for file in wanted.files:
        try:
            descriptor = os.open(os.path.join(root, file.path), os.O_RDONLY)
        except OSError as error:
            raise WorkloadError(f"cannot open {file.path}: {error.strerror}") from error
        try:
            for offset in range(0, file.size_bytes, _PART_BYTES):
                length = min(_PART_BYTES, file.size_bytes - offset)
                _read_part(descriptor, memoryview(buffer)[:length], offset, file.path)
                os.posix_fadvise(descriptor, offset, length, os.POSIX_FADV_DONTNEED)
                time.sleep(_PAUSE_S)
                dropped_bytes += length
        finally:
            os.close(descriptor)
        records += len(file.records)
    return Figures(dropped_bytes, records)


def _read_part(descriptor: int, into: memoryview, offset: int, path: str) -> None:
    try:
        got = os.preadv(descriptor, [into], offset)
    except OSError as error:
        raise WorkloadError(f"cannot read {path} at {offset}: {error.strerror}") from error
    if got != len(into):
        raise WrongBytes(f"{path} ends at {offset + got}, not at {offset + len(into)} or later")


def order(
    wanted: Manifest, pattern: str, seed: int, pass_number: int
) -> Iterator[tuple[File, int]]:
    """Each record once: one after the other, or as the seed shuffles them."""
    everything = [(file, index) for file in wanted.files for index in range(len(file.records))]
    if pattern == "random":
        random.Random(f"{seed} {pass_number}").shuffle(everything)
    return iter(everything)


class _Reader:
    def __init__(self, wanted: Manifest, root: str, *, sequential: bool) -> None:
        self._root = root
        self._record_bytes = wanted.record_bytes
        self._buffer = bytearray(wanted.record_bytes)
        self._advice = os.POSIX_FADV_SEQUENTIAL if sequential else os.POSIX_FADV_RANDOM
        # as one file after the other is read, it need not be opened for each record
        self._open_max = 1 if sequential else _OPEN_MAX
        self._open: dict[str, int] = {}
        self.bytes = 0
        self.records = 0

    def verify(self, file: File, index: int) -> None:
        offset = index * self._record_bytes
        length = min(self._record_bytes, file.size_bytes - offset)
        view = memoryview(self._buffer)[:length]
        try:
            descriptor = self._descriptor(file.path)
        except OSError as error:
            raise WorkloadError(f"cannot open {file.path}: {error.strerror}") from error
        _read_part(descriptor, view, offset, file.path)
        found = zlib.crc32(view)
        if found != file.records[index]:
            raise WrongBytes(
                f"{file.path} has wrong bytes between {offset} and {offset + length}: their CRC-32"
                f" is {found:08x}, not {file.records[index]:08x}"
            )
        self.bytes += length
        self.records += 1

    def close(self) -> None:
        for descriptor in self._open.values():
            os.close(descriptor)
        self._open.clear()

    def _descriptor(self, path: str) -> int:
        if path not in self._open:
            if len(self._open) >= self._open_max:
                os.close(self._open.pop(next(iter(self._open))))
            descriptor = os.open(os.path.join(self._root, path), os.O_RDONLY)
            os.posix_fadvise(descriptor, 0, 0, self._advice)
            self._open[path] = descriptor
        return self._open[path]
