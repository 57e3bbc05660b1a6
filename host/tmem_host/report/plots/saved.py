# SPDX-License-Identifier: GPL-2.0-or-later
"""Host memory saved, against the number of guests where there are several."""

from collections.abc import Sequence

from matplotlib.axes import Axes

from tmem_host.cli.output import count
from tmem_host.experiment.records import Sample
from tmem_host.report.analysis import Analysis
from tmem_host.report.plots.common import MIB, Drawn, label, look, new_figure
from tmem_host.report.plots.svg import INK
from tmem_host.report.points import BASE
from tmem_host.report.saving import Comparison
from tmem_host.report.words import MEASURES, mebibytes

_ByArm = dict[str, list[tuple[int, Comparison]]]  # by rising number of guests


def draw(analysis: Analysis, _: Sequence[Sample]) -> Drawn | None:
    """None if there is nothing but a base arm."""
    main = analysis.headlines[0]
    by_arm = _by_arm(analysis)
    if not by_arm:
        return None
    numbers = sorted({guests for found in by_arm.values() for guests, _ in found})
    several = len(numbers) > 1
    figure = new_figure(3.2 if several else 1.1 + 0.42 * len(by_arm))
    axes = figure.subplots()
    if several:
        _lines(axes, analysis, by_arm, numbers)
        title = "Host memory saved, by number of guests"
        more = ""
    else:
        _bars(axes, analysis, {arm: found[0][1] for arm, found in by_arm.items()})
        title = f"Host memory saved, {count(numbers[0], 'guest')}"
        more = (
            " Only one number of guests was measured: reported together with results of other"
            " numbers, this shows how savings grow."
        )
    told = [
        f"{arm} with {count(guests, 'guest')}: {_told(comparison)}"
        for arm, found in by_arm.items()
        for guests, comparison in found
    ]
    return Drawn(
        figure,
        title,
        f'Against the arm "{BASE}" at equal {MEASURES[main.measure]}, there where each arm saves'
        f" most (disk profile {main.setting.profile}). Thin lines are the range over the rounds."
        f" Below 0 an arm needs more.{more}",
        "Saved: " + "; ".join(told) + ".",
    )


def _by_arm(analysis: Analysis) -> _ByArm:
    main = analysis.headlines[0]
    by_arm: _ByArm = {}
    for each in analysis.compared:
        setting = each.setting
        if (setting.profile, setting.phase, each.measure) == (
            main.setting.profile,
            main.setting.phase,
            main.measure,
        ):
            by_arm.setdefault(each.arm, []).append((setting.guests, each.comparison))
    return {arm: sorted(found, key=lambda each: each[0]) for arm, found in by_arm.items()}


def _lines(axes: Axes, analysis: Analysis, by_arm: _ByArm, numbers: list[int]) -> None:
    for arm, found in by_arm.items():
        known = [(guests, each.most.saved_bytes) for guests, each in found if each.most is not None]
        axes.errorbar(
            [guests for guests, _ in known],
            [saved.median / MIB for _, saved in known],
            yerr=[
                [(saved.median - saved.low) / MIB for _, saved in known],
                [(saved.high - saved.median) / MIB for _, saved in known],
            ],
            label=arm if known else f"{arm} (not comparable)",
            capsize=3,
            **look(analysis, arm),
        )
    axes.axhline(0, color=INK, linewidth=0.8)
    axes.set_xticks(numbers)
    axes.set_xlabel("guests")
    axes.set_ylabel("host memory saved, MiB")
    axes.legend()


def _bars(axes: Axes, analysis: Analysis, by_arm: dict[str, Comparison]) -> None:
    arms = list(by_arm)[::-1]
    for row, arm in enumerate(arms):
        most = by_arm[arm].most
        if most is None:
            label(axes, "not comparable", 0, row)
            continue
        saved = most.saved_bytes
        axes.barh(
            row,
            saved.median / MIB,
            xerr=[[(saved.median - saved.low) / MIB], [(saved.high - saved.median) / MIB]],
            capsize=3,
            height=0.62,
            color=look(analysis, arm)["color"],
            ecolor=INK,
        )
        label(axes, mebibytes(saved.median), max(saved.high, 0) / MIB, row)
    axes.axvline(0, color=INK, linewidth=0.8)
    axes.set_yticks(range(len(arms)), arms)
    axes.grid(axis="y", visible=False)
    axes.margins(x=0.2)
    if all(each.most is None for each in by_arm.values()):
        axes.set_xlim(0, 1)
        axes.set_xticks([])
    axes.set_xlabel("host memory saved, MiB")


def _told(comparison: Comparison) -> str:
    if comparison.most is None:
        return "not comparable"
    return mebibytes(comparison.most.saved_bytes.median)
