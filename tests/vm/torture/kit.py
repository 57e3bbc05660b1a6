# SPDX-License-Identifier: GPL-2.0-or-later
"""What all clients of a load share, and what is done with it after a death."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

from tests.vm.torture.history import Name
from tests.vm.torture.ledger import Ledger
from tests.vm.torture.mix import Mix
from tests.vm.torture.node import Node
from tmem_guest.workloads.blocks import Found


@dataclass
class Kit:
    """What all clients of a load share. `lock` is around the ledger, the log and the counts."""

    ledger: Ledger
    lock: Lock
    mix: Mix
    log: Callable[[dict[str, Any]], None]
    done: "Counter[str]"
    only_read: set[Node] = field(default_factory=set)
    """nodes whose clients change nothing at present"""

    def under_way(self) -> list[str]:
        """The changes that were sent and not answered."""
        changes = self.ledger.changes
        return [
            f"{name.path}: {changes[version]}"
            for name in self.ledger.names.values()
            for version in list(name.busy)
            if version in changes
        ]

    def dies(self, node: Node) -> None:
        """See Load.dies()."""
        with self.lock:
            self.ledger.dies(node.number)
            self.log({"t": self.ledger.clock, "dies": node.number})

    def died(self, node: Node) -> None:
        """See Load.died()."""
        with self.lock:
            self.ledger.died(node.number)
            self.log({"t": self.ledger.clock, "died": node.number})

    def settle(self, by: Node) -> None:
        """See Load.settle()."""
        for name in self.ledger.unsettled():
            found = read_all(by, name)
            self.log({"settled": name.path, "by": by.number, "found": found})
            if not self.ledger.settle(name, found):
                raise AssertionError(
                    f"after a death, node {by.number} found in {name.path} what cannot be there:"
                    f" {found}"
                )


def read_all(node: Node, name: Name) -> list[Found] | None:
    """A file from its beginning to its end."""
    try:
        found = node.call(
            "read", path=name.path, first=0, count=name.blocks_max, how="buffered", evict=False
        )
    except FileNotFoundError:
        return None
    assert isinstance(found, list)
    return found
