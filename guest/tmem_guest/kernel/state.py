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
# The words of a line of pools that have no name there; all others are NAME=VALUE.
_POOLS: Final = ("id", "state", "lifetime", "kind")
_CURES: Final = ("s1", "s2", "s3", "s4", "s5")


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
    """what hooks says of each, and in "note" what keeps it from what it asked for"""
    areas: list[Row]
    frontswap_pages: int | None
    uncured_mounts: int
    """how often a mount got a private pool since this kernel lacks `missing_cures`"""
    missing_cures: list[str]


def status(root: Path) -> Status:
    """What the modules say now; CommandError if it cannot be read."""
    hooks, transport = _has(root, "hooks"), _has(root, "transport")
    pools = _rows(root, "transport", "pools", _POOLS) if transport else []
    mounts = _rows(root, "hooks", "mounts") if hooks else []
    by_id = {pool["id"]: pool for pool in pools}
    uncured = int(_pairs(root, "hooks", "counters").get("mounts_uncured", 0)) if hooks else 0
    return Status(
        hooks=hooks,
        transport=transport,
        attached=parameter(root, TRANSPORT, "attached") == "Y",
        device=parameter(root, TRANSPORT, "device"),
        session=_pairs(root, "transport", "info") if transport else None,
        pools=pools,
        mounts=[mount | {"note": _note(mount, by_id.get(mount["pool"]))} for mount in mounts],
        areas=_rows(root, "hooks", "areas") if hooks else [],
        frontswap_pages=frontswap_pages(root) if hooks else None,
        uncured_mounts=uncured,
        missing_cures=_missing_cures(root) if uncured else [],
    )


def _note(mount: Row, pool: Row | None) -> str:
    """What keeps a mount from the pool that it asked for; empty if it has it."""
    if pool is None:
        return "no pool"
    if pool["state"] == "ready" and (mount["kind"], pool["kind"]) == ("shared", "private"):
        return "private: the host does not let this guest share it"
    return {
        "ready": "",
        "wanted": "the host is to be asked",
        "asked": "the host has not answered",
        "stays-out": "left out of the shared pool until the next mount",
        "refused": f"the host refuses a pool ({pool['refused']})",
        "leaving": "being left",
    }.get(str(pool["state"]), str(pool["state"]))


def _missing_cures(root: Path) -> list[str]:
    with open(root / "proc/kallsyms", encoding="utf-8") as lines:
        symbols = {line.split()[2] for line in lines}
    return [cure.upper() for cure in _CURES if f"tmem_cure_{cure}" not in symbols]


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


def _rows(root: Path, part: str, name: str, heads: Sequence[str] = ()) -> list[Row]:
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
