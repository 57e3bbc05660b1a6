# SPDX-License-Identifier: GPL-2.0-or-later
"""Where the tests put arenas: memory that the host can be asked about, and can be short of."""

from __future__ import annotations

import ctypes
import functools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

EXTENT_BYTES = 16 << 10


def allocated_bytes(path: str | os.PathLike[str]) -> int:
    """What the host's kernel has allocated to the file."""
    return os.stat(path).st_blocks * 512


def copy_arena(source: str | os.PathLike[str], target: str | os.PathLike[str]) -> None:
    """Copies the file as it is at this moment, holes as holes."""
    with open(source, "rb") as old, open(target, "wb") as new:
        size = os.fstat(old.fileno()).st_size
        new.truncate(size)
        position = 0
        while position < size:
            try:
                start = os.lseek(old.fileno(), position, os.SEEK_DATA)
            except OSError:  # no data behind this place
                break
            position = os.lseek(old.fileno(), start, os.SEEK_HOLE)
            os.pwrite(new.fileno(), os.pread(old.fileno(), position - start, start), start)


@functools.cache
def why_no_mount() -> str | None:
    """Why a file system of limited size cannot be mounted here, or None if it can."""
    if os.geteuid() != 0:
        return "mounting a tmpfs of limited size needs root"
    if shutil.which("mount") is None:
        return "there is no mount command"
    with tempfile.TemporaryDirectory() as directory:
        tried = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=64k", "tmem-test", directory],
            capture_output=True,
            text=True,
            check=False,
        )
        if tried.returncode:
            return f"mounting a tmpfs failed: {tried.stderr.splitlines()[0]}"
        unmount(directory)
    return None


def unmount(directory: str | os.PathLike[str]) -> None:
    """Unmounts at once, or as soon as what is still open there is closed."""
    lazily = 2  # MNT_DETACH
    if ctypes.CDLL(None, use_errno=True).umount2(os.fsencode(directory), lazily):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), os.fspath(directory))


@contextmanager
def small_host(bytes_: int) -> Iterator[Path]:
    """A tmpfs of `bytes_` bytes, which stands for a host with that much memory."""
    directory = Path(tempfile.mkdtemp(prefix="tmem-host-"))
    try:
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={bytes_}", "tmem-test", directory], check=True
        )
        try:
            yield directory
        finally:
            unmount(directory)
    finally:
        directory.rmdir()


def take_memory(directory: Path, *, leave_bytes: int = 0) -> Path:
    """Fills the file system but for `leave_bytes`; removing the returned file gives it back."""
    ballast = directory / "ballast"
    free = os.statvfs(directory)
    wanted = free.f_bavail * free.f_frsize - leave_bytes
    with ballast.open("wb") as file:
        if wanted > 0:
            os.posix_fallocate(file.fileno(), 0, wanted)
    return ballast
