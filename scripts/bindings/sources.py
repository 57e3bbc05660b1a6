# SPDX-License-Identifier: GPL-2.0-or-later
"""Which C files make which extension. Paths are relative to the top of the tree, where the build
runs, since setuptools refuses absolute ones."""

from pathlib import Path

TOP = Path(__file__).resolve().parents[2]


def _glob(*patterns: str) -> list[str]:
    found = (path for pattern in patterns for path in TOP.glob(pattern))
    return sorted(str(path.relative_to(TOP)) for path in found)


CFLAGS_FILE = "c/cflags"
INCLUDE_DIRS = ["c/include", "c/engine"]
ENGINE_API = "c/engine/engine.h"
ENGINE_SOURCES = _glob("c/engine/**/*.c")
ENGINE_HEADERS = [*_glob("c/include/**/*.h", "c/engine/**/*.h"), CFLAGS_FILE]
ENGINE_LIBRARIES = ["lz4", "zstd", "xxhash", "pthread"]
