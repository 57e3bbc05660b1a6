# SPDX-License-Identifier: GPL-2.0-or-later
"""Sizes and durations as people write them: in the configuration and on command lines."""

import re

_SIZE_UNITS: dict[str, int] = {"": 1, "B": 1}
for _power, _letter in enumerate("KMGTP", start=1):
    _SIZE_UNITS[f"{_letter}iB"] = _SIZE_UNITS[_letter] = 1 << (10 * _power)
    _SIZE_UNITS[f"{_letter}B"] = int(1000**_power)
_DURATION_UNITS_MS = {"ms": 1, "s": 1000, "min": 60_000, "h": 3_600_000}


def parse_size(text: str) -> int:
    """The bytes of `4096`, `64KiB`, `64K`, `1.5GiB` or `10MB` (powers of 1000 only with a B alone).

    ValueError, with a sentence, for anything else and for what is no whole number of bytes.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*)", text.strip())
    if not match or match[2] not in _SIZE_UNITS:
        raise ValueError(f"{text!r} is not a size; write for instance 4096, 64KiB or 1.5GiB")
    whole, _, fraction = match[1].partition(".")
    scaled, tens = int(whole + fraction) * _SIZE_UNITS[match[2]], int("1" + "0" * len(fraction))
    if scaled % tens:
        raise ValueError(f"{text!r} is not a whole number of bytes")
    return scaled // tens


def exact_size(bytes_: int) -> str:
    """The shortest text that parse_size() reads back as `bytes_`."""
    for unit in ("TiB", "GiB", "MiB", "KiB"):
        if bytes_ and bytes_ % _SIZE_UNITS[unit] == 0:
            return f"{bytes_ // _SIZE_UNITS[unit]}{unit}"
    return str(bytes_)


def parse_duration_ms(text: str) -> int:
    """The milliseconds of `250ms`, `2s`, `10min` or `1h`. ValueError, with a sentence."""
    match = re.fullmatch(r"(\d+)\s*([a-z]+)", text.strip())
    if not match or match[2] not in _DURATION_UNITS_MS:
        raise ValueError(f"{text!r} is not a duration; write for instance 250ms, 2s or 10min")
    number: int = int(match[1])
    return number * _DURATION_UNITS_MS[match[2]]
