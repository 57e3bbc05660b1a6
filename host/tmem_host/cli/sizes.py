# SPDX-License-Identifier: GPL-2.0-or-later
"""Arguments that are sizes."""

import argparse

from tmem_host.units import parse_size


def size_argument(text: str) -> int:
    """Bytes of "64MiB", for argparse."""
    try:
        return parse_size(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
