# SPDX-License-Identifier: GPL-2.0-or-later
"""tmem-guest ping and stat: whether the host answers, and what it holds."""

from __future__ import annotations

import argparse
import json
import time

from tmem_guest.cli.options import add_command, count, session


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds `tmem-guest ping` and `tmem-guest stat`."""
    ping = add_command(
        commands, "ping", "see whether the host answers", "Asks the host, and times its answers."
    )
    ping.add_argument(
        "--count", type=count, default=10, help="round trips to be timed (default %(default)s)"
    )
    ping.add_argument("--json", action="store_true", help="print one JSON object")
    ping.set_defaults(run=run_ping)
    stat = add_command(
        commands,
        "stat",
        "see what the host holds for this guest",
        "Prints what the host holds for this guest, and its limits and counters.",
    )
    stat.add_argument("--json", action="store_true", help="print one JSON object")
    stat.set_defaults(run=run_stat)


def run_ping(options: argparse.Namespace) -> int:
    """Runs `tmem-guest ping`."""
    import statistics  # noqa: PLC0415 - the agent shall not wait for it

    times_us = []
    with session(options) as entered:
        for _ in range(options.count):
            started = time.perf_counter_ns()
            entered.shim.stat()
            times_us.append((time.perf_counter_ns() - started) / 1000)
        info = entered.shim.info()
        resumed = entered.resumed
    found = {
        "path": options.path,
        "session": info.session,
        "epoch": info.epoch,
        "resumed": resumed,
        "round_trips": options.count,
        "round_trip_min_us": round(min(times_us), 1),
        "round_trip_median_us": round(statistics.median(times_us), 1),
        "round_trip_max_us": round(max(times_us), 1),
    }
    if options.json:
        print(json.dumps(found))
    else:
        how = "resumed" if resumed else "begun"
        print(
            f"the host answers at {options.path}: session {info.session:#010x}, epoch"
            f" {info.epoch}, {how}; round trip {found['round_trip_median_us']} us (median of"
            f" {options.count}; {found['round_trip_min_us']} to {found['round_trip_max_us']} us)"
        )
    return 0


def run_stat(options: argparse.Namespace) -> int:
    """Runs `tmem-guest stat`."""
    with session(options) as entered:
        held = entered.shim.stat()
    if options.json:
        print(json.dumps(held))
    else:
        width = max(len(name) for name in held)
        for name, value in held.items():
            print(f"{name:<{width}}  {value}")
    return 0
