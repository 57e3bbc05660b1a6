# SPDX-License-Identifier: GPL-2.0-or-later
"""Figures of matplotlib as SVG: in a page, where text has the page's colour, or as a file."""

import io
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib
from matplotlib.figure import Figure

# Text and lines are drawn in this colour, which nothing else has; a page puts its own in place.
INK = "#01020a"
_FILE_INK = "#1f2328"
_NAMESPACES = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'

_LOOK: dict[str, Any] = {
    "svg.fonttype": "none",
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.7,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": INK,
    "grid.alpha": 0.15,
    "grid.linewidth": 0.6,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "hatch.linewidth": 0.6,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
}


@contextmanager
def drawing(name: str) -> Iterator[None]:
    """Figures made and written in the body look as those of a report; `name` makes their ids."""
    # it says when it makes a cache of fonts
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    with matplotlib.rc_context(_LOOK | {"svg.hashsalt": name}):  # type: ignore[arg-type]
        yield


def as_svg(figure: Figure) -> str:
    """The figure as an SVG element; within drawing() only."""
    text = io.StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    figure.savefig(text, format="svg", metadata=nothing)
    whole = text.getvalue()
    return whole[whole.index("<svg") :].strip()


def in_page(svg: str, name: str, alt: str) -> str:
    """For a page: in its colour, as wide as there is room, with ids that no other figure has, and
    `alt`, escaped, for who cannot see it."""
    head, _, rest = svg.replace(INK, "currentColor").partition(">")
    (view,) = re.findall(r'viewBox="[^"]*"', head)
    rest = re.sub(r'\bid="', f'id="{name}-', rest)
    rest = re.sub(r'(url\(|href=")#', rf"\1#{name}-", rest)
    return f'<svg {_NAMESPACES} {view} role="img" aria-label="{alt}">{rest}'


def as_file(svg: str, alt: str) -> str:
    """For a file of its own, on white; `alt`, escaped, is its title."""
    head, _, rest = svg.replace(INK, _FILE_INK).partition(">")
    white = '<rect width="100%" height="100%" fill="#ffffff"/>'
    return f'<?xml version="1.0" encoding="utf-8"?>\n{head}>\n<title>{alt}</title>\n{white}{rest}\n'
