# SPDX-License-Identifier: GPL-2.0-or-later
"""Results of experiments that nobody ran, by a model of what guests, arena and disk do: guests that
read one data set again and again, or whose memory peaks in turn and is swapped out.
`python -m tests.report.synthetic FOLDER` writes some to look at."""

import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tests.experiment.made_up import HEADER
from tmem_host.experiment.records import End, GuestRun, Header, Record, Run, Sample, Writer

MIB = 1 << 20
PAGE = 4096
KERNEL_MIB = 44  # what a guest holds beside its cache
HEARTBEAT_BYTES = 12 << 10
DISK_BYTES_PER_SECOND = {"native": 180 * MIB, "contended": 30 * MIB}
# a page over the channel, and everything else that is done with one
HIT_SECONDS, PUT_SECONDS, PAGE_SECONDS = 150e-6, 20e-6, 120e-6
COMPRESSED = {"private": 0.55, "shared-compressed": 0.5}


@dataclass(frozen=True)
class Plan:
    """What is run."""

    workload: str = "read"
    arms: tuple[str, ...] = ("none", "private", "shared", "shared-compressed", "control")
    profiles: tuple[str, ...] = ("contended", "native")
    guests: int = 2
    memory_mib: tuple[int, ...] = (80, 112, 144, 176)
    rounds: int = 3
    data_mib: int = 96
    noise: float = 0.01
    seed: int = 7
    control_error_mib: int = 0  # of each guest's memory, that the control arm does not report
    served: float = 0.99

    @property
    def header(self) -> Header:
        """The header of its result."""
        files = {"file_system": "ocfs2", "size": self.data_mib * MIB, "files": 6}
        data = {"data": files, "read": {"settle": True}}
        load = {"load": {"base": 32 * MIB, "peak": self.data_mib * MIB, "swap": 512 * MIB}}
        settings: dict[str, Any] = {
            "title": HEADER.title,
            "workload": self.workload,
            "guests": self.guests,
            "memory": list(self.memory_mib),
            "arms": list(self.arms),
            "profiles": list(self.profiles),
            "rounds": self.rounds,
        }
        settings |= data if self.workload == "read" else load
        return replace(HEADER, settings=settings, seed=self.seed)


@dataclass(frozen=True)
class _Cell:
    plan: Plan
    arm: str
    profile: str
    memory_mib: int
    round: int

    @property
    def shares(self) -> bool:
        return self.arm.startswith("shared")

    @property
    def cache_mib(self) -> float:
        return self.memory_mib - KERNEL_MIB

    @property
    def missing(self) -> float:
        """The share of the data that a guest has not kept when it reads it again."""
        short = self.plan.data_mib - self.cache_mib
        return min(1.0, max(0.0, short / (0.3 * self.plan.data_mib)))

    @property
    def stored_mib(self) -> float:
        """What the arena holds once all guests have had the data."""
        short = self.plan.data_mib - self.cache_mib
        if self.arm == "none" or short <= 0:
            return 0.0
        held = self.plan.data_mib if self.shares else self.plan.guests * short
        return held * COMPRESSED.get(self.arm, 1.0)


@dataclass(frozen=True)
class _Phase:
    name: str
    active: tuple[int, ...]
    again: bool  # the data was there before
    elsewhere: bool  # another guest has had the data
    filled: float  # how much of the arena is filled at its end
    swaps: bool = False


def _phases(plan: Plan) -> list[_Phase]:
    everyone = tuple(range(plan.guests))
    if plan.workload == "read":
        return [
            _Phase("cold", (0,), False, False, 0.4),
            _Phase("settle", (0,), True, False, 0.6),
            _Phase("second", everyone[1:], False, True, 1),
            _Phase("warm", (0,), False, True, 1),
            _Phase("reread", everyone, True, True, 1),
        ]
    peaks = [_Phase(f"peak-node{n + 1}", (n,), True, False, 1, swaps=True) for n in everyone]
    return [_Phase("hold", everyone, False, False, 0), *peaks]


def records(plan: Plan) -> Iterator[Record]:
    """The records of a whole experiment, in the order in which they are written."""
    chance = random.Random(plan.seed)
    yield plan.header
    now = 5.0
    for cell in _cells(plan):
        for phase in _phases(plan):
            run = _run(cell, phase, chance)
            yield from _samples(cell, phase, run, now)
            now += run.seconds
            yield run
        now += 8
    yield End(status="complete", reason="", seconds=now)


def _cells(plan: Plan) -> Iterator[_Cell]:
    for round_ in range(1, plan.rounds + 1):
        for profile in plan.profiles:
            for memory_mib in plan.memory_mib:
                for arm in plan.arms:
                    yield _Cell(plan, arm, profile, memory_mib, round_)


