# SPDX-License-Identifier: GPL-2.0-or-later
"""Host memory saved at equal work.

An arm's *curve* is its points by rising guest RAM: how much host memory it holds, and how much
work (disk reads, or run time) is left at that size. The saving of an arm is the host memory that
the base arm needs for some work, less what the arm needs for the same work. Nothing is said about
sizes outside those that were measured; between two neighbouring sizes of the sweep the curve is
taken to be straight.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from tmem_host.report.points import BASE, Point, Spread

# Two amounts of work are equal if they differ by no more than this share of the larger one.
TOLERANCE = 0.05
# Reads below this, of each guest, are the file system's own (a cluster's heartbeat reads the disk
# every two seconds): amounts that differ by less are equal.
NEGLIGIBLE_READ_BYTES = 256 << 10


@dataclass(frozen=True)
class Measure:
    """What is held equal: `name` is that of a figure of Point."""

    name: str
    negligible: float

    def of(self, point: Point) -> float:
        """The work at a point: the median over the rounds."""
        spread: Spread = getattr(point, self.name)
        return spread.median

    def equal(self, one: float, other: float) -> bool:
        """Whether two amounts of work count as the same."""
        return abs(one - other) <= max(TOLERANCE * max(one, other), self.negligible)


def measures(guests: int) -> tuple[Measure, Measure]:
    """Disk reads and run time, for so many guests."""
    return (Measure("read_bytes", NEGLIGIBLE_READ_BYTES * guests), Measure("seconds", 0))


@dataclass(frozen=True)
class Need:
    """The least host memory with which an arm was seen, or between two points may be taken, to do
    some work."""

    host_bytes: Spread
    work: float
    memory_mib: float
    between_mib: tuple[int, int] | None  # interpolated between these sizes
    not_with_mib: int | None  # the next smaller size that was measured, which needs more work


@dataclass(frozen=True)
class Saving:
    """What an arm saves at `work`; less than nothing if it needs more than the base arm."""

    work: float
    base: Need
    arm: Need
    saved_bytes: Spread

    @property
    def share(self) -> float:
        """Of what the base arm needs."""
        needed = self.base.host_bytes.median
        return self.saved_bytes.median / needed if needed else 0.0


@dataclass(frozen=True)
class NotComparable:
    """A point of the arm whose work the base arm nowhere does; `closest` is the base arm's point
    that comes nearest."""

    memory_mib: int
    work: float
    closest_memory_mib: int
    closest_work: float


@dataclass(frozen=True)
class Comparison:
    """An arm against the base arm, by rising work."""

    savings: list[Saving]
    not_comparable: list[NotComparable]
    reason: str | None  # why there is no saving; None if there is one

    @property
    def most(self) -> Saving | None:
        """The saving where the arm saves most."""
        return max(self.savings, key=lambda saving: saving.saved_bytes.median, default=None)


def compare(
    base: Sequence[Point], arm: Sequence[Point], measure: Measure, sizes_mib: Iterable[int]
) -> Comparison:
    """Savings of `arm` at every work that was measured in one of the two arms and is reached in
    the other. `sizes_mib` are those of the whole sweep: what are neighbours."""
    sizes = sorted(set(sizes_mib))
    if not base or not arm:
        which = f'the arm "{BASE}" was not measured here' if not base else "it was not measured"
        return Comparison([], [], f"{which}, so there is nothing to compare")
    found = []
    missed = []
    for point in arm:
        work = measure.of(point)
        need = _need(base, work, measure, sizes)
        if need is not None:
            own = _own(arm, point, measure, sizes, need)
            found.append(_saving(work, need, own))
        else:
            missed.append(_missed(base, point.memory_mib, work, measure))
    for point in base:
        work = measure.of(point)
        need = _need(arm, work, measure, sizes)
        if need is not None:
            own = _own(base, point, measure, sizes, need)
            found.append(_saving(work, own, need))
    return Comparison(_least_of_each(found, measure), missed, _why_none(found, sizes))


def _need(curve: Sequence[Point], work: float, measure: Measure, sizes: list[int]) -> Need | None:
    needs = [
        _measured(curve, point, measure)
        for point in curve
        if measure.equal(measure.of(point), work)
    ]
    for lower, upper in pairwise(curve):
        ends = measure.of(lower), measure.of(upper)
        if any(measure.equal(end, work) for end in ends) or not min(ends) < work < max(ends):
            continue
        if sizes.index(upper.memory_mib) - sizes.index(lower.memory_mib) == 1:
            needs.append(_between(lower, upper, work, (work - ends[0]) / (ends[1] - ends[0])))
    return min(needs, key=lambda need: need.host_bytes.median, default=None)


def _own(
    curve: Sequence[Point], point: Point, measure: Measure, sizes: list[int], other: Need
) -> Need:
    """What the arm that `point` is of needs for its work; the two arms' works are equal."""
    least = _need(curve, measure.of(point), measure, sizes)
    if least is not None and measure.equal(least.work, other.work):
        return least
    return _measured(curve, point, measure)


