# SPDX-License-Identifier: GPL-2.0-or-later
"""Kernels that were built, by the hash of everything that they were built from."""

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from tmem_host.provision.errors import ProvisionError
from tmem_host.provision.progress import Progress

_FACTS = "kernel.json"


@dataclass(frozen=True)
class Kernel:
    """A kernel that guests boot."""

    directory: Path
    hash: str
    version: str
    """What `uname -r` says in the guest; no two kernels share it."""
    patched: bool
    debug: bool
    source: str
    markers: tuple[str, ...]
    """The symbols of the cures that it carries."""

    @property
    def image(self) -> Path:
        """The bzImage."""
        return self.directory / "bzImage"

    @property
    def modules(self) -> Path:
        """The directory with lib/modules/VERSION."""
        return self.directory / "modules"

    @property
    def build(self) -> Path:
        """What `make -C` needs to build modules of other sources."""
        return self.directory / "build"

    @property
    def config(self) -> Path:
        """The kernel's configuration."""
        return self.directory / "config"


class KernelCache:
    """The directory that holds kernels, sources and compiled objects."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.sources = root / "sources"
        self.objects = root / "ccache"
        self._builds = root / "builds"
        self._building = root / "building"
        self._logs = root / "logs"
        self._locks = root / "locks"

    def find(self, hash_: str) -> Kernel | None:
        """The kernel of that hash, if it was built."""
        directory = self._builds / hash_
        try:
            facts = json.loads((directory / _FACTS).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        return Kernel(**{**facts, "markers": tuple(facts["markers"])}, directory=directory)

    def kernels(self) -> list[Kernel]:
        """All kernels, the newest first."""
        if not self._builds.is_dir():
            return []
        paths = sorted(self._builds.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
        return [kernel for path in paths if (kernel := self.find(path.name))]

    def log(self, hash_: str) -> Path:
        """Where the build of that hash writes what make says."""
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
        _remove(path)
        path.mkdir(parents=True)
        try:
            yield path
        finally:
            _remove(path)

    def add(self, staged: Path, kernel: Kernel) -> Kernel:
        """Moves what was built from `staged` to its place, at once and whole."""
        facts = asdict(kernel)
        del facts["directory"]
        (staged / _FACTS).write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
        self._builds.mkdir(parents=True, exist_ok=True)
        os.rename(staged, kernel.directory)
        return kernel

    def place(self, hash_: str) -> Path:
        """Where the kernel of that hash is or will be."""
        return self._builds / hash_

    def remove(self, hash_: str) -> bool:
        """Removes a kernel and what an interrupted build left; False while it is being built."""
        self._locks.mkdir(parents=True, exist_ok=True)
        with open(self._locks / hash_, "w", encoding="ascii") as file:
            if not _try_lock(file.fileno()):
                return False
            _remove(self._builds / hash_)
            _remove(self._building / hash_)
            self.log(hash_).unlink(missing_ok=True)
        return True

    def hashes(self) -> set[str]:
        """Of everything that was built or begun."""
        folders = (self._builds, self._building)
        found = {path.name for folder in folders if folder.is_dir() for path in folder.iterdir()}
        return found | {path.stem for path in self._logs.glob("*.log")}

    def remove_inputs(self) -> None:
        """Removes downloaded sources and compiled objects."""
        _remove(self.sources)
        _remove(self.objects)


def need_space(path: Path, bytes_: int) -> None:
    """ProvisionError unless `bytes_` are free where `path` is, which must exist."""
    free = shutil.disk_usage(path).free
    if free < bytes_:
        raise ProvisionError(
            f"building a kernel needs {bytes_ / 2**30:.1f} GiB in {path}, which has"
            f" {free / 2**30:.1f} GiB free; free some, or name another place with XDG_CACHE_HOME"
        )


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _remove(path: Path) -> None:
    if path.exists():
        shutil.rmtree(path)
