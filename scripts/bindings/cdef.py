# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads C headers the way cffi wants them: preprocessed, without anything from the system."""

import os
import shlex
import subprocess

from bindings.sources import INCLUDE_DIRS, TOP


def read(header: str) -> str:
    """The declarations of `header` (relative to the top of the tree) and of ours that it includes.

    Our headers include no system header when TMEM_CDEF is defined; cffi knows the fixed-width
    integers by itself.

    Raises subprocess.CalledProcessError when the preprocessor refuses the header.
    """
    compiler = shlex.split(os.environ.get("CC", "cc"))
    includes = [f"-I{directory}" for directory in INCLUDE_DIRS]
    command = [*compiler, "-E", "-P", "-DTMEM_CDEF", *includes, header]
    return subprocess.run(command, cwd=TOP, check=True, capture_output=True, text=True).stdout
