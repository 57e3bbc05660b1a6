# SPDX-License-Identifier: GPL-2.0-or-later
"""The runs of a result as points: one for each arm, disk profile, number of guests, guest RAM and
phase; every figure of it with its spread over the rounds."""

import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields, replace

from tmem_host.experiment.records import GuestRun, Run, Sample

# Names of arms that mean something to every experiment.
BASE = "none"
CONTROL = "control"

# All phases of an experiment together: a phase of its own here.
WHOLE = "whole"
# Phases in which one guest reads the data first, and the others after it.
COLD = "cold"
SECOND = "second"
# A phase in which guests only make ready for the next.
IDLE = "settle"


@dataclass(frozen=True)
class Spread:
    """One figure over the rounds: the median, the least and the most."""

    median: float
    low: float
    high: float
    rounds: int

    @classmethod
    def of(cls, values: Iterable[float]) -> "Spread":
        """The spread of at least one value."""
        listed = list(values)
        return cls(statistics.median(listed), min(listed), max(listed), len(listed))


@dataclass(frozen=True, order=True)
class Setting:
    """What two arms must have in common to be compared at all."""

    profile: str
    guests: int
    phase: str


@dataclass(frozen=True)
class Point:
    """One arm at one guest RAM. Figures are of all guests together; lists have one for each."""

    memory_mib: int
    seconds: Spread
    read_bytes: Spread  # from data and swap disks
    written_bytes: Spread
    host_bytes: Spread  # the most at one moment: resident guests and arena
    guest_bytes: Spread  # the resident guests, at the end
    arena_bytes: Spread  # at the end
    available_bytes: Spread  # the host's MemAvailable, at the end
    qemu_cpu_seconds: Spread
    service_cpu_seconds: Spread
    gets: Spread
    puts: Spread
    hits_own: Spread
    hits_other: Spread
    round_trips: Spread
    served_share: Spread | None  # of the time in which a guest was in a shared pool
    blocked_seconds: dict[str, Spread]  # by client; rounds in which it blocked nobody count as 0
    guest_read_bytes: list[Spread]
    guest_seconds: list[Spread]


Curves = dict[Setting, dict[str, list[Point]]]


def read_bytes(guest: GuestRun) -> int:
    """What a guest read from its disks: data, and pages that it had swapped out."""
    return guest.disk_read_bytes + guest.swap_read_bytes


def written_bytes(guest: GuestRun) -> int:
    """What a guest wrote to its disks."""
    return guest.disk_write_bytes + guest.swap_write_bytes


def curves(runs: Iterable[Run], samples: Iterable[Sample]) -> Curves:
    """The points of each arm in each setting, by rising guest RAM; where there are several phases,
    also of all of them together. Settings and arms are in the order in which they were run
    first."""
    most = _most_sampled(samples)
    held = [_Held(run, _host_bytes(run, most)) for run in runs]
    found: dict[Setting, dict[str, dict[int, list[_Held]]]] = {}
    for each in [*(each for each in held if each.run.phase != IDLE), *_wholes(held)]:
        run = each.run
        arms = found.setdefault(Setting(run.profile, run.guests, run.phase), {})
        arms.setdefault(run.arm, {}).setdefault(run.memory_mib, []).append(each)
    return {
        setting: {
            arm: [_point(memory_mib, rounds) for memory_mib, rounds in sorted(sizes.items())]
            for arm, sizes in arms.items()
        }
        for setting, arms in found.items()
    }


@dataclass(frozen=True)
class _Held:
    """A run, and the most host memory that was held in it."""

    run: Run
    host_bytes: int


def _wholes(held: list[_Held]) -> list[_Held]:
    """The phases of each time that an arm ran as one run, if none is missing."""
    phases: dict[int, set[str]] = {}
    together: dict[tuple[str, str, int, int, int], list[_Held]] = {}
    for each in held:
        run = each.run
        key = run.arm, run.profile, run.round, run.memory_mib, run.guests
        together.setdefault(key, []).append(each)
        phases.setdefault(run.guests, set()).add(run.phase)
    return [
        _whole(parts)
        for (*_, guests), parts in together.items()
        if len(phases[guests]) == len(parts) > 1
    ]


