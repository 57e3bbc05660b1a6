# SPDX-License-Identifier: GPL-2.0-or-later
"""The plots of a report: each is drawn from an analysis and says in words what it shows."""

from collections.abc import Sequence
from dataclasses import dataclass

from tmem_host.experiment.records import Sample
from tmem_host.report.analysis import Analysis
from tmem_host.report.plots import memory, reads, saved, sweep
from tmem_host.report.plots.svg import as_svg, drawing

# In the order in which a page has them.
_DRAW = {"saved": saved.draw, "reads": reads.draw, "memory": memory.draw, "sweep": sweep.draw}
NAMES = tuple(_DRAW)


@dataclass(frozen=True)
class Plot:
    """`caption` says how to read it, `alt` what it shows; `svg` is for in_page() or as_file()."""

    name: str
    title: str
    caption: str
    alt: str
    svg: str


def plots(analysis: Analysis, samples: Sequence[Sample]) -> list[Plot]:
    """All for which the result has something to show."""
    found = (plot(name, analysis, samples) for name in NAMES)
    return [each for each in found if each is not None]


def plot(name: str, analysis: Analysis, samples: Sequence[Sample]) -> Plot | None:
    """One of NAMES; None if the result has nothing to show in it."""
    if not analysis.headlines:
        return None
    with drawing(name):
        drawn = _DRAW[name](analysis, samples)
        if drawn is None:
            return None
        return Plot(name, drawn.title, drawn.caption, drawn.alt, as_svg(drawn.figure))


__all__ = ["NAMES", "Plot", "plot", "plots"]
