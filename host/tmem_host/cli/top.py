# SPDX-License-Identifier: GPL-2.0-or-later
"""tmem top: the clients of a running service, live."""

import argparse
import json
import time
from collections.abc import Iterator
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from tmem_host.cli.describe import state_words
from tmem_host.cli.output import size
from tmem_host.cli.service import add_command
from tmem_host.cli.sizes import seconds_argument
from tmem_host.control import CallRefused, Connection

# Of lines that go to a file: a name of 127 bytes and all the rest.
_FILE_WIDTH = 240
_RATES = ("puts", "hits", "misses", "flushes")


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds `tmem top`."""
    top = add_command(
        commands, "top", run, help_="show the clients live; end it with Ctrl-C", reads=True
    )
    top.add_argument(
        "-d", "--delay", type=seconds_argument, default=2.0, help="seconds between two looks"
    )
    top.add_argument("-n", "--count", type=int, help="end after so many looks")


def run(options: argparse.Namespace, connection: Connection) -> int:
    """Shows one look after another."""
    looks = _looks(options, connection)
    if options.json:
        for now, before in looks:
            print(json.dumps(now.as_map(before)), flush=True)
        return 0
    console = Console()
    if not console.is_terminal:
        console.width = _FILE_WIDTH
        for now, before in looks:
            console.print(now.show(before))
        return 0
    with Live(console=console, screen=True, auto_refresh=False) as live:
        for now, before in looks:
            live.update(now.show(before), refresh=True)
    return 0


def _looks(
    options: argparse.Namespace, connection: Connection
) -> Iterator[tuple["Look", "Look | None"]]:
    """A look at once, and then `count` more (None: for ever), each with the one before."""
    now, before, looks = Look(connection), None, 0
    yield now, before
    while options.count is None or looks < options.count:
        time.sleep(options.delay)
        now, before, looks = Look(connection), now, looks + 1
        yield now, before


class Look:
    """What the service said at one moment. A client that is removed meanwhile is left out."""

    def __init__(self, connection: Connection) -> None:
        self.time = time.monotonic()
        self.usage: dict[str, Any] = connection.call("arena.usage")
        self.clients: list[dict[str, Any]] = []
        self.counters: dict[str, dict[str, int]] = {}
        for client in connection.call("client.list"):
            try:
                counters = connection.call("stats", client=client["name"])["counters"]
            except CallRefused as refused:
                if refused.code != "unknown":
                    raise
                continue
            self.clients.append(client)
            self.counters[client["name"]] = counters

    def sums(self, client: str) -> dict[str, int]:
        """The numbers that rates are made of."""
        counters = self.counters[client]
        return {
            "puts": counters.get("puts_stored", 0) + counters.get("puts_replaced", 0),
            "hits": counters.get("gets_hit", 0),
            "misses": counters.get("gets_missed", 0) + counters.get("gets_unserved", 0),
            "flushes": sum(
                counters.get(f"{kind}_flushes", 0) for kind in ("page", "object", "range", "pool")
            ),
        }

    def show(self, before: "Look | None") -> Group:
        """This look; rates since `before`, of clients that were there then."""
        usage = self.usage
        head = Text(
            f"arena {size(usage['resident_bytes'])} of {size(usage['budget_bytes'])}, freeable "
            f"{size(usage['freeable_bytes'])}; {usage['ephemeral_pages']} ephemeral, "
            f"{usage['persistent_pages']} persistent pages; {usage['unserved_pools']} of "
            f"{usage['shared_pools']} shared pools not served"
        )
        table = Table(box=None, pad_edge=False)
        for name in ("Name", "State"):
            table.add_column(name)
        for name in ("Ephemeral", "Persistent", *(f"{rate.capitalize()}/s" for rate in _RATES)):
            table.add_column(name, justify="right")
        for client in self.clients:
            table.add_row(*self._cells(client, before))
        return Group(head, table)

    def as_map(self, before: "Look | None") -> dict[str, Any]:
        """The same for programs; a client's `per_second` is null when it was not there before."""
        clients = [
            client | {"per_second": self.rates(client["name"], before)} for client in self.clients
        ]
        return {"arena": self.usage, "clients": clients}

    def rates(self, name: str, before: "Look | None") -> dict[str, float] | None:
        """What the client did in a second since `before`; None when it was not there then."""
        if before is None or name not in before.counters:
            return None
        then, now = before.sums(name), self.sums(name)
        seconds = max(self.time - before.time, 1e-3)
        # a client that was removed and made anew counts from zero
        return {rate: max(now[rate] - then[rate], 0) / seconds for rate in _RATES}

    def _cells(self, client: dict[str, Any], before: "Look | None") -> list[str]:
        rates = self.rates(client["name"], before)
        shown = ["-"] * len(_RATES) if rates is None else [f"{rates[rate]:.0f}" for rate in _RATES]
        sizes = [size(client[f"{kind}_bytes"]) for kind in ("ephemeral", "persistent")]
        return [client["name"], state_words(client), *sizes, *shown]