def _run(cell: _Cell, phase: _Phase, chance: random.Random) -> Run:
    plan = cell.plan
    guests = [_guest(cell, phase, number, chance) for number in range(plan.guests)]
    stored = cell.stored_mib * phase.filled
    arena = 0.0 if cell.arm == "none" else 2 + stored
    seconds = max(guest.seconds for guest in guests)
    hits = sum(guest.hits_own + guest.hits_other for guest in guests)
    resident = sum(guest.resident_bytes for guest in guests)
    shared = cell.shares and cell.stored_mib > 0
    return Run(
        arm=cell.arm,
        profile=cell.profile,
        round=cell.round,
        memory_mib=cell.memory_mib,
        guests=plan.guests,
        phase=phase.name,
        seconds=seconds,
        work={"read_bytes": float(len(phase.active) * plan.data_mib * MIB)},
        guest=guests,
        arena_resident_bytes=round(arena * MIB),
        arena_pages=round(stored * MIB / PAGE),
        arena_shared_pages=round(stored * MIB / PAGE) if shared else 0,
        mem_available_bytes=20_000 * MIB - resident - round(arena * MIB),
        service_cpu_seconds=0.1 + hits * 9e-6,
        shared_served_ratio=plan.served - 0.005 * chance.random() if shared else None,
        blocked_by={"node1": round((1 - plan.served) * seconds, 3)} if shared else {},
    )


def _guest(cell: _Cell, phase: _Phase, number: int, chance: random.Random) -> GuestRun:
    plan = cell.plan
    pages = plan.data_mib * MIB // PAGE if number in phase.active else 0
    if phase.name in ("settle", "hold"):
        pages = 0
    absent = round(pages * cell.missing) if phase.again else pages
    hits_own = hits_other = 0
    if cell.shares and cell.stored_mib and phase.elsewhere:
        hits_other = round(absent * 0.98)
    elif cell.arm != "none" and phase.again:
        hits_own = round(absent * 0.97)
    noise = 1 + plan.noise * chance.uniform(-1, 1)
    read = round((absent - hits_own - hits_other) * PAGE * noise) + HEARTBEAT_BYTES
    gets = 0 if cell.arm == "none" else absent
    puts = 0 if cell.arm == "none" else absent
    # who reads at the same time shares the disk
    waits = 1 if cell.shares else len(phase.active)
    seconds = 0.2 + read * waits / DISK_BYTES_PER_SECOND[cell.profile] + pages * PAGE_SECONDS
    seconds += (hits_own + hits_other) * HIT_SECONDS + puts * PUT_SECONDS
    resident = min(cell.memory_mib, KERNEL_MIB + plan.data_mib) * MIB
    if phase.name in ("cold", "settle") and number:
        resident = KERNEL_MIB * MIB
    if cell.arm == "control":
        resident -= plan.control_error_mib * MIB
    return GuestRun(
        name=f"node{number + 1}",
        seconds=seconds * (1 + plan.noise * chance.uniform(-1, 1)) if pages else 0.2,
        disk_read_bytes=0 if phase.swaps else read,
        disk_read_requests=read // (128 << 10) + 1,
        disk_write_bytes=40 << 10,
        swap_read_bytes=read if phase.swaps else 0,
        swap_write_bytes=read if phase.swaps else 0,
        resident_bytes=round(resident * (1 - 0.004 * chance.random())),
        cpu_seconds=seconds * 0.9,
        round_trips=round(gets / 20),
        hits_own=hits_own,
        hits_other=hits_other,
        gets=gets,
        puts=puts,
    )


def _samples(cell: _Cell, phase: _Phase, run: Run, began: float) -> Iterator[Sample]:
    for second in range(int(run.seconds) + 1):
        part = 1.0 if phase.again else min(1.0, second / run.seconds)
        resident = {
            guest.name: round(
                KERNEL_MIB * MIB + part * max(0, guest.resident_bytes - KERNEL_MIB * MIB)
            )
            if number in phase.active
            else guest.resident_bytes
            for number, guest in enumerate(run.guest)
        }
        arena = round(run.arena_resident_bytes * (part if phase.name == "cold" else 1))
        yield Sample(
            t_seconds=began + second,
            arm=run.arm,
            profile=run.profile,
            round=run.round,
            memory_mib=run.memory_mib,
            phase=run.phase,
            guest_resident_bytes=resident,
            arena_resident_bytes=arena,
            mem_available_bytes=20_000 * MIB - sum(resident.values()) - arena,
        )


def write(folder: Path, plan: Plan) -> Path:
    """Writes the result of a plan into a new folder; returns it."""
    folder.mkdir(parents=True)
    with Writer(folder) as writer:
        for record in records(plan):
            writer.write(record)
    return folder


if __name__ == "__main__":
    place = Path(sys.argv[1])
    for count in (2, 4, 8):
        write(place / f"guests-{count}", Plan(guests=count))
    write(place / "memory", Plan(workload="memory", arms=("none", "private", "control"), guests=3))
    write(
        place / "demo",
        Plan(arms=("none", "shared"), profiles=("native",), memory_mib=(80, 112, 160), rounds=1),
    )
