# SPDX-License-Identifier: GPL-2.0-or-later
"""What the modules say of themselves, in debugfs.

Nothing here waits for the host: it may be read while the kernel does.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tmem_guest.cli.errors import CommandError
from tmem_guest.kernel.modules import HOOKS, TRANSPORT, is_loaded, parameter

Value = int | str
Row = dict[str, Value]

_DEBUGFS: Final = "sys/kernel/debug"
# The words of a line that have no name there, by file.
_MOUNTS: Final = ("id", "pool", "kind")
_AREAS: Final = ("id",)
_POOLS: Final = ("id", "state", "lifetime", "kind")


def counters(root: Path) -> dict[str, Row]:
    """The counters of each module that is loaded; CommandError if none is, or they cannot be
    read."""
    found = {
        part: _pairs(root, part, "counters") for part in ("hooks", "transport") if _has(root, part)
    }
    if not found:
        raise CommandError("the kernel does not use tmem; run: tmem-guest kernel attach")
    return found


@dataclass(frozen=True)
class Status:
    """All that there is to know. Of a module that is not loaded there is nothing."""

    hooks: bool
    """whether the module is loaded"""
    transport: bool
    """the same"""
    attached: bool
    device: str | None
    session: Row | None
    pools: list[Row]
    mounts: list[Row]
    areas: list[Row]
    frontswap_pages: int | None


def status(root: Path) -> Status:
    """What the modules say now; CommandError if it cannot be read."""
    hooks, transport = _has(root, "hooks"), _has(root, "transport")
    return Status(
        hooks=hooks,
        transport=transport,
        attached=parameter(root, TRANSPORT, "attached") == "Y",
        device=parameter(root, TRANSPORT, "device"),
        session=_pairs(root, "transport", "info") if transport else None,
        pools=_rows(root, "transport", "pools", _POOLS) if transport else [],
        mounts=_rows(root, "hooks", "mounts", _MOUNTS) if hooks else [],
        areas=_rows(root, "hooks", "areas", _AREAS) if hooks else [],
        frontswap_pages=frontswap_pages(root) if hooks else None,
    )


def frontswap_pages(root: Path) -> int:
    """How many pages of swap are with the host and not on a disk; CommandError."""
    return int(_read(root, "hooks", "frontswap_pages"))


def swap_files(root: Path) -> list[str]:
    """The swap areas in use, as swapoff takes them."""
    lines = (root / "proc/swaps").read_text(encoding="utf-8").splitlines()[1:]
    # a blank in a path is an octal number there
    return [re.sub(r"\\([0-7]{3})", _character, line.split()[0]) for line in lines]


def _character(octal: re.Match[str]) -> str:
    return chr(int(octal[1], 8))


def _has(root: Path, part: str) -> bool:
    return is_loaded(root, {"hooks": HOOKS, "transport": TRANSPORT}[part])


def _pairs(root: Path, part: str, name: str) -> Row:
    """Of lines of a name and a value."""
    lines = (line.partition(" ") for line in _read(root, part, name).splitlines())
    return {key: _value(value) for key, _, value in lines}


def _rows(root: Path, part: str, name: str, heads: Sequence[str]) -> list[Row]:
    """Of lines of words, the first ones called `heads`, the others NAME=VALUE."""
    rows: list[Row] = []
    for line in _read(root, part, name).splitlines():
        words = line.split()
        row: Row = {head: _value(word) for head, word in zip(heads, words, strict=False)}
        for word in words[len(heads) :]:
            key, _, value = word.partition("=")
            row[key] = _value(value)
        rows.append(row)
    return rows


def _value(text: str) -> Value:
    try:
        return int(text)
    except ValueError:
        return text


def _read(root: Path, part: str, name: str) -> str:
    path = root / _DEBUGFS / "tmem" / part / name
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError as error:
        if not _is_debugfs_mounted(root):
            raise CommandError(
                "debugfs is not mounted; run: mount -t debugfs debugfs /sys/kernel/debug"
            ) from error
        raise CommandError(f"the module tmem_{part} has no {path}: it is of another make") from (
            error
        )
    except OSError as error:
        if error.errno == errno.EACCES:
            raise CommandError(f"only root may read {path}") from error
        raise CommandError(f"cannot read {path}: {error.strerror}") from error


def _is_debugfs_mounted(root: Path) -> bool:
    lines = (root / "proc/mounts").read_text(encoding="utf-8", errors="replace").splitlines()
    return any(line.split()[1:3] == [f"/{_DEBUGFS}", "debugfs"] for line in lines)
