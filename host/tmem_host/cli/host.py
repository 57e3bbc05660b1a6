# SPDX-License-Identifier: GPL-2.0-or-later
"""tmem stats, freeable, events: what a running service holds and does."""

import argparse
import time
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from tmem_host.cli.output import table
from tmem_host.cli.service import add_client, add_command, client_of, print_json
from tmem_host.cli.sizes import seconds_argument
from tmem_host.control import Connection


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds all of them."""
    stats = add_command(
        commands, "stats", run_stats, help_="show the counters of a client, or of all", reads=True
    )
    add_client(stats, optional=True)
    stats.add_argument(
        "--watch",
        metavar="SECONDS",
        type=seconds_argument,
        nargs="?",
        const=1.0,
        help="again and again, what has changed since the last time (default: every second)",
    )
    stats.add_argument("-v", "--verbose", action="store_true", help="with what each one means")
    add_command(
        commands,
        "freeable",
        run_freeable,
        help_="print how many MiB the host could have back",
        description="Prints how much memory could be given back to the host at once, in whole MiB.",
        reads=True,
    )
    events = add_command(commands, "events", run_events, help_="show what happened", reads=True)
    events.add_argument("-n", "--count", type=int, default=20, help="at most so many (default: 20)")
    events.add_argument("-f", "--follow", action="store_true", help="go on showing them")


def run_stats(options: argparse.Namespace, connection: Connection) -> int:
    """Prints counters, once or again and again."""
    client = client_of(options) if options.client is not None else None
    found = connection.call("stats", client=client)
    _print_stats(options, found["counters"], found["meanings"])
    while options.watch is not None:
        time.sleep(options.watch)
        before = found["counters"]
        found = connection.call("stats", client=client)
        changed = {
            name: value - before[name]
            for name, value in found["counters"].items()
            if value != before[name]
        }
        print("---", flush=True)
        _print_stats(options, changed, found["meanings"])
    return 0


def _print_stats(
    options: argparse.Namespace, counters: dict[str, int], meanings: dict[str, str]
) -> None:
    if options.json:
        print_json(counters)
    elif counters:
        note = meanings if options.verbose else dict.fromkeys(meanings, "")
        print(
            table((name, f"{value:<12} {note[name]}".rstrip()) for name, value in counters.items())
        )


def run_freeable(options: argparse.Namespace, connection: Connection) -> int:
    """Prints one number, as xl tmem-freeable does."""
    freeable = connection.call("arena.usage")["freeable_bytes"]
    if options.json:
        print_json({"freeable_bytes": freeable})
    else:
        print(freeable >> 20)
    return 0


def run_events(options: argparse.Namespace, connection: Connection) -> int:
    """Prints the newest events, then perhaps those to come."""
    if options.follow:
        connection.call("events.subscribe")
    _print_events(options, connection.call("events.recent", count=options.count))
    if options.follow:
        _print_events(options, (told.arguments for told in connection.notifications()))
    return 0


def _print_events(options: argparse.Namespace, events: Iterable[dict[str, Any]]) -> None:
    newest = 0
    for event in events:
        if event["number"] <= newest:
            continue
        newest = event["number"]
        if options.json:
            print_json(event)
            continue
        when = datetime.fromtimestamp(event["time"]).astimezone().isoformat(timespec="seconds")
        print(f"{when} {event['kind']} {event['client'] or '-'}: {event['text']}", flush=True)
