# SPDX-License-Identifier: GPL-2.0-or-later
"""tmem top: the clients of a running service, live."""

import argparse
import time
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from tmem_host.cli.clients import state_words
from tmem_host.cli.output import size
from tmem_host.cli.service import add_command
from tmem_host.control import Connection

_RATES = ("puts", "hits", "misses", "flushes")


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds `tmem top`."""
    top = add_command(commands, "top", run, help_="show the clients live; end it with Ctrl-C")
    top.add_argument("-d", "--delay", type=float, default=2.0, help="seconds between two looks")
    top.add_argument("-n", "--count", type=int, help="end after so many looks")


def run(options: argparse.Namespace, connection: Connection) -> int:
    """Shows one look after another."""
    console = Console()
    looks, before = 0, Look(connection)
    with Live(before.show(None), console=console, screen=console.is_terminal) as live:
        while options.count is None or looks < options.count:
            time.sleep(options.delay)
            now = Look(connection)
            live.update(now.show(before), refresh=True)
            looks, before = looks + 1, now
    return 0


class Look:
    """What the service said at one moment."""

    def __init__(self, connection: Connection) -> None:
        self.time = time.monotonic()
        self.usage: dict[str, Any] = connection.call("arena.usage")
        self.clients: list[dict[str, Any]] = connection.call("client.list")
        self.counters: dict[str, dict[str, int]] = {
            client["name"]: connection.call("stats", client=client["name"])["counters"]
            for client in self.clients
        }

    def sums(self, client: str) -> dict[str, int]:
        """The numbers that rates are made of."""
        counters = self.counters.get(client, {})
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

    def _cells(self, client: dict[str, Any], before: "Look | None") -> list[str]:
        name, now = client["name"], self.sums(client["name"])
        rates = ["-"] * len(_RATES)
        if before is not None and name in before.counters:
            then, seconds = before.sums(name), max(self.time - before.time, 1e-3)
            rates = [f"{(now[rate] - then[rate]) / seconds:.0f}" for rate in _RATES]
        sizes = [size(client[f"{kind}_bytes"]) for kind in ("ephemeral", "persistent")]
        return [name, state_words(client), *sizes, *rates]
