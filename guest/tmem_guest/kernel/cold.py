# SPDX-License-Identifier: GPL-2.0-or-later
"""What reading a file costs that nobody has cached: with tmem, whose pool is empty, and with the
front ends alone."""

from __future__ import annotations

import mmap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tmem_guest.cli.errors import CommandError
from tmem_guest.kernel import modules
from tmem_guest.kernel.bench import Line, trips
from tmem_guest.kernel.modules import TRANSPORT
from tmem_guest.kernel.state import counters, status

_PAGE_BYTES: Final = 4096
_PIECE_BYTES: Final = 1 << 20
_READY_S: Final = 30.0
_LEFT_SHARE: Final = 4
# That the kernel and the agent may want meanwhile.
_SPARE_BYTES: Final = 24 << 20


def run(root: Path, rounds: int, file: Path) -> Iterator[Line]:
    """Reads `file` in turns, `rounds` times each way, as `cold`, which has the memory that is
    there, and as `evicting`, which has a quarter of the file: a sample a reading, then the sums of
    all readings with tmem. Leaves the kernel attached. CommandError."""
    try:
        yield from _readings(root, rounds, file, "cold")
        with _memory_taken(root, file.stat().st_size // _LEFT_SHARE):
            yield from _readings(root, rounds, file, "evicting")
    finally:
        modules.set_parameter(root, TRANSPORT, "attached", "Y")


def _readings(root: Path, rounds: int, file: Path, name: str) -> Iterator[Line]:
    sums = {"trips": 0, "puts": 0, "pages": 0}
    _read(root, file, attached=False, sums={})
    for number in range(rounds):
        # whoever comes second finds the host's disk as the first has left it
        for attached in (number % 2 == 0, number % 2 != 0):
            series = f"{name}_{'on' if attached else 'off'}"
            yield {"series": series, **_read(root, file, attached=attached, sums=sums)}
    for what, value in sums.items():
        yield {"name": f"{name}_{what}", "value": value}


@contextmanager
def _memory_taken(root: Path, left_bytes: int) -> Iterator[None]:
    """All but about `left_bytes` of the memory is in use: without swap it stays there."""
    (root / "proc/sys/vm/drop_caches").write_text("3")
    lines = (root / "proc/meminfo").read_text(encoding="ascii").splitlines()
    available = next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    taken = (available << 10) - left_bytes - _SPARE_BYTES
    if taken <= 0:
        yield
        return
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE
    with mmap.mmap(-1, taken, flags):
        yield


def _read(root: Path, file: Path, *, attached: bool, sums: dict[str, int]) -> Line:
    # in this order: what is dropped is put, if there is anybody to put it to
    modules.set_parameter(root, TRANSPORT, "attached", "N")
    (root / "proc/sys/vm/drop_caches").write_text("3")
    if attached:
        modules.set_parameter(root, TRANSPORT, "attached", "Y")
        _wait_ready(root)
    before = (trips(root), _hooks(root, "puts"), _hooks(root, "gets_hit"))
    began_ns = time.monotonic_ns()
    pages = _read_all(file)
    wall_ns = time.monotonic_ns() - began_ns
    after = (trips(root), _hooks(root, "puts"), _hooks(root, "gets_hit"))
    if after[2] != before[2]:
        raise CommandError(f"{file} was to be read from the disk, and the host had pages of it")
    if attached and sums:
        sums["trips"] += after[0] - before[0]
        sums["puts"] += after[1] - before[1]
        sums["pages"] += pages
    return {"pages": pages, "wall_ns": wall_ns, "waited_ns": 0}


def _wait_ready(root: Path) -> None:
    deadline = time.monotonic() + _READY_S
    while True:
        pools = status(root).pools
        if pools and all(pool["state"] == "ready" for pool in pools):
            return
        if time.monotonic() > deadline:
            raise CommandError("the host makes no pool for the file system")
        time.sleep(0.05)


def _read_all(file: Path) -> int:
    """How many pages were read."""
    piece = bytearray(_PIECE_BYTES)
    total = 0
    with open(file, "rb", buffering=0) as opened:
        while count := opened.readinto(piece):
            total += count
    return -(-total // _PAGE_BYTES)


def _hooks(root: Path, name: str) -> int:
    return int(counters(root)["hooks"][name])
