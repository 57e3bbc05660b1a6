# SPDX-License-Identifier: GPL-2.0-or-later
"""tmem-guest bench: what tmem costs this guest."""

from __future__ import annotations

import argparse
import json
from typing import Final

from tmem_guest.cli.options import add_command, count, session

_DEPTH_MAX: Final = 256


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds `tmem-guest bench`."""
    bench = add_command(
        commands,
        "bench",
        "measure the channel and the host",
        "Measures round trips, rates of puts and gets, and how many round trips a sequential read"
        " costs for each page. Uses an ephemeral pool of its own.",
    )
    bench.add_argument(
        "--pages", type=count, default=2048, help="pages to work with (default %(default)s)"
    )
    bench.add_argument(
        "--depth", type=depth, default=64, help="operations at once (default %(default)s)"
    )
    bench.add_argument("--json", action="store_true", help="print one JSON object")
    bench.set_defaults(run=run)


def depth(text: str) -> int:
    """A number of operations at once."""
    if not text.isdecimal() or not 1 <= int(text) <= _DEPTH_MAX:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to {_DEPTH_MAX}")
    return int(text)


def run(options: argparse.Namespace) -> int:
    """Runs `tmem-guest bench`."""
    # the agent shall not wait for these
    from dataclasses import asdict  # noqa: PLC0415

    from tmem_guest import bench  # noqa: PLC0415

    with session(options) as entered:
        result = bench.run(entered, options.pages, options.depth)
    if options.json:
        print(json.dumps(asdict(result)))
        return 0
    print(
        f"round trip            {result.round_trip_us:.1f} us, with a page {result.get_us:.1f} us\n"
        f"puts, {result.depth} at once  {result.puts_per_s:.0f}/s,"
        f" {result.put_mib_per_s:.1f} MiB/s\n"
        f"gets, {result.depth} at once  {result.gets_per_s:.0f}/s,"
        f" {result.get_mib_per_s:.1f} MiB/s\n"
        f"sequential read       {result.sequential_gets_per_s:.0f} pages/s;"
        f" round trips for a page: {result.hit_trips_per_page:.3f} when the host has it,"
        f" {result.miss_trips_per_page:.3f} when not"
    )
    return 0
