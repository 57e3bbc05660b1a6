# SPDX-License-Identifier: GPL-2.0-or-later
"""Sizes as people write them."""

_UNITS = {"": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}


def parse_size(text: str) -> int:
    """Bytes of "4096", "64KiB" or "1GiB"; ValueError with a sentence for anything else."""
    number = text.rstrip("KMGTiB")
    factor = _UNITS.get(text[len(number) :])
    if factor is None or not (number.isascii() and number.isdecimal()):
        raise ValueError(f"{text!r} is not a size such as 64MiB")
    return int(number) * factor


def exact_size(bytes_: int) -> str:
    """The shortest text that parse_size() reads back as `bytes_`."""
    for unit, factor in reversed(_UNITS.items()):
        if bytes_ and bytes_ % factor == 0:
            return f"{bytes_ // factor}{unit}"
    return str(bytes_)
