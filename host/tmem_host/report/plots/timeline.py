# SPDX-License-Identifier: GPL-2.0-or-later
"""Samples in stretches: one for each time that an arm ran, from its first phase to its last."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from tmem_host.experiment.records import Sample


@dataclass
class Stretch:
    """`seconds` are since its first sample. `phases` are their names, and when each began."""

    arm: str
    profile: str
    round: int
    memory_mib: int
    seconds: list[float] = field(default_factory=list)
    phases: list[tuple[str, float]] = field(default_factory=list)
    guests: dict[str, list[int]] = field(default_factory=dict)  # resident bytes
    arena_bytes: list[int] = field(default_factory=list)


def stretches(samples: Iterable[Sample]) -> list[Stretch]:
    """In the order of the samples. A guest that a sample does not know held nothing yet."""
    found: list[Stretch] = []
    began = 0.0
    for sample in samples:
        now = found[-1] if found else None
        if now is None or not _goes_on(now, sample, began):
            began = sample.t_seconds
            now = Stretch(sample.arm, sample.profile, sample.round, sample.memory_mib)
            found.append(now)
        _append(now, sample, sample.t_seconds - began)
    return found


def _goes_on(stretch: Stretch, sample: Sample, began: float) -> bool:
    same = (stretch.arm, stretch.profile, stretch.round, stretch.memory_mib) == (
        sample.arm,
        sample.profile,
        sample.round,
        sample.memory_mib,
    )
    seen = [phase for phase, _ in stretch.phases]
    # a phase that is over does not come back: the same arm has begun again, with other guests
    again = sample.phase in seen[:-1]
    return same and not again and sample.t_seconds - began >= stretch.seconds[-1]


def _append(stretch: Stretch, sample: Sample, seconds: float) -> None:
    before = len(stretch.seconds)
    if not stretch.phases or stretch.phases[-1][0] != sample.phase:
        stretch.phases.append((sample.phase, seconds))
    stretch.seconds.append(seconds)
    stretch.arena_bytes.append(sample.arena_resident_bytes)
    for name in sample.guest_resident_bytes:
        stretch.guests.setdefault(name, [0] * before)
    for name, held in stretch.guests.items():
        held.append(sample.guest_resident_bytes.get(name, 0))
