# SPDX-License-Identifier: GPL-2.0-or-later
"""Looking at an arena from outside, whether or not an engine has it open."""

import os

from tmem_host.native._engine import ffi, lib
from tmem_host.native.errors import ArenaError
from tmem_host.native.records import ArenaReport, record, text


def check_arena(path: str | os.PathLike[str], *, contents: bool = False) -> ArenaReport:
    """What is in the arena at `path`, which is not changed. With `contents`, every page is
    decoded and verified too.

    ArenaError if the file cannot be read as an arena at all; damage short of that is reported.
    """
    report = ffi.new("struct tmem_arena_report *")
    error = ffi.new("struct tmem_error *")
    code = lib.tmem_arena_check(encoded_path(path), contents, report, error)
    if code:
        raise ArenaError(text(error.message), errno=-code, path=os.fspath(path))
    return record(ArenaReport, report)


def encoded_path(path: str | os.PathLike[str]) -> bytes:
    """`path` as C takes it; ValueError if it contains a zero byte, which would cut it short."""
    encoded = os.fsencode(path)
    if b"\0" in encoded:
        raise ValueError("a path cannot contain a zero byte")
    return encoded
