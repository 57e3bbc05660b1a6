# SPDX-License-Identifier: GPL-2.0-or-later
"""What all plots share."""

from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from tmem_host.report.analysis import Analysis

MIB = 1 << 20
_WIDTH_INCHES = 8.6

# Told apart with all kinds of colour vision, and readable on white and on black.
GUEST_COLOUR = "#3b8ee0"
ARENA_COLOUR = "#e07b28"
_ARM_COLOURS = (
    *("#7d8590", "#3b8ee0", "#e07b28", "#2fa37c"),
    *("#a872d6", "#d6526a", "#b39a2e", "#4bb3c4"),
)
_ARM_MARKERS = "oDs^vPX*"


@dataclass(frozen=True)
class Drawn:
    """A figure, and its words as those of Plot."""

    figure: Figure
    title: str
    caption: str
    alt: str


def new_figure(height_inches: float) -> Figure:
    """A figure as wide as all of them."""
    return Figure(figsize=(_WIDTH_INCHES, height_inches), layout="constrained")


def arms(analysis: Analysis) -> list[str]:
    """All arms, in the order in which they were run first."""
    return list(dict.fromkeys(arm for arms in analysis.curves.values() for arm in arms))


def look(analysis: Analysis, arm: str) -> dict[str, Any]:
    """Colour and marker of an arm, alike in all plots."""
    number = arms(analysis).index(arm)
    return {
        "color": _ARM_COLOURS[number % len(_ARM_COLOURS)],
        "marker": _ARM_MARKERS[number % len(_ARM_MARKERS)],
    }


def shades(count: int) -> list[float]:
    """How opaque the first, second, ... guest is in the one colour that all guests have."""
    return [0.9 - 0.6 * number / max(1, count - 1) for number in range(count)]


def few_ticks(axes: Axes) -> None:
    """No more numbers below a narrow panel than there is room for."""
    axes.xaxis.set_major_locator(MaxNLocator(4))


def label(axes: Axes, text: str, x: float, y: float) -> None:
    """A small text just right of a point."""
    axes.annotate(text, (x, y), (4, 0), textcoords="offset points", va="center", fontsize=8.5)
