# SPDX-License-Identifier: GPL-2.0-or-later
"""What the modules show in debugfs.

Nothing here waits for the host: it may be read while the kernel does. CommandError says why it
cannot be read.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tmem_guest.cli.errors import CommandError

Value = int | str
Row = dict[str, Value]

_DEBUGFS: Final = "sys/kernel/debug"


def frontswap_pages(root: Path) -> int:
    """How many pages of swap are with the host and not on a disk."""
    return int(_read(root, "hooks", "frontswap_pages"))


def swap_files(root: Path) -> list[str]:
    """The swap areas in use, as swapoff takes them."""
    lines = (root / "proc/swaps").read_text(encoding="utf-8").splitlines()[1:]
    # a blank in a path is an octal number there
    return [re.sub(r"\\([0-7]{3})", _character, line.split()[0]) for line in lines]


def _character(octal: re.Match[str]) -> str:
    return chr(int(octal[1], 8))


def pairs(root: Path, part: str, name: str) -> Row:
    """What a file of a module, "hooks" or "transport", has in lines of a name and a value."""
    lines = (line.partition(" ") for line in _read(root, part, name).splitlines())
    return {key: _value(value) for key, _, value in lines}


def rows(root: Path, part: str, name: str, heads: Sequence[str] = ()) -> list[Row]:
    """The same in lines of words, of which the first are called `heads`, the others NAME=VALUE."""
    found: list[Row] = []
    for line in _read(root, part, name).splitlines():
        words = line.split()
        row: Row = {head: _value(word) for head, word in zip(heads, words, strict=False)}
        for word in words[len(heads) :]:
            key, _, value = word.partition("=")
            row[key] = _value(value)
        found.append(row)
    return found


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
