# SPDX-License-Identifier: GPL-2.0-or-later
"""Kernels that were built."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from tmem_host.provision.cache import Cache, remove_tree

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


class KernelCache(Cache):
    """The directory that holds kernels, modules for them, sources and compiled objects."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.sources = root / "sources"
        self.objects = root / "ccache"
        self.modules = Cache(root / "modules")
        """The project's own modules for these kernels."""

    def find(self, hash_: str) -> Kernel | None:
        """The kernel of that hash, if it was built."""
        directory = self.place(hash_)
        try:
            facts = json.loads((directory / _FACTS).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        return Kernel(**{**facts, "markers": tuple(facts["markers"])}, directory=directory)

    def kernels(self) -> list[Kernel]:
        """All kernels, the newest first."""
        return [kernel for path in self.places() if (kernel := self.find(path.name))]

    def add(self, staged: Path, kernel: Kernel) -> Kernel:
        """Moves what was built from `staged` to its place, at once and whole."""
        facts = asdict(kernel)
        del facts["directory"]
        (staged / _FACTS).write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
        self.put(staged, kernel.hash)
        return kernel

    def remove_inputs(self) -> None:
        """Removes downloaded sources and compiled objects."""
        remove_tree(self.sources)
        remove_tree(self.objects)