def _whole(parts: list[_Held]) -> _Held:
    runs = [part.run for part in parts]
    last = runs[-1]
    counts = [item.name for item in fields(GuestRun) if item.name not in ("name", "resident_bytes")]
    guests = [
        replace(
            guest,
            **{
                count: sum(
                    getattr(each, count)
                    for run in runs
                    for each in run.guest
                    if each.name == guest.name
                )
                for count in counts
            },
        )
        for guest in last.guest
    ]
    seconds = sum(run.seconds for run in runs)
    served = [run for run in runs if run.shared_served_ratio is not None]
    served_seconds = sum((run.shared_served_ratio or 0.0) * run.seconds for run in served)
    clients = {client for run in runs for client in run.blocked_by}
    run = replace(
        last,
        phase=WHOLE,
        seconds=seconds,
        guest=guests,
        service_cpu_seconds=sum(run.service_cpu_seconds for run in runs),
        shared_served_ratio=(
            served_seconds / sum(run.seconds for run in served) if served else None
        ),
        blocked_by={
            client: sum(run.blocked_by.get(client, 0.0) for run in runs) for client in clients
        },
    )
    return _Held(run, max(part.host_bytes for part in parts))


_SampleKey = tuple[str, str, int, int, str, frozenset[str]]


def _most_sampled(samples: Iterable[Sample]) -> dict[_SampleKey, int]:
    most: defaultdict[_SampleKey, int] = defaultdict(int)
    for sample in samples:
        key = (
            sample.arm,
            sample.profile,
            sample.round,
            sample.memory_mib,
            sample.phase,
            frozenset(sample.guest_resident_bytes),
        )
        held = sum(sample.guest_resident_bytes.values()) + sample.arena_resident_bytes
        most[key] = max(most[key], held)
    return most


def _host_bytes(run: Run, most: dict[_SampleKey, int]) -> int:
    names = frozenset(guest.name for guest in run.guest)
    key = (run.arm, run.profile, run.round, run.memory_mib, run.phase, names)
    at_end = sum(guest.resident_bytes for guest in run.guest) + run.arena_resident_bytes
    return max(at_end, most.get(key, 0))


def _point(memory_mib: int, held: Sequence[_Held]) -> Point:
    runs = [each.run for each in held]

    def of(figure: Callable[[Run], float]) -> Spread:
        return Spread.of(figure(run) for run in runs)

    def summed(figure: Callable[[GuestRun], float]) -> Spread:
        return of(lambda run: sum(figure(guest) for guest in run.guest))

    def each(figure: Callable[[GuestRun], float]) -> list[Spread]:
        fewest = min(len(run.guest) for run in runs)
        return [Spread.of(figure(run.guest[n]) for run in runs) for n in range(fewest)]

    served = [run.shared_served_ratio for run in runs if run.shared_served_ratio is not None]
    clients = sorted({client for run in runs for client in run.blocked_by})
    return Point(
        memory_mib=memory_mib,
        seconds=of(lambda run: run.seconds),
        read_bytes=summed(read_bytes),
        written_bytes=summed(written_bytes),
        host_bytes=Spread.of(each.host_bytes for each in held),
        guest_bytes=summed(lambda guest: guest.resident_bytes),
        arena_bytes=of(lambda run: run.arena_resident_bytes),
        available_bytes=of(lambda run: run.mem_available_bytes),
        qemu_cpu_seconds=summed(lambda guest: guest.cpu_seconds),
        service_cpu_seconds=of(lambda run: run.service_cpu_seconds),
        gets=summed(lambda guest: guest.gets),
        puts=summed(lambda guest: guest.puts),
        hits_own=summed(lambda guest: guest.hits_own),
        hits_other=summed(lambda guest: guest.hits_other),
        round_trips=summed(lambda guest: guest.round_trips),
        served_share=Spread.of(served) if served else None,
        blocked_seconds={
            client: Spread.of(run.blocked_by.get(client, 0.0) for run in runs) for client in clients
        },
        guest_read_bytes=each(read_bytes),
        guest_seconds=each(lambda guest: guest.seconds),
    )
