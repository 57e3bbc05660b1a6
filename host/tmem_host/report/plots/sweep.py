# SPDX-License-Identifier: GPL-2.0-or-later
"""The sweep over guest RAM: what is left to do, against host memory."""

from collections.abc import Sequence

from matplotlib.axes import Axes

from tmem_host.experiment.records import Sample
from tmem_host.report.analysis import Analysis
from tmem_host.report.plots.common import MIB, Drawn, look, new_figure
from tmem_host.report.plots.svg import INK
from tmem_host.report.points import BASE, Point
from tmem_host.report.saving import Saving
from tmem_host.report.words import mebibytes, seconds

_PANELS = (("read_bytes", MIB, "read from disk, MiB"), ("seconds", 1, "run time, seconds"))
# Labels of points that are closer than this share of a panel would lie on each other.
_CLOSE = 0.06


def draw(analysis: Analysis, _: Sequence[Sample]) -> Drawn | None:
    """Disk reads and run time of all arms."""
    main = analysis.headlines[0]
    curves = analysis.curves[main.setting]
    figure = new_figure(3.9)
    panels = figure.subplots(1, len(_PANELS))
    for axes, (measure, unit, title) in zip(panels, _PANELS, strict=True):
        for arm, curve in curves.items():
            axes.plot(*_xy(curve, measure, unit), label=arm, **look(analysis, arm))
        axes.margins(x=0.1)
        axes.set_ylim(0 - 0.04 * axes.get_ylim()[1], 1.06 * axes.get_ylim()[1])
        _label_sizes(
            axes, [curves[arm] for arm in (main.arm, BASE) if arm in curves], measure, unit
        )
        axes.set_xlabel("host memory, MiB")
        axes.set_ylabel(title)
        if main.saving is not None and measure == main.measure:
            _arrow(axes, main.saving, unit)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(6, len(labels)))
    return Drawn(
        figure,
        "The sweep over guest RAM",
        "Each point is an arm with one guest RAM (MiB for each guest, beside some of the points):"
        f" how much host memory that took, and what the phase {main.setting.phase} then read and"
        " how long it lasted. Further left is less memory, further down is better. The arrow is"
        f" the saving. Disk profile {main.setting.profile}.",
        " ".join(_told(arm, curve) for arm, curve in curves.items()),
    )


def _xy(curve: Sequence[Point], measure: str, unit: float) -> tuple[list[float], list[float]]:
    return (
        [point.host_bytes.median / MIB for point in curve],
        [getattr(point, measure).median / unit for point in curve],
    )


def _label_sizes(axes: Axes, curves: Sequence[Sequence[Point]], measure: str, unit: float) -> None:
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    labelled: list[tuple[float, float]] = []
    for curve in curves:
        for point, x, y in zip(curve, *_xy(curve, measure, unit), strict=True):
            at = (x - left) / (right - left), (y - low) / (high - low)
            if any(
                abs(at[0] - other[0]) < _CLOSE and abs(at[1] - other[1]) < _CLOSE
                for other in labelled
            ):
                continue
            labelled.append(at)
            text = str(point.memory_mib)
            axes.annotate(text, (x, y), (5, 5), textcoords="offset points", fontsize=8)


def _arrow(axes: Axes, saving: Saving, unit: float) -> None:
    y = saving.work / unit
    base, arm = (need.host_bytes.median / MIB for need in (saving.base, saving.arm))
    look_of_arrow = {"arrowstyle": "->", "color": INK, "linewidth": 1.4, "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", (arm, y), (base, y), arrowprops=look_of_arrow)
    axes.annotate(
        f"{mebibytes(saving.saved_bytes.median)} saved",
        ((base + arm) / 2, y),
        (0, 17),
        textcoords="offset points",
        ha="center",
        fontweight="bold",
    )


def _told(arm: str, curve: Sequence[Point]) -> str:
    points = "; ".join(
        f"with {point.memory_mib} MiB of RAM {mebibytes(point.host_bytes.median)} of host memory,"
        f" {mebibytes(point.read_bytes.median)} read, {seconds(point.seconds.median)}"
        for point in curve
    )
    return f"{arm}: {points}."
