# SPDX-License-Identifier: GPL-2.0-or-later
"""What pyproject.toml cannot say: the C libraries, and the cffi extensions they are linked into.

Each part is a library of its own, so that its warnings are errors while those of the code which
cffi generates are not.
"""

import sys
from pathlib import Path

from setuptools import setup

sys.path.insert(0, str(Path(__file__).resolve().parent / "scripts"))

from bindings import sources

setup(
    libraries=[
        (
            f"tmem-{part}",
            {
                "sources": files,
                "obj_deps": {"": sources.HEADERS},
                "include_dirs": sources.INCLUDE_DIRS,
                # -UNDEBUG since Python's own flags define it, which c/Makefile does not
                "cflags": [f"@{sources.CFLAGS_FILE}", "-O2", "-g", "-UNDEBUG"],
            },
        )
        for part, files in sources.PARTS.items()
    ],
    cffi_modules=["scripts/bindings/extension.py:host", "scripts/bindings/extension.py:shim"],
)
