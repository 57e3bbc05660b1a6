# SPDX-License-Identifier: GPL-2.0-or-later
"""How commands print what they found."""

from collections.abc import Iterable

_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB")


def size(bytes_: int) -> str:
    """A size for people: `4096` is "4 KiB", `1500` is "1.5 KiB"; exact only below 1 KiB."""
    value = float(bytes_)
    for unit in _UNITS:
        # 1023.96 would be printed as 1024.0
        if round(value, 1) < 1024 or unit == _UNITS[-1]:
            break
        value /= 1024
    if bytes_ == 1:
        unit = "byte"
    return f"{value:.1f}".removesuffix(".0") + f" {unit}"


def count(number: int, noun: str) -> str:
    """A number with its noun: "1 page", "2 pages"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def table(rows: Iterable[tuple[str, str]]) -> str:
    """Lines of a name and a value, the values below each other."""
    listed = list(rows)
    width = max(len(name) for name, _ in listed)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in listed)


def columns(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """A table with a head; each column as wide as its widest cell."""
    listed = [heads, *rows]
    widths = [max(len(row[column]) for row in listed) for column in range(len(heads))]
    return "\n".join(
        "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in listed
    )
