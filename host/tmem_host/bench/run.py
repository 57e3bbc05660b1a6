# SPDX-License-Identifier: GPL-2.0-or-later
"""One run of the benchmark, from gathering the data to the document."""

import dataclasses
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tmem_host.bench import driver
from tmem_host.bench.dataset import ROOTS, gather
from tmem_host.bench.fields import FIELDS, Field
from tmem_host.bench.machine import check_room, machine, project_version, revision

FORMAT = 1
"""of the document; raised when a key changes its meaning or goes"""

_ROOM_FACTOR = 3.2
_ROOM_EXTRA_BYTES = 256 << 20


@dataclass(frozen=True)
class Settings:
    """What to measure, and how long."""

    size_bytes: int = 1 << 30
    rounds: int = 7
    fields: tuple[str, ...] = tuple(field.name for field in FIELDS)
    arena: Path = Path("/dev/shm")
    """a folder on tmpfs; data set and arenas live there while the benchmark runs"""
    roots: tuple[str, ...] = ROOTS
    """folders whose files are the data set"""


def run_engine(
    settings: Settings, tell: Callable[[str], None] = lambda sentence: None
) -> dict[str, Any]:
    """Measures; the document, ready for JSON. BenchError if something is in the way.

    `tell` is called with the name of what is being done.
    """
    on = machine(settings.arena)
    # the data set, and beside it at most a copy and an arena of the same size
    check_room(settings.arena, int(settings.size_bytes * _ROOM_FACTOR) + _ROOM_EXTRA_BYTES)
    tell("building the driver")
    program = driver.build()
    wanted = [field for field in FIELDS if field.name in settings.fields]
    with tempfile.TemporaryDirectory(prefix="tmem-bench-", dir=settings.arena) as name:
        folder = Path(name)
        tell("gathering the data set")
        data_set = gather(folder, settings.size_bytes, settings.roots)
        measured = _measure(program, wanted, folder, settings.rounds, tell)
    return {
        "benchmark": "engine",
        "format": FORMAT,
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": dataclasses.asdict(on),
        "versions": {"kvm_tmem": project_version(), **driver.versions(program)},
        "revision": _plain(revision()),
        "data_set": dataclasses.asdict(data_set),
        "settings": {
            "size_bytes": settings.size_bytes,
            "rounds": settings.rounds,
            "arena": str(settings.arena),
        },
        "fields": {field.name: _describe(field, measured[field.group]) for field in wanted},
    }


def _measure(
    program: Path,
    wanted: Sequence[Field],
    folder: Path,
    rounds: int,
    tell: Callable[[str], None],
) -> dict[str, driver.Measured]:
    measured = {}
    for group in dict.fromkeys(field.group for field in wanted):
        names = ", ".join(field.name for field in wanted if field.group == group)
        tell(f"measuring {names}")
        measured[group] = driver.measure(program, group, folder, rounds)
    return measured


def _describe(field: Field, measured: driver.Measured) -> dict[str, Any]:
    figure = field.figure(measured)
    return {
        "value": figure.value,
        "target": field.target,
        "better": field.better.value,
        "met": field.met(figure.value),
        **{key: value for key, value in dataclasses.asdict(figure).items() if key != "value"},
    }


def _plain(record: Any) -> dict[str, Any] | None:
    return None if record is None else dataclasses.asdict(record)
