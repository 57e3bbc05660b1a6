# SPDX-License-Identifier: GPL-2.0-or-later
"""What a worker does to files, in blocks of workloads/blocks.py. All raise OSError.

Direct I/O goes through anonymous memory, whose pages are aligned as it wants them.
"""

import ctypes
import errno
import fcntl
import mmap
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tmem_guest.workloads.blocks import BLOCK_BYTES, Found, describe, make_block, what_is

_FICLONE = 0x40049409
_FALLOC_FL_KEEP_SIZE = 1
_FALLOC_FL_PUNCH_HOLE = 2
_libc = ctypes.CDLL(None, use_errno=True)


def create(path: str) -> None:
    """Makes an empty file, which must not be there yet, and the directories above it."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))


def write(
    path: str, *, file: int, first: int, count: int, version: int, writer: int, how: str, sync: bool
) -> None:
    """Writes blocks `first` to `first + count - 1` of an existing file.

    `how` is "buffered", "append" (which must be at the end), "direct", or "mmap" (which must be
    within the file).
    """
    data = b"".join(make_block(file, first + i, version, writer) for i in range(count))
    offset = first * BLOCK_BYTES
    flags = os.O_RDWR
    if how == "append":
        flags |= os.O_APPEND
    elif how == "direct":
        flags |= os.O_DIRECT
    with _opened(path, flags) as fd:
        if how == "mmap":
            if os.fstat(fd).st_size < offset + len(data):
                raise OSError(errno.ENXIO, "the file ends before these blocks do", path)
            with mmap.mmap(fd, len(data), offset=offset) as memory:
                memory[:] = data
                if sync:
                    memory.flush()
            return
        if how == "append":
            written = os.write(fd, data)
        elif how == "direct":
            with _aligned(len(data)) as memory:
                memory[:] = data
                written = os.pwrite(fd, memory, offset)
        else:
            written = os.pwrite(fd, data, offset)
        if written != len(data):
            raise OSError(errno.EIO, f"{written} of {len(data)} bytes were written")
        if sync:
            os.fsync(fd)


def read(path: str, *, first: int, count: int, how: str, evict: bool) -> list[Found]:
    """What is in the blocks. `how` is "buffered", "direct" or "mmap"; `evict`
    drops the file's clean pages afterwards, which offers them to cleancache."""
    offset, length = first * BLOCK_BYTES, count * BLOCK_BYTES
    with _opened(path, os.O_RDONLY | (os.O_DIRECT if how == "direct" else 0)) as fd:
        if how == "mmap":
            # beyond the end a map has no bytes but a signal
            length = min(length, os.fstat(fd).st_size - offset)
            data = _mapped(fd, offset, length) if length > 0 else b""
        elif how == "direct":
            with _aligned(length) as memory:
                data = memory[: os.preadv(fd, [memory], offset)]
        else:
            data = os.pread(fd, length, offset)
        if evict:
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    blocks = (data[i * BLOCK_BYTES : (i + 1) * BLOCK_BYTES] for i in range(count))
    return [what_is(block, first + i) for i, block in enumerate(blocks)]


def look(path: str, *, block: int) -> str:
    """What stands in a block's header, for people."""
    with _opened(path, os.O_RDONLY) as fd:
        return describe(os.pread(fd, BLOCK_BYTES, block * BLOCK_BYTES))


def evict(path: str) -> None:
    """Writes the file's pages back and drops them."""
    with _opened(path, os.O_RDWR) as fd:
        os.fsync(fd)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)


def truncate(path: str, *, blocks: int, sync: bool) -> None:
    """Cuts or grows the file to so many blocks."""
    with _opened(path, os.O_RDWR) as fd:
        os.ftruncate(fd, blocks * BLOCK_BYTES)
        if sync:
            os.fsync(fd)


def punch(path: str, *, first: int, count: int, sync: bool) -> None:
    """Makes a hole; the size stays."""
    with _opened(path, os.O_RDWR) as fd:
        mode = _FALLOC_FL_PUNCH_HOLE | _FALLOC_FL_KEEP_SIZE
        offset, length = ctypes.c_int64(first * BLOCK_BYTES), ctypes.c_int64(count * BLOCK_BYTES)
        if _libc.fallocate(fd, mode, offset, length) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), path)
        if sync:
            os.fsync(fd)


def unlink(path: str) -> None:
    """Removes a file."""
    os.unlink(path)


def rename(path: str, *, to: str) -> None:
    """Gives a file another name, at which there may be one already."""
    os.makedirs(os.path.dirname(to), exist_ok=True)
    os.rename(path, to)


def reflink(path: str, *, to: str) -> None:
    """Makes a new file `to` that shares the blocks of `path` until one of both is written.

    It has its name only when it has its blocks: ocfs2 keeps zeros in the page cache if somebody
    reads a file that is being cloned into.
    """
    os.makedirs(os.path.dirname(to), exist_ok=True)
    making = f"{to}.making"
    with (
        _opened(path, os.O_RDONLY) as source,
        _opened(making, os.O_RDWR | os.O_CREAT | os.O_TRUNC) as target,
    ):
        fcntl.ioctl(target, _FICLONE, source)
    try:
        os.link(making, to)
    finally:
        os.unlink(making)


def sync() -> None:
    """Writes everything back."""
    os.sync()


def drop_caches(*, what: int) -> None:
    """Drops clean pages (1), inodes and dentries (2), or both (3)."""
    with open("/proc/sys/vm/drop_caches", "w", encoding="ascii") as file:
        file.write(f"{what}\n")


def run(argv: list[str]) -> dict[str, Any]:
    """Runs a command; its status and what it said."""
    done = subprocess.run(argv, capture_output=True, check=False)
    said = (done.stdout + done.stderr).decode(errors="replace")
    return {"status": done.returncode, "said": said}


# The operations that take a path, and those that do not.
OF_FILES: dict[str, Callable[..., Any]] = {
    operation.__name__: operation
    for operation in (
        *(create, write, read, look, evict, truncate, punch, unlink, rename, reflink),
    )
}
OTHERS: dict[str, Callable[..., Any]] = {
    operation.__name__: operation for operation in (sync, drop_caches, run)
}


@contextmanager
def _opened(path: str, flags: int) -> Iterator[int]:
    fd = os.open(path, flags, 0o600)
    try:
        yield fd
    finally:
        os.close(fd)


def _mapped(fd: int, offset: int, length: int) -> bytes:
    with mmap.mmap(fd, length, offset=offset, prot=mmap.PROT_READ) as memory:
        return bytes(memory)


@contextmanager
def _aligned(length: int) -> Iterator[mmap.mmap]:
    memory = mmap.mmap(-1, length)
    try:
        yield memory
    finally:
        memory.close()
