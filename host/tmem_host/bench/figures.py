# SPDX-License-Identifier: GPL-2.0-or-later
"""From samples to figures: medians, their spread, and a verdict."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from statistics import median, quantiles

from tmem_host.bench.driver import Measured, Sample


class Better(Enum):
    """Which side of its target a figure should be on."""

    LOWER = "lower"
    HIGHER = "higher"


@dataclass(frozen=True)
class Spread:
    """How far apart the rounds were."""

    median: float
    min: float
    lower_quartile: float
    upper_quartile: float
    max: float

    @classmethod
    def of(cls, numbers: Sequence[float]) -> "Spread":
        """Of at least one number."""
        if len(numbers) == 1:
            return cls(*[numbers[0]] * 5)
        lower, middle, upper = quantiles(numbers, n=4, method="inclusive")
        return cls(middle, min(numbers), lower, upper, max(numbers))


@dataclass(frozen=True)
class Wall:
    """The same by the clock on the wall, whoever had the processor meanwhile."""

    value: float
    ours: float
    baseline: float
    waited_share: float
    """of the wall time, in which the benchmark was ready and others had the processor"""


@dataclass(frozen=True)
class Figure:
    """One field of the result: `value` is the median of `ours` over that of `baseline`."""

    value: float
    unit: str
    """of `ours` and `baseline`"""
    ours: Spread
    baseline: Spread
    spread: Spread
    """of the value, round by round"""
    rounds: int
    wall: Wall | None
    """None for what is counted, not timed"""
    details: dict[str, float]


@dataclass(frozen=True)
class Field:
    """One line of the result."""

    name: str
    group: str
    """of the driver; fields of one group come from one run"""
    target: float
    better: Better
    figure: Callable[[Measured], Figure]

    def met(self, value: float) -> bool:
        """Whether `value` is on the right side of the target."""
        return value <= self.target if self.better is Better.LOWER else value >= self.target


def contest(ours: Sequence[Sample], baseline: Sequence[Sample]) -> Figure:
    """Times of the same rounds, ours over the baseline's."""
    wall_ours = median(sample.wall_ns for sample in ours)
    wall_baseline = median(sample.wall_ns for sample in baseline)
    return Figure(
        value=median(sample.own_ns for sample in ours)
        / median(sample.own_ns for sample in baseline),
        unit="ns_per_page",
        ours=Spread.of([sample.own_ns for sample in ours]),
        baseline=Spread.of([sample.own_ns for sample in baseline]),
        spread=Spread.of(
            [mine.own_ns / its.own_ns for mine, its in zip(ours, baseline, strict=True)]
        ),
        rounds=len(ours),
        wall=Wall(
            wall_ours / wall_baseline,
            wall_ours,
            wall_baseline,
            waited_share([*ours, *baseline]),
        ),
        details={},
    )


def counted(ours: float, baseline: float, unit: str, details: dict[str, float]) -> Figure:
    """What is the same in every round."""
    value = ours / baseline
    return Figure(
        value=value,
        unit=unit,
        ours=Spread.of([ours]),
        baseline=Spread.of([baseline]),
        spread=Spread.of([value]),
        rounds=1,
        wall=None,
        details=details,
    )


def waited_share(samples: Sequence[Sample]) -> float:
    """How much of their wall time the samples were kept waiting, 0 to 1."""
    wall_ns = sum(sample.wall_ns for sample in samples)
    return 1 - sum(sample.own_ns for sample in samples) / wall_ns
