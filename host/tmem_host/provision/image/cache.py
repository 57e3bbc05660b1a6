# SPDX-License-Identifier: GPL-2.0-or-later
"""Images that were built, and the Debian roots that they were made from."""

import fcntl
import json
import os
import struct
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tmem_host.provision.cache import Cache

_FACTS = "facts.json"
# fcntl.h and struct flock of Linux; Python names neither.
_F_OFD_GETLK = 36
_FLOCK = struct.Struct("hhqqixxxx")


@dataclass(frozen=True)
class Root:
    """A Debian root, as a squashfs without the project's files."""

    directory: Path
    digest: str
    """Of its contents: two roots of the same packages may differ, made on different days."""
    made: str

    @property
    def path(self) -> Path:
        """The squashfs."""
        return self.directory / "root.squashfs"


@dataclass(frozen=True)
class Image:
    """What guests have as their first disk, read-only."""

    directory: Path
    hash: str
    root: str
    """The digest of the Debian root."""
    project: str
    """The hash of the project's files in it."""
    kernels: tuple[str, ...]
    """The versions of the kernels whose modules it holds."""
    made: str

    @property
    def path(self) -> Path:
        """The squashfs."""
        return self.directory / "image.squashfs"


class RootCache(Cache):
    """The directory that holds Debian roots."""

    def find(self, hash_: str) -> Root | None:
        """The root of that hash, if it was made."""
        facts = _read(self.place(hash_))
        return Root(directory=self.place(hash_), **facts) if facts is not None else None

    def add(self, staged: Path, hash_: str, root: Root) -> Root:
        """Moves what was made to its place, instead of what was there."""
        _write(staged, root)
        if self.place(hash_).exists():
            os.rename(self.place(hash_), staged.with_name("replaced"))
        self.put(staged, hash_)
        return root


class ImageCache(Cache):
    """The directory that holds images; `roots` holds what they are made from."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.roots = RootCache(root / "roots")

    def find(self, hash_: str) -> Image | None:
        """The image of that hash, if it was built."""
        facts = _read(self.place(hash_))
        if facts is None:
            return None
        return Image(directory=self.place(hash_), **{**facts, "kernels": tuple(facts["kernels"])})

    def images(self) -> list[Image]:
        """All images, the newest first."""
        return [image for path in self.places() if (image := self.find(path.name))]

    def add(self, staged: Path, image: Image) -> Image:
        """Moves what was built to its place, at once and whole."""
        _write(staged, image)
        self.put(staged, image.hash)
        return image


def in_use(path: Path) -> bool:
    """Whether a guest has the image open: QEMU holds locks on its disks."""
    try:
        with open(path, "rb") as file:
            wanted = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
            found = fcntl.fcntl(file, _F_OFD_GETLK, wanted)
    except FileNotFoundError:
        return False
    return bool(_FLOCK.unpack(found)[0] != fcntl.F_UNLCK)


def _read(directory: Path) -> dict[str, Any] | None:
    try:
        facts: dict[str, Any] = json.loads((directory / _FACTS).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return facts


def _write(directory: Path, build: Root | Image) -> None:
    facts = asdict(build)
    del facts["directory"]
    (directory / _FACTS).write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