def _missed(base: Sequence[Point], memory_mib: int, work: float, measure: Measure) -> NotComparable:
    closest = min(base, key=lambda point: abs(measure.of(point) - work))
    return NotComparable(memory_mib, work, closest.memory_mib, measure.of(closest))


def _measured(curve: Sequence[Point], point: Point, measure: Measure) -> Need:
    below = [other for other in curve if other.memory_mib < point.memory_mib]
    more_work = (
        below
        and measure.of(below[-1]) > measure.of(point)
        and not measure.equal(measure.of(below[-1]), measure.of(point))
    )
    return Need(
        point.host_bytes,
        measure.of(point),
        point.memory_mib,
        None,
        below[-1].memory_mib if more_work else None,
    )


def _between(lower: Point, upper: Point, work: float, part: float) -> Need:
    def mixed(low: float, high: float) -> float:
        return low + part * (high - low)

    one, other = lower.host_bytes, upper.host_bytes
    host_bytes = Spread(
        mixed(one.median, other.median),
        mixed(one.low, other.low),
        mixed(one.high, other.high),
        min(one.rounds, other.rounds),
    )
    memory_mib = mixed(lower.memory_mib, upper.memory_mib)
    return Need(host_bytes, work, memory_mib, (lower.memory_mib, upper.memory_mib), None)


def _saving(work: float, base: Need, arm: Need) -> Saving:
    theirs, ours = base.host_bytes, arm.host_bytes
    saved = Spread(
        theirs.median - ours.median,
        theirs.low - ours.high,
        theirs.high - ours.low,
        min(theirs.rounds, ours.rounds),
    )
    return Saving(work, base, arm, saved)


def _least_of_each(savings: list[Saving], measure: Measure) -> list[Saving]:
    """Of savings at equal work the one in which both arms need least: no arm is charged for memory
    that it had and did not need."""
    groups: list[list[Saving]] = []
    for saving in sorted(savings, key=lambda saving: saving.work):
        if groups and measure.equal(groups[-1][0].work, saving.work):
            groups[-1].append(saving)
        else:
            groups.append([saving])
    return [min(group, key=_needed_bytes) for group in groups]


def _needed_bytes(saving: Saving) -> float:
    return saving.base.host_bytes.median + saving.arm.host_bytes.median


def _why_none(found: list[Saving], sizes: list[int]) -> str | None:
    if found:
        return None
    if len(sizes) == 1:
        return (
            f"only one guest RAM, {sizes[0]} MiB, was measured, and with it the arms did not do"
            " the same work: a sweep over several sizes is needed"
        )
    return "at no size that was measured, nor between two, did both arms do the same work"


@dataclass(frozen=True)
class ControlCheck:
    """Whether the control arm, which shares nothing, saves about nothing at every work; None if
    nothing can be said. `saving` is the one that is farthest from nothing."""

    passed: bool | None
    saving: Saving | None


def check_control(comparison: Comparison, measure: Measure) -> ControlCheck:
    """About nothing is what the spread over the rounds covers, or 5 % of what the base arm needs.
    At equal run time it may well need more, since a page takes longer over the channel than from
    a guest's own RAM; at equal disk reads it may not."""
    if not comparison.savings:
        return ControlCheck(None, None)

    def wrong(saving: Saving) -> bool:
        saved = saving.saved_bytes
        if saved.low <= 0 <= saved.high or abs(saving.share) <= TOLERANCE:
            return False
        return saved.median > 0 or measure.name == "read_bytes"

    failed = [saving for saving in comparison.savings if wrong(saving)]
    worst = max(failed or comparison.savings, key=lambda saving: abs(saving.share))
    return ControlCheck(not failed, worst)
