# SPDX-License-Identifier: GPL-2.0-or-later
"""How a report writes figures."""

import math
from collections.abc import Sequence

from tmem_host.report.points import Spread

_MIB = 1 << 20
_LISTED = 3
UNKNOWN = "-"

MEASURES = {"read_bytes": "disk reads", "seconds": "run time"}


def mebibytes(bytes_: float) -> str:
    """All sizes are in MiB, so that they can be compared at a glance."""
    value = bytes_ / _MIB
    if 0 < value < 0.05:
        return "<0.1 MiB"
    text = f"{value:,.{0 if abs(value) >= 9.95 else 1}f}".removesuffix(".0")
    return f"{'0' if text == '-0' else text} MiB"


def seconds(value: float) -> str:
    """Seconds, with as many digits as mean something."""
    return (
        f"{value:.0f} s" if value >= 100 else f"{value:.1f} s" if value >= 1 else f"{value:.2f} s"
    )


def percent(share: float | None) -> str:
    """Whole percents; tenths below ten, and where nearly all would be rounded to all. "-" if there
    is none."""
    if share is None:
        return UNKNOWN
    value = 100 * share
    if 99.5 <= abs(value) < 100:
        value = math.copysign(math.floor(10 * abs(value)) / 10, value)
        text = f"{value:.1f}"
    else:
        text = f"{value:.0f}" if abs(value) >= 9.95 else f"{value:.1f}"
    return ("0" if float(text) == 0 else text.removesuffix(".0")) + " %"


def percents(shares: Sequence[float | None]) -> str:
    """One for each guest; the least and the most of many."""
    if len(shares) <= _LISTED or None in shares:
        texts = [percent(share) for share in shares]
        return texts[0] if len(set(texts)) == 1 and len(texts) > _LISTED else ", ".join(texts)
    known = [share for share in shares if share is not None]
    return " to ".join(dict.fromkeys((percent(min(known)), percent(max(known)))))


def times(factor: float | None) -> str:
    """A factor, such as "5.2x"."""
    if factor is None:
        return UNKNOWN
    digits = 0 if factor >= 99.5 else 1 if factor >= 9.95 else 2
    return f"{factor:.{digits}f}x"


def work(measure: str, value: float) -> str:
    """An amount of what is held equal."""
    return mebibytes(value) if measure == "read_bytes" else seconds(value)


def spread(figure: Spread) -> str:
    """What a size was over the rounds, or that there was one only."""
    if figure.rounds == 1:
        return "one round"
    low, high = mebibytes(figure.low), mebibytes(figure.high)
    return high if low == high else f"{low.removesuffix(' MiB')} to {high}"


def whole(value: float) -> str:
    """A large number, in groups of three digits."""
    return f"{value:,.0f}"
