# SPDX-License-Identifier: GPL-2.0-or-later
"""What the calls of the kernel's front ends cost, in turns with a bare port: the module tmem_bench
measures, here its runs are put in order."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Final

from tmem_guest.cli.errors import CommandError
from tmem_guest.kernel import devices, modules
from tmem_guest.kernel.modules import BENCH
from tmem_guest.kernel.state import counters

PORT_NAME: Final = "org.kvmtmem.bench.0"
# Runs whose operations are looked at one by one, and those of many pages at a time. Each follows
# what it is compared with, and a load follows its store.
_ALONE: Final = (
    "raw_trip",
    "get_alone",
    "miss_asked",
    "raw_trip_get",
    "store",
    "load",
    "raw_trip_interrupt",
    "miss_summary",
)
_MANY: Final = (
    "raw_push",
    "put",
    "raw_push_interrupt",
    "raw_pull",
    "get_sequential",
    "raw_pull_interrupt",
)
# Each takes as many turns in a round.
_TURNS: Final = 4
_ALONE_SHARE: Final = 8
# A host that is busy with others may end a session, and with it goes what was put. Such a turn is
# repeated, as often as this in all.
_REPEATS_MAX: Final = 10
_WRONG: Final = {
    errno.ENODEV: "nobody has the port {port} open on the host, or the pool cannot be shared",
    errno.ETIMEDOUT: "the host end of the port {port} does not answer",
    errno.ENODATA: "the host does not have the pages that were put, or has those that were not",
    errno.EUCLEAN: "the host gave back other pages than were put",
}

Line = dict[str, str | int | float]


class PagesAreGone(CommandError):
    """The host does not have what was put."""


def run(root: Path, rounds: int, pages: int, shared: str) -> Iterator[Line]:
    """Measures `rounds` times, `pages` pages at a time; a sample for each series and round, then
    the round trips. The kernel is attached. CommandError."""
    if modules.parameter(root, modules.TRANSPORT, "attached") != "Y":
        raise CommandError("the kernel does not use tmem; run: tmem-guest kernel attach")
    with _loaded(root, shared):
        _Run(root, "ready", 1)
        repeats = 0
        # the first round warms up
        for number in range(rounds + 1):
            turns: list[dict[str, float]] = []
            while len(turns) < _TURNS:
                try:
                    turns.append(_turn(root, pages))
                except PagesAreGone:
                    repeats += 1
                    if repeats > _REPEATS_MAX:
                        raise
                    _Run(root, "ready", 1)
            for name in turns[0]:
                if number > 0:
                    ns = median(turn[name] for turn in turns)
                    yield {"series": name, "pages": 1, "wall_ns": ns, "waited_ns": 0}
        yield {"name": "repeats", "value": repeats}
        yield from _trips(root, pages)


def _turn(root: Path, pages: int) -> dict[str, float]:
    """Nanoseconds for an operation of each series."""
    ns: dict[str, float] = {}
    for name in _ALONE:
        ns[name] = _Run(root, name, max(1, pages // _ALONE_SHARE)).median_ns
    for name in _MANY:
        measured = _Run(root, name, pages)
        ns[name] = measured.wall_ns / measured.pages
        if name == "put":
            ns["put_call"] = measured.median_ns
    return ns


def _trips(root: Path, pages: int) -> Iterator[Line]:
    """Of what was measured: how often the shim waited for the host."""
    for attempt in range(_REPEATS_MAX):
        counted: list[Line] = []
        try:
            for name in ("put", "get_sequential", "get_alone", "miss_asked", "miss_summary"):
                before = trips(root)
                measured = _Run(root, name, pages)
                counted.append({"name": f"trips_{name}", "value": trips(root) - before})
                counted.append({"name": f"pages_{name}", "value": measured.pages})
        except PagesAreGone:
            if attempt == _REPEATS_MAX - 1:
                raise
            _Run(root, "ready", 1)
        else:
            yield from counted
            return


def trips(root: Path) -> int:
    """How often the shim has asked the host and waited for the answer."""
    return int(counters(root)["transport"]["round_trips"])


class _Run:
    """One run of the module. CommandError."""

    def __init__(self, root: Path, name: str, count: int) -> None:
        path = root / "sys/kernel/debug/tmem/bench/run"
        try:
            with open(path, "r+b", buffering=0) as file:
                file.write(f"{name} {count}".encode())
                file.seek(0)
                text = file.read(4096).decode()
        except OSError as error:
            said = _WRONG.get(error.errno or 0, os.strerror(error.errno or 0))
            kind = PagesAreGone if error.errno == errno.ENODATA else CommandError
            raise kind(f"the run {name}: {said.format(port=PORT_NAME)}") from error
        values = dict(line.split() for line in text.splitlines())
        self.pages = int(values["pages"])
        self.wall_ns = int(values["wall_ns"])
        self.median_ns = int(values["median_ns"])


@contextmanager
def _loaded(root: Path, shared: str) -> Iterator[None]:
    """The module with the bare port, which is virtio_console's again afterwards."""
    device = devices.find_device(root, PORT_NAME)
    devices.check_unused(root, PORT_NAME)
    devices.unbind(root, device)
    try:
        modules.load(BENCH, f"device={device}", f"shared={shared}")
        try:
            yield
        finally:
            modules.unload(BENCH)
    finally:
        devices.bind(root, device)
