# SPDX-License-Identifier: GPL-2.0-or-later
"""Disk reads by arm, with the same guest RAM."""

from collections.abc import Sequence

from matplotlib.axes import Axes

from tmem_host.cli.output import count
from tmem_host.experiment.records import Sample
from tmem_host.report.analysis import Analysis, Headline
from tmem_host.report.plots.common import (
    GUEST_COLOUR,
    MIB,
    Drawn,
    arms,
    few_ticks,
    label,
    new_figure,
    shades,
)
from tmem_host.report.points import WHOLE, Point, Setting
from tmem_host.report.saving import NEGLIGIBLE_READ_BYTES
from tmem_host.report.words import mebibytes

_PANELS = 4


def draw(analysis: Analysis, _: Sequence[Sample]) -> Drawn | None:
    """A panel for each phase in which something was read; None if that was nowhere."""
    main = analysis.headlines[0]
    size = main.size_mib(analysis.sizes_of(main.setting))
    shown = _settings(analysis, main)
    if not shown:
        return None
    rows = arms(analysis)[::-1]
    figure = new_figure(0.9 + 0.42 * len(rows))
    panels = figure.subplots(1, len(shown), sharey=True, sharex=True, squeeze=False)[0]
    told = []
    for axes, setting in zip(panels, shown, strict=True):
        for row, arm in enumerate(rows):
            beside = analysis.beside_of(setting, arm, size)
            if beside is None:
                label(axes, "not measured", 0, row)
                continue
            _bar(axes, row, beside.point)
            told.append(f"{setting.phase}, {arm}: {mebibytes(beside.point.read_bytes.median)}")
        axes.set_title(setting.phase, loc="left")
        axes.set_xlabel("read from disk, MiB")
        axes.grid(axis="y", visible=False)
        axes.margins(x=0.35 if len(shown) > 2 else 0.2)
        few_ticks(axes)
    panels[0].set_yticks(range(len(rows)), rows)
    return Drawn(
        figure,
        f"Disk reads by arm, with {size} MiB of RAM each",
        f"What {count(main.setting.guests, 'guest')} read from disk in each phase, the first guest"
        " in the strongest colour; medians over the rounds, disk profile"
        f" {main.setting.profile}. Names, below, says what happens in each phase.",
        "Read from disk: " + "; ".join(told) + ".",
    )


def _settings(analysis: Analysis, main: Headline) -> list[Setting]:
    """The single phases where one of them is the main one, else all together as well."""
    alone = main.setting.phase != WHOLE
    found = [
        setting
        for setting, curves in analysis.curves.items()
        if (setting.profile, setting.guests) == (main.setting.profile, main.setting.guests)
        and not (alone and setting.phase == WHOLE)
        and any(_reads(point) for curve in curves.values() for point in curve)
    ]
    return found[-_PANELS:]


def _reads(point: Point) -> bool:
    return point.read_bytes.median > NEGLIGIBLE_READ_BYTES * max(1, len(point.guest_read_bytes))


def _bar(axes: Axes, row: int, point: Point) -> None:
    left = 0.0
    guests = point.guest_read_bytes
    for read, shade in zip(guests, shades(len(guests)), strict=True):
        width = read.median / MIB
        axes.barh(row, width, left=left, height=0.62, color=GUEST_COLOUR, alpha=shade)
        left += width
    label(axes, mebibytes(point.read_bytes.median), left, row)
