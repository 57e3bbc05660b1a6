# SPDX-License-Identifier: GPL-2.0-or-later
"""How the kernel uses tmem, as its modules say."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tmem_guest.cli.errors import CommandError
from tmem_guest.kernel.debugfs import Row, frontswap_pages, pairs, rows
from tmem_guest.kernel.modules import HOOKS, TRANSPORT, is_loaded, parameter

# The words of a line of pools that have no name there; all others are NAME=VALUE.
_POOLS: Final = ("id", "state", "lifetime", "kind")
_CURES: Final = ("s1", "s2", "s3", "s4", "s5")


def counters(root: Path) -> dict[str, Row]:
    """The counters of each module that is loaded; CommandError if none is, or they cannot be
    read."""
    found = {
        part: pairs(root, part, "counters") for part in ("hooks", "transport") if _has(root, part)
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
    pools = rows(root, "transport", "pools", _POOLS) if transport else []
    mounts = rows(root, "hooks", "mounts") if hooks else []
    by_id = {pool["id"]: pool for pool in pools}
    uncured = int(pairs(root, "hooks", "counters").get("mounts_uncured", 0)) if hooks else 0
    return Status(
        hooks=hooks,
        transport=transport,
        attached=parameter(root, TRANSPORT, "attached") == "Y",
        device=parameter(root, TRANSPORT, "device"),
        session=pairs(root, "transport", "info") if transport else None,
        pools=pools,
        mounts=[mount | {"note": _note(mount, by_id.get(mount["pool"]))} for mount in mounts],
        areas=rows(root, "hooks", "areas") if hooks else [],
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


def _has(root: Path, part: str) -> bool:
    return is_loaded(root, {"hooks": HOOKS, "transport": TRANSPORT}[part])
