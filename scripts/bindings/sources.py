# SPDX-License-Identifier: GPL-2.0-or-later
"""Which C files make which extension. Paths are relative to the top of the tree, where the build
runs, since setuptools refuses absolute ones."""

from pathlib import Path

TOP = Path(__file__).resolve().parents[2]


def _glob(*patterns: str) -> list[str]:
    found = (path for pattern in patterns for path in TOP.glob(pattern))
    return sorted(str(path.relative_to(TOP)) for path in found)


CFLAGS_FILE = "c/cflags"
INCLUDE_DIRS = ["c/include", "c/engine", "c/wire", "c/server"]
HEADERS = [*_glob(*(f"{folder}/**/*.h" for folder in INCLUDE_DIRS)), CFLAGS_FILE]
# The libraries that the host's extension is made of, in the order in which they need each other,
# and the headers whose declarations it offers.
HOST_PARTS = {part: _glob(f"c/{part}/**/*.c") for part in ("server", "engine", "wire")}
HOST_APIS = ["engine.h", "wire.h", "map.h", "server.h"]
HOST_LIBRARIES = ["lz4", "zstd", "xxhash", "pthread"]
