# SPDX-License-Identifier: GPL-2.0-or-later
"""Arguments that are sizes or times."""

import argparse

from tmem_host.units import parse_size


def size_argument(text: str) -> int:
    """Bytes of "64MiB", for argparse."""
    try:
        return parse_size(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def seconds_argument(text: str) -> float:
    """Seconds, more than none, for argparse."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1
    if not 0 < seconds < 1e9:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds")
    return seconds
