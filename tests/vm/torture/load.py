# SPDX-License-Identifier: GPL-2.0-or-later
"""Clients on all nodes, each of which does one operation after another, as its seed says."""

import collections
import json
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from random import Random
from threading import Condition, Lock, Thread
from typing import Any, NoReturn, TextIO

from tests.vm.torture.client import Client
from tests.vm.torture.kit import Kit
from tests.vm.torture.ledger import Ledger
from tests.vm.torture.mix import Mix
from tests.vm.torture.node import Node, NodeGone
from tests.vm.torture.verdict import Violation

# A guest may wait for the cluster to take another for dead, twice, on a busy host.
_PATIENCE_S = 400.0
_SHORT_PATIENCE_S = 5.0


class Load:
    """Runs clients. What goes wrong in one ends all: `check()` raises it."""

    def __init__(
        self,
        ledger: Ledger,
        nodes: Sequence[Node],
        *,
        seed: int,
        mix: Mix,
        log: TextIO,
        enough: Callable[[Sequence[Violation]], bool],
        look: Callable[[], None],
        explain_hang: Callable[[], None],
    ) -> None:
        self.ledger = ledger
        self.nodes = nodes
        self._seed = seed
        self._enough = enough
        self._look = look
        self._explain_hang = explain_hang
        self._kit = Kit(ledger, Lock(), mix, _Log(log), collections.Counter())
        self._state = Condition()
        self._paused = set(nodes)
        self._working: collections.Counter[Node] = collections.Counter()
        self._over = False
        self._error: BaseException | None = None
        self._threads = [
            Thread(
                target=self._run,
                args=(Client(self._kit, node, Random(f"{seed} {node.number} {n}")),),
                daemon=True,
            )
            for node in nodes
            for n in range(mix.clients)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def done(self) -> "collections.Counter[str]":
        """How many operations of each kind have ended."""
        return self._kit.done

    def pause(self, *nodes: Node) -> None:
        """Waits until nothing is under way on these nodes, on all if none is named. Looks at the
        guests meanwhile."""
        chosen = set(nodes or self.nodes)
        until = time.monotonic() + _PATIENCE_S
        with self._state:
            self._paused |= chosen
        while True:
            with self._state:
                if self._state.wait_for(lambda: not any(self._working[n] for n in chosen), 1):
                    return
            self._look()
            if time.monotonic() > until:
                self._fail_to_end()

    def _fail_to_end(self) -> NoReturn:
        self._explain_hang()
        raise AssertionError(f"operations do not end: {self._kit.under_way()}")

    def go(self, *nodes: Node) -> None:
        """Goes on with these nodes, with all if none is named."""
        with self._state:
            self._paused -= set(nodes or self.nodes)
            self._state.notify_all()

    def check(self) -> None:
        """Raises what went wrong, if something did."""
        if self._error is not None:
            raise self._error

    def end(self, *, quietly: bool = False) -> None:
        """Ends all clients, and then raises what went wrong, unless `quietly`. Clients whose
        operations do not end are left alone."""
        with self._state:
            self._over = True
            self._state.notify_all()
        until = time.monotonic() + (_PATIENCE_S if not quietly else _SHORT_PATIENCE_S)
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
        if not quietly:
            self.check()
            if any(thread.is_alive() for thread in self._threads):
                self._fail_to_end()

    def fill(self, node: Node, blocks: int) -> None:
        """Makes the large file, so many blocks at a time, and half of the small ones. Everything
        is paused."""
        client = Client(self._kit, node, Random(f"{self._seed} fill"))
        for number, name in enumerate(self.ledger.names.values()):
            if number % 2 == 0:
                client.fill(name, blocks)
        self.sync(node)

    def sync(self, node: Node) -> None:
        """Has a node write back what it has done."""
        began = self.ledger.tick()
        node.call("sync")
        self.ledger.synced(node.number, began)

    def only_read(self, *nodes: Node) -> None:
        """From now on these nodes, which are paused, change nothing; all others may."""
        self._kit.only_read = set(nodes)

    def dies(self, node: Node) -> None:
        """A node is about to go. The others read only: who changes what the dead node has left must
        know what that is."""
        self._kit.dies(node)

    def died(self, node: Node) -> None:
        """A node is gone, and nothing of what it was told will still be done."""
        self._kit.died(node)

    def settle(self, by: Node) -> None:
        """After a death: a survivor finds out what is there of what the dead node had not made
        durable. Everything is paused."""
        self._kit.settle(by)

    def _run(self, client: Client) -> None:
        while self._may_go(client.node):
            try:
                # its node may go at any time, and come back: then the state is not to go on
                with suppress(NodeGone):
                    client.step()
            except BaseException as error:
                self._fail(error)
            finally:
                self._rest(client.node)
            if self._enough(self.ledger.violations):
                self._fail(AssertionError("too many reads were wrong"))

    def _may_go(self, node: Node) -> bool:
        with self._state:
            self._state.wait_for(
                lambda: self._over or (node not in self._paused and node.there), timeout=None
            )
            if not self._over:
                self._working[node] += 1
            return not self._over

    def _rest(self, node: Node) -> None:
        with self._state:
            self._working[node] -= 1
            self._state.notify_all()

    def _fail(self, error: BaseException) -> None:
        with self._state:
            self._error = self._error or error
            self._over = True
            self._state.notify_all()


@dataclass(frozen=True)
class _Log:
    """One JSON object a line, in the order of the ledger."""

    file: TextIO

    def __call__(self, record: dict[str, Any]) -> None:
        self.file.write(json.dumps(record) + "\n")
