# SPDX-License-Identifier: GPL-2.0-or-later
"""A load of one guest: files that are written, dropped and read again, and more memory than it has.

Runs in the guest: `python3 guest_load.py FOLDER MEMORY_BYTES SEED BOOT`. Writes how often it has
looked at something to /run/looks, and what is wrong to /run/wrong; ends when there is /run/stop.
Contents are blocks that say what they are, so an old one is told from a new one, and what was
written before the guest booted anew from what this BOOT has written.
"""

import mmap
import os
import random
import sys
import time

from tmem_guest.workloads.blocks import BLOCK_BYTES, describe, make_block

FILES = 24
FILE_BLOCKS = 128


def look(data: bytes, right: bytes) -> None:
    """AssertionError with what was found, unless it is the block that is right."""
    assert data == right, f"{describe(data)}; instead of {describe(right)}"


class Files:
    """Files in a folder, and which version of each block is the newest."""

    def __init__(self, folder: str, rng: random.Random, boot: int) -> None:
        self._rng = rng
        self._boot = boot
        self._paths = [f"{folder}/load{number}" for number in range(FILES)]
        self._newest = [[1] * FILE_BLOCKS for _ in self._paths]
        for number, path in enumerate(self._paths):
            with open(path, "wb") as file:
                for block in range(FILE_BLOCKS):
                    file.write(make_block(number, block, 1, boot))
                os.fsync(file.fileno())

    def step(self) -> None:
        """One file is read or partly written, and its clean pages are dropped."""
        number = self._rng.randrange(FILES)
        newest = self._newest[number]
        first = self._rng.randrange(FILE_BLOCKS)
        count = min(self._rng.choice((1, 8, FILE_BLOCKS)), FILE_BLOCKS - first)
        fd = os.open(self._paths[number], os.O_RDWR)
        try:
            if self._rng.random() < 0.3:
                for block in range(first, first + count):
                    newest[block] += 1
                data = b"".join(
                    make_block(number, block, newest[block], self._boot)
                    for block in range(first, first + count)
                )
                os.pwrite(fd, data, first * BLOCK_BYTES)
                os.fsync(fd)
            data = os.pread(fd, count * BLOCK_BYTES, first * BLOCK_BYTES)
            for at in range(count):
                block, piece = first + at, data[at * BLOCK_BYTES : (at + 1) * BLOCK_BYTES]
                look(piece, make_block(number, block, newest[block], self._boot))
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(fd)


class Memory:
    """Anonymous memory, some of which is always swapped out."""

    def __init__(self, size_bytes: int, rng: random.Random, boot: int) -> None:
        self._rng = rng
        self._boot = boot
        self._map = mmap.mmap(-1, size_bytes, flags=mmap.MAP_PRIVATE)
        self._newest = [1] * (size_bytes // BLOCK_BYTES)
        for page in range(len(self._newest)):
            self._write(page)

    def _right(self, page: int) -> bytes:
        return make_block(FILES, page, self._newest[page], self._boot)

    def _write(self, page: int) -> None:
        at = page * BLOCK_BYTES
        self._map[at : at + BLOCK_BYTES] = self._right(page)

    def step(self) -> None:
        """Looks at some pages, and changes some of these."""
        for _ in range(32):
            page = self._rng.randrange(len(self._newest))
            at = page * BLOCK_BYTES
            look(self._map[at : at + BLOCK_BYTES], self._right(page))
            if self._rng.random() < 0.3:
                self._newest[page] += 1
                self._write(page)


def main(folder: str, memory_bytes: int, seed: int, boot: int) -> None:
    """Goes on until it is told to stop, or something is wrong."""
    rng = random.Random(seed)
    parts: list[Files | Memory] = [Files(folder, rng, boot), Memory(memory_bytes, rng, boot)]
    looks, told = 0, 0.0
    while not os.path.exists("/run/stop"):
        for part in parts:
            part.step()
        looks += 1
        if time.monotonic() > told + 0.2:
            told = time.monotonic()
            with open("/run/looks.new", "w", encoding="ascii") as file:
                file.write(f"{looks}\n")
            os.rename("/run/looks.new", "/run/looks")


if __name__ == "__main__":
    try:
        main(sys.argv[1], *map(int, sys.argv[2:]))
    except BaseException as error:
        with open("/run/wrong", "w", encoding="utf-8") as wrong:
            wrong.write(f"{error!r}\n")
        raise
