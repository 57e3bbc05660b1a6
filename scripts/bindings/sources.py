# SPDX-License-Identifier: GPL-2.0-or-later
"""Which C files make which extension. Paths are relative to the top of the tree, where the build
runs, since setuptools refuses absolute ones."""

from dataclasses import dataclass
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]


def _glob(*patterns: str) -> list[str]:
    found = (path.relative_to(TOP) for pattern in patterns for path in TOP.glob(pattern))
    # what is for the kernel only stands in folders named kernel
    return sorted(str(path) for path in found if "kernel" not in path.parts)


CFLAGS_FILE = "c/cflags"
INCLUDE_DIRS = ["c/include", "c/engine", "c/wire", "c/server", "c/shim", "c/hooks", "c/kmod"]
HEADERS = [*_glob(*(f"{folder}/**/*.h" for folder in INCLUDE_DIRS)), CFLAGS_FILE]


@dataclass(frozen=True)
class Extension:
    """One extension: its libraries in the order in which they need each other, the headers whose
    declarations it offers, and what it needs of the system."""

    module: str
    parts: tuple[str, ...]
    headers: list[str]
    libraries: list[str]

    @property
    def sources(self) -> list[str]:
        """All C files in it."""
        return [file for part in self.parts for file in PARTS[part]]


HOST = Extension(
    module="tmem_host.native._engine",
    parts=("server", "engine", "wire"),
    headers=["engine.h", "wire.h", "map.h", "server.h", "trace_read.h"],
    libraries=["lz4", "zstd", "xxhash", "pthread"],
)
# No engine: a guest carries it.
SHIM = Extension(
    module="tmem_shim._shim",
    parts=("hooks", "shim", "wire"),
    headers=["user/transport.h", "user/hooks_user.h", "wire.h"],
    libraries=["pthread"],
)
PARTS = {part: _glob(f"c/{part}/**/*.c") for part in dict.fromkeys((*HOST.parts, *SHIM.parts))}
