# SPDX-License-Identifier: GPL-2.0-or-later
"""Host memory over time, stacked by guest and arena."""

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes

from tmem_host.experiment.records import Sample
from tmem_host.report.analysis import Analysis, Headline
from tmem_host.report.plots.common import (
    ARENA_COLOUR,
    GUEST_COLOUR,
    MIB,
    Drawn,
    few_ticks,
    new_figure,
    shades,
)
from tmem_host.report.plots.svg import INK
from tmem_host.report.plots.timeline import Stretch, stretches
from tmem_host.report.points import BASE, Setting
from tmem_host.report.words import mebibytes

# A phase shorter than this share of a panel has no room for its name.
_NAMED = 0.12


def draw(analysis: Analysis, samples: Sequence[Sample]) -> Drawn | None:
    """A panel for each arm that the main headline compares; None without samples of them."""
    headline = analysis.headlines[0]
    found = stretches(samples)
    chosen = [
        stretch
        for arm, memory_mib in _to_watch(analysis, headline)
        for stretch in [_first(found, headline.setting, arm, memory_mib)]
        if stretch is not None
    ]
    if not chosen:
        return None
    figure = new_figure(3.6)
    panels = figure.subplots(1, len(chosen), sharey=True, squeeze=False)[0]
    told = [
        _panel(axes, stretch, analysis, headline.setting)
        for axes, stretch in zip(panels, chosen, strict=True)
    ]
    most = max(_top(stretch) for stretch in chosen)
    panels[0].set_ylim(0, 1.15 * most)
    panels[0].set_ylabel("host memory, MiB")
    handles, labels = max((axes.get_legend_handles_labels() for axes in panels), key=_length)
    figure.legend(handles, labels, loc="outside lower center", ncols=min(5, len(labels)))
    return Drawn(
        figure,
        "Host memory over time",
        "What guests and arena held in the host's memory, one on top of the other, in the first"
        f" round that has it (disk profile {headline.setting.profile}). Each panel is the same"
        " workload, with the arm and the guest RAM above it. Dotted lines part the phases.",
        "; ".join(told) + ".",
    )


def _length(legend: tuple[list[Any], list[Any]]) -> int:
    return len(legend[1])


def _to_watch(analysis: Analysis, headline: Headline) -> list[tuple[str, int]]:
    """The arm with the RAM where it saves; the base arm with the same, and with what it needs."""
    sizes = analysis.sizes_of(headline.setting)
    if headline.saving is None or headline.arm is None:
        return [(arm, sizes[0]) for arm in analysis.curves[headline.setting]]
    size = headline.size_mib(sizes)
    watched = [(BASE, size), (BASE, headline.needed_mib(sizes)), (headline.arm, size)]
    return list(dict.fromkeys(watched))


def _first(found: list[Stretch], setting: Setting, arm: str, memory_mib: int) -> Stretch | None:
    for stretch in found:
        # one sample makes no area
        if stretch.seconds[-1] > 0 and (
            stretch.arm,
            stretch.memory_mib,
            stretch.profile,
            len(stretch.guests),
        ) == (
            arm,
            memory_mib,
            setting.profile,
            setting.guests,
        ):
            return stretch
    return None


def _panel(axes: Axes, stretch: Stretch, analysis: Analysis, setting: Setting) -> str:
    """Draws one; returns what it shows."""
    names = list(stretch.guests)
    layers = [[bytes_ / MIB for bytes_ in stretch.guests[name]] for name in names]
    colours = [GUEST_COLOUR] * len(names)
    stacked = axes.stackplot(stretch.seconds, *layers, labels=names, colors=colours)
    for area, shade in zip(stacked, shades(len(names)), strict=True):
        area.set_alpha(shade)
    below = [sum(parts) for parts in zip(*layers, strict=True)]
    arena = [bytes_ / MIB for bytes_ in stretch.arena_bytes]
    top = [low + high for low, high in zip(below, arena, strict=True)]
    if max(arena) > 0:
        axes.fill_between(
            stretch.seconds, below, top, color=ARENA_COLOUR, label="arena", hatch="///", alpha=0.85
        )
    axes.set_xlabel("seconds")
    axes.margins(x=0)
    axes.grid(axis="x", visible=False)
    few_ticks(axes)
    _part_phases(axes, stretch)
    beside = analysis.beside_of(setting, stretch.arm, stretch.memory_mib)
    read = "" if beside is None else mebibytes(beside.point.read_bytes.median)
    axes.set_title(
        f"{stretch.arm}, {len(names)} x {stretch.memory_mib} MiB of RAM\n"
        f"{max(top):.0f} MiB held, {setting.phase}: {read} read",
        loc="left",
        fontsize=9,
        fontweight="normal",
    )
    return (
        f"{stretch.arm}, {len(names)} guests with {stretch.memory_mib} MiB of RAM: {max(top):.0f}"
        f" MiB held at most, of these {max(arena):.0f} MiB in the arena; {read} read from disk in"
        f" the phase {setting.phase}"
    )


def _part_phases(axes: Axes, stretch: Stretch) -> None:
    begins = [began for _, began in stretch.phases]
    ends = [*begins[1:], stretch.seconds[-1]]
    for (phase, began), end in zip(stretch.phases, ends, strict=True):
        if began > 0:
            axes.axvline(began, color=INK, linewidth=0.8, linestyle=":")
        if end - began >= _NAMED * stretch.seconds[-1]:
            axes.annotate(
                phase,
                (began, 1),
                (3, -10),
                xycoords=("data", "axes fraction"),
                textcoords="offset points",
                fontsize=8,
            )


def _top(stretch: Stretch) -> float:
    held = zip(*stretch.guests.values(), stretch.arena_bytes, strict=True)
    most: int = max(sum(parts) for parts in held)
    return most / MIB
