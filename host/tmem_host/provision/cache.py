# SPDX-License-Identifier: GPL-2.0-or-later
"""Things that were built, by the hash of everything that they were built from."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tmem_host.provision.errors import ProvisionError
from tmem_host.provision.progress import Progress


class Cache:
    """A directory of builds, each whole or not there, and of what belongs to making them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._builds = root / "builds"
        self._building = root / "building"
        self._logs = root / "logs"
        self._locks = root / "locks"

    def log(self, hash_: str) -> Path:
        """Where the build of that hash writes what its tools say."""
        self._logs.mkdir(parents=True, exist_ok=True)
        return self._logs / f"{hash_}.log"

    @contextmanager
    def lock(self, name: str, progress: Progress, why: str) -> Iterator[None]:
        """Holds the lock `name`; while another process has it, says `why` and waits."""
        self._locks.mkdir(parents=True, exist_ok=True)
        with open(self._locks / name, "w", encoding="ascii") as file:
            if not _try_lock(file.fileno()):
                progress.note(f"another process {why}; waiting for it")
                fcntl.flock(file, fcntl.LOCK_EX)
            yield

    @contextmanager
    def workplace(self, hash_: str) -> Iterator[Path]:
        """An empty directory on the cache's file system, removed at the end, whatever happens.

        The caller holds the lock of the hash, so what is found there is of a process that died.
        """
        path = self._building / hash_
        remove_tree(path)
        path.mkdir(parents=True)
        try:
            yield path
        finally:
            remove_tree(path)

    def place(self, hash_: str) -> Path:
        """Where the build of that hash is or will be."""
        return self._builds / hash_

    def put(self, staged: Path, hash_: str) -> None:
        """Moves what was built to its place, at once and whole."""
        self._builds.mkdir(parents=True, exist_ok=True)
        os.rename(staged, self.place(hash_))

    def places(self) -> list[Path]:
        """Of all builds, the newest first."""
        if not self._builds.is_dir():
            return []
        return sorted(self._builds.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)

    def remove(self, hash_: str) -> bool:
        """Removes a build and what an interrupted one left; False while it is being built."""
        self._locks.mkdir(parents=True, exist_ok=True)
        with open(self._locks / hash_, "w", encoding="ascii") as file:
            if not _try_lock(file.fileno()):
                return False
            remove_tree(self._builds / hash_)
            remove_tree(self._building / hash_)
            self.log(hash_).unlink(missing_ok=True)
        return True

    def hashes(self) -> set[str]:
        """Of everything that was built or begun."""
        folders = (self._builds, self._building)
        found = {path.name for folder in folders if folder.is_dir() for path in folder.iterdir()}
        return found | {path.stem for path in self._logs.glob("*.log")}


def need_space(what: str, path: Path, bytes_: int) -> None:
    """ProvisionError unless `bytes_` are free where `path` is, which must exist; `what` is a
    phrase such as "building a kernel"."""
    free = shutil.disk_usage(path).free
    if free < bytes_:
        raise ProvisionError(
            f"{what} needs {bytes_ / 2**30:.1f} GiB in {path}, which has"
            f" {free / 2**30:.1f} GiB free; free some, or name another place with XDG_CACHE_HOME"
        )


def remove_tree(path: Path) -> None:
    """Removes a directory and all below it, if it is there."""
    if path.exists():
        shutil.rmtree(path)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
