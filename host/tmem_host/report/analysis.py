# SPDX-License-Identifier: GPL-2.0-or-later
"""Everything that a report says about a result, as figures."""

from collections.abc import Sequence
from dataclasses import dataclass

from tmem_host.experiment.records import End, Header
from tmem_host.report.merge import Merged
from tmem_host.report.points import BASE, CONTROL, WHOLE, Curves, Point, Setting, curves
from tmem_host.report.saving import (
    NEGLIGIBLE_READ_BYTES,
    Comparison,
    ControlCheck,
    Saving,
    check_control,
    compare,
    measures,
)


@dataclass(frozen=True)
class Compared:
    """An arm against the base arm in one setting, with disk reads or run time held equal. Only the
    main phase, and all together, are compared so."""

    setting: Setting
    arm: str
    measure: str
    comparison: Comparison


@dataclass(frozen=True)
class Beside:
    """An arm at one guest RAM, beside the base arm with the same. None: there is no such point of
    the base arm, or it had nothing to avoid."""

    setting: Setting
    arm: str
    point: Point
    times_faster: float | None  # the base arm's run time in units of the arm's
    reads_avoided: float | None  # share of the base arm's reads
    guest_reads_avoided: list[float | None]
    available_gained_bytes: float | None  # the host's MemAvailable, against the base arm's


@dataclass(frozen=True)
class Control:
    """What the control arm says about how far to trust the figures of a setting."""

    setting: Setting
    measure: str
    check: ControlCheck


@dataclass(frozen=True)
class Headline:
    """The figure that answers the experiment's question in one setting: the arm that saves most,
    where it saves most, at equal disk reads (at equal run time if reads were nowhere equal).
    Without a saving `reason` says why, and `arm` is still the one to look at; None if there is
    only a base arm."""

    setting: Setting
    arm: str | None
    measure: str
    saving: Saving | None
    reason: str | None

    def size_mib(self, sizes: Sequence[int]) -> int:
        """At which of the measured sizes of guest RAM, rising, to show arms beside each other: that
        of the saving, the smallest if there is none."""
        if self.saving is None:
            return sizes[0]
        return _from(self.saving.arm.memory_mib, sizes)

    def needed_mib(self, sizes: Sequence[int]) -> int:
        """The size with which the base arm does the same work, or the next larger one."""
        return sizes[0] if self.saving is None else _from(self.saving.base.memory_mib, sizes)


def _from(memory_mib: float, sizes: Sequence[int]) -> int:
    return next(size for size in sizes if size >= memory_mib)


@dataclass(frozen=True)
class Analysis:
    """The whole. `curves`, and all lists, are in the order in which things were measured."""

    headers: list[Header]  # of each result that was merged
    differences: list[str]  # among those, of what should be alike
    end: End
    rounds: int  # the most behind one point
    curves: Curves
    compared: list[Compared]
    beside: list[Beside]
    controls: list[Control]
    headlines: list[Headline]  # one for each setting of the main phase; the first is the main one

    def sizes_of(self, setting: Setting) -> list[int]:
        """The sizes of guest RAM, rising, that were measured in a setting with any arm."""
        return sizes(self.curves[setting])

    def beside_of(self, setting: Setting, arm: str, memory_mib: float) -> Beside | None:
        """The arm at one guest RAM, if that was measured."""
        for beside in self.beside:
            if (beside.setting, beside.arm) == (setting, arm) and (
                beside.point.memory_mib == memory_mib
            ):
                return beside
        return None

    def comparison_of(self, setting: Setting, arm: str, measure: str) -> Comparison | None:
        """The arm against the base arm, if it is not the base arm and was measured."""
        for compared in self.compared:
            if (compared.setting, compared.arm, compared.measure) == (setting, arm, measure):
                return compared.comparison
        return None


def analyse(result: Merged) -> Analysis:
    """Computes all of it; a result without any run has empty lists."""
    points = curves(result.runs, result.samples)
    main = _main_phase(points)
    compared = [
        Compared(setting, arm, measure.name, compare(arms.get(BASE, []), curve, measure, swept))
        for setting, arms in points.items()
        if setting.phase in (main, WHOLE)
        for swept in [sizes(arms)]
        for arm, curve in arms.items()
        if arm != BASE
        for measure in measures(setting.guests)
    ]
    return Analysis(
        headers=result.headers,
        differences=result.differences,
        end=result.end,
        rounds=max(
            (
                point.seconds.rounds
                for arms in points.values()
                for curve in arms.values()
                for point in curve
            ),
            default=0,
        ),
        curves=points,
        compared=compared,
        beside=[
            _beside(setting, arm, point, arms.get(BASE, []))
            for setting, arms in points.items()
            for arm, curve in arms.items()
            for point in curve
        ],
        controls=[
            Control(each.setting, each.measure, check_control(each.comparison, measure))
            for each in compared
            for measure in measures(each.setting.guests)
            if (each.arm, each.measure) == (CONTROL, measure.name)
        ],
        headlines=_headlines(points, compared, main),
    )


def sizes(arms: dict[str, list[Point]]) -> list[int]:
    """The sizes of guest RAM, rising, that were measured with any arm."""
    return sorted({point.memory_mib for curve in arms.values() for point in curve})


def _beside(setting: Setting, arm: str, point: Point, base: list[Point]) -> Beside:
    other = next((each for each in base if each.memory_mib == point.memory_mib), None)
    if other is None:
        return Beside(setting, arm, point, None, None, [None] * setting.guests, None)
    negligible = NEGLIGIBLE_READ_BYTES
    return Beside(
        setting=setting,
        arm=arm,
        point=point,
        times_faster=(
            other.seconds.median / point.seconds.median if point.seconds.median > 0 else None
        ),
        reads_avoided=_avoided(
            other.read_bytes.median, point.read_bytes.median, negligible * setting.guests
        ),
        guest_reads_avoided=[
            _avoided(theirs.median, ours.median, negligible)
            for theirs, ours in zip(other.guest_read_bytes, point.guest_read_bytes, strict=False)
        ],
        available_gained_bytes=point.available_bytes.median - other.available_bytes.median,
    )


def _avoided(base: float, arm: float, negligible: float) -> float | None:
    return None if base <= negligible else 1 - arm / base


def _main_phase(points: Curves) -> str | None:
    """The phase that the experiment is about: reading again, where there is that, else all."""
    phases = list(dict.fromkeys(setting.phase for setting in points))
    for phase in ("reread", WHOLE):
        if phase in phases:
            return phase
    return phases[-1] if phases else None


def _headlines(points: Curves, compared: list[Compared], main: str | None) -> list[Headline]:
    settings = sorted(
        (setting for setting in points if setting.phase == main),
        key=lambda setting: -setting.guests,
    )
    return [
        _headline(setting, [each for each in compared if each.setting == setting])
        for setting in settings
    ]


def _headline(setting: Setting, compared: list[Compared]) -> Headline:
    compared = [each for each in compared if each.arm != CONTROL]
    for measure in measures(setting.guests):
        savings = {
            each.arm: each.comparison.most
            for each in compared
            if each.measure == measure.name and each.comparison.most
        }
        if savings:
            arm = max(savings, key=lambda arm: savings[arm].saved_bytes.median)
            return Headline(setting, arm, measure.name, savings[arm], None)
    measure_name = measures(setting.guests)[0].name
    if not compared:
        reason = f'only the arm "{BASE}" was measured here: there is nothing to compare it with'
        return Headline(setting, None, measure_name, None, reason)
    first = next((each for each in compared if each.arm == "shared"), compared[0])
    return Headline(setting, first.arm, measure_name, None, first.comparison.reason)
