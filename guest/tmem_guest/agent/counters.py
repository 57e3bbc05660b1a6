# SPDX-License-Identifier: GPL-2.0-or-later
"""counters: what the guest's kernel counts."""

import os
from collections.abc import Iterable

# Documentation/admin-guide/iostats.rst; newer kernels add fields at the end.
_DISK_FIELDS = (
    "reads",
    "reads_merged",
    "sectors_read",
    "read_ms",
    "writes",
    "writes_merged",
    "sectors_written",
    "write_ms",
    "in_flight",
    "io_ms",
    "weighted_io_ms",
)
_DEBUGFS = "/sys/kernel/debug"
# mm/cleancache.c, mm/frontswap.c, and the guest modules
_TMEM_FOLDERS = ("cleancache", "frontswap", "tmem")

Counts = dict[str, int]


def counters(root: str = "/") -> dict[str, object]:
    """meminfo (bytes), vmstat, diskstats by disk, and tmem: numbers in debugfs, by their path.

    A file that this kernel does not have is an empty map.
    """
    return {
        "meminfo": meminfo(_lines(root, "proc/meminfo")),
        "vmstat": vmstat(_lines(root, "proc/vmstat")),
        "diskstats": diskstats(_lines(root, "proc/diskstats")),
        "tmem": _tmem(os.path.join(root, _DEBUGFS.lstrip("/"))),
    }


def meminfo(lines: Iterable[str]) -> Counts:
    """Lines "MemTotal:  1024 kB"; those without a unit are counts of pages."""
    found = {}
    for line in lines:
        name, _, rest = line.partition(":")
        value, _, unit = rest.strip().partition(" ")
        found[name] = int(value) * (1024 if unit == "kB" else 1)
    return found


def vmstat(lines: Iterable[str]) -> Counts:
    """Lines "pgfault 12"."""
    return {name: int(value) for name, value in map(str.split, lines)}


def diskstats(lines: Iterable[str]) -> dict[str, Counts]:
    """Lines "254 0 vda 1 2 3 ..."."""
    found = {}
    for line in lines:
        _, _, name, *values = line.split()
        found[name] = dict(zip(_DISK_FIELDS, map(int, values), strict=False))
    return found


def _lines(root: str, path: str) -> list[str]:
    try:
        with open(os.path.join(root, path)) as file:
            return file.readlines()
    except FileNotFoundError:
        return []


def _tmem(debugfs: str) -> Counts:
    found = {}
    for name in _TMEM_FOLDERS:
        for folder, _, files in os.walk(os.path.join(debugfs, name)):
            for file in files:
                path = os.path.join(folder, file)
                value = _number(path)
                if value is not None:
                    found[os.path.relpath(path, debugfs)] = value
    return found


def _number(path: str) -> int | None:
    try:
        with open(path) as file:
            return int(file.read(64))
    except (OSError, ValueError):
        # Not every file there can be read, or is one number.
        return None
