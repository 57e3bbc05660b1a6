# SPDX-License-Identifier: GPL-2.0-or-later
"""In which order the points of an experiment are measured."""

from dataclasses import dataclass

from tmem_host.experiment.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Point:
    """One arm with one RAM size on one disk profile, once."""

    arm: str
    profile: str
    round: int
    memory_mib: int

    def __str__(self) -> str:
        return f"{self.arm}, {self.memory_mib} MiB, {self.profile}, round {self.round}"


def plan(settings: Settings) -> list[Point]:
    """All points. The arms of one RAM size come one after the other, so that what changes on the
    host in the meantime meets all of them alike, and each of them is the first one in turn."""
    points = []
    for round_ in range(1, settings.rounds + 1):
        for at_profile, profile in enumerate(settings.profiles):
            for at_memory, memory_mib in enumerate(settings.memory):
                first = (round_ - 1 + at_profile + at_memory) % len(settings.arms)
                points += [
                    Point(arm=arm, profile=profile, round=round_, memory_mib=memory_mib)
                    for arm in settings.arms[first:] + settings.arms[:first]
                ]
    return points


class TimeLeft:
    """How long the rest will take, by what the points before it have taken."""

    def __init__(self, points: list[Point]) -> None:
        self._left = list(points)
        self._took_s: dict[str, list[float]] = {}

    def done(self, point: Point, seconds: float) -> None:
        """A point has taken so long."""
        self._left.remove(point)
        self._took_s.setdefault(point.profile, []).append(seconds)

    def seconds(self) -> float | None:
        """None before the first point."""
        everything = [each for took in self._took_s.values() for each in took]
        if not everything:
            return None
        return sum(
            sum(took) / len(took)
            for point in self._left
            for took in [self._took_s.get(point.profile, everything)]
        )
