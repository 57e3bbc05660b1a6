# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads C headers the way cffi wants them: preprocessed, without anything from the system."""

import os
import shlex
import subprocess

from bindings.sources import INCLUDE_DIRS, TOP


def read(headers: list[str]) -> str:
    """The declarations of `headers` (as a C file would include them) and of ours that they include.

    Our headers include no system header when TMEM_CDEF is defined; cffi knows the fixed-width
    integers by itself.

    Raises subprocess.CalledProcessError when the preprocessor refuses a header.
    """
    compiler = shlex.split(os.environ.get("CC", "cc"))
    includes = [f"-I{directory}" for directory in INCLUDE_DIRS]
    command = [*compiler, "-E", "-P", "-DTMEM_CDEF", *includes, "-xc", "-"]
    return subprocess.run(
        command, cwd=TOP, check=True, input=including(headers), capture_output=True, text=True
    ).stdout


def including(headers: list[str]) -> str:
    """The C text that includes `headers`."""
    return "".join(f'#include "{header}"\n' for header in headers)
