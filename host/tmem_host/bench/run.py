# SPDX-License-Identifier: GPL-2.0-or-later
"""One run of a benchmark, from gathering the data to the document."""

import dataclasses
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tmem_host.bench import driver
from tmem_host.bench.dataset import ROOTS, gather
from tmem_host.bench.fields import FIELDS
from tmem_host.bench.figures import Field
from tmem_host.bench.machine import (
    check_room,
    machine,
    project_version,
    revision,
    server_versions,
)
from tmem_host.bench.service_fields import SERVICE_FIELDS

FORMAT = 1
"""of the document; raised when a key changes its meaning or goes"""

_EXTRA_BYTES = 256 << 20


@dataclass(frozen=True)
class Settings:
    """What to measure, and how long."""

    size_bytes: int
    rounds: int
    fields: tuple[str, ...] | None = None
    """None: all"""
    arena: Path = Path("/dev/shm")
    """a folder on tmpfs; data set and arenas live there while the benchmark runs"""
    roots: tuple[str, ...] = ROOTS
    """folders whose files are the data set"""


@dataclass(frozen=True)
class Benchmark:
    """One program of c/bench, and what is made of its figures."""

    name: str
    program: str
    fields: tuple[Field, ...]
    defaults: Settings
    folder_factor: float
    """how many times the data set is in the folder at once, arenas included"""
    memory_factor: float
    """and in memory, the folder included"""
    versions: Callable[[], dict[str, str]]
    """of programs that take part; BenchError if one is missing"""


ENGINE = Benchmark(
    name="engine",
    program="bench_engine",
    fields=FIELDS,
    defaults=Settings(size_bytes=1 << 30, rounds=7),
    # the data set, and beside it at most a copy and an arena of the same size
    folder_factor=3.2,
    memory_factor=3.2,
    versions=dict,
)

SERVICE = Benchmark(
    name="service",
    program="bench_service",
    fields=SERVICE_FIELDS,
    defaults=Settings(size_bytes=512 << 20, rounds=5),
    # the data set and two arenas; five servers' copies, one of them in chunks of 5 KiB, and the
    # set that is made up
    folder_factor=3.3,
    memory_factor=8,
    versions=server_versions,
)


def run(
    benchmark: Benchmark,
    settings: Settings,
    tell: Callable[[str], None] = lambda sentence: None,
) -> dict[str, Any]:
    """Measures; the document, ready for JSON. BenchError if something is in the way.

    `tell` is called with the name of what is being done.
    """
    on = machine(settings.arena)
    others = benchmark.versions()
    check_room(
        settings.arena,
        int(settings.size_bytes * benchmark.folder_factor) + _EXTRA_BYTES,
        int(settings.size_bytes * benchmark.memory_factor) + _EXTRA_BYTES,
    )
    tell("building the driver")
    program = driver.build(benchmark.program)
    wanted = [
        field
        for field in benchmark.fields
        if settings.fields is None or field.name in settings.fields
    ]
    with tempfile.TemporaryDirectory(prefix="tmem-bench-", dir=settings.arena) as name:
        folder = Path(name)
        tell("gathering the data set")
        data_set = gather(folder, settings.size_bytes, settings.roots)
        measured = _measure(program, wanted, folder, settings.rounds, tell)
    return {
        "benchmark": benchmark.name,
        "format": FORMAT,
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": dataclasses.asdict(on),
        "versions": {"kvm_tmem": project_version(), **driver.versions(program), **others},
        "revision": plain(revision()),
        "data_set": dataclasses.asdict(data_set),
        "settings": {
            "size_bytes": settings.size_bytes,
            "rounds": settings.rounds,
            "arena": str(settings.arena),
        },
        "fields": {field.name: describe_field(field, measured[field.group]) for field in wanted},
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


def describe_field(field: Field, measured: driver.Measured) -> dict[str, Any]:
    """A field as it stands in the document."""
    figure = field.figure(measured)
    return {
        "value": figure.value,
        "target": field.target,
        "better": field.better.value,
        "met": field.met(figure.value),
        **{key: value for key, value in dataclasses.asdict(figure).items() if key != "value"},
    }


def plain(record: Any) -> dict[str, Any] | None:
    """A record of what may be missing, for JSON."""
    return None if record is None else dataclasses.asdict(record)
