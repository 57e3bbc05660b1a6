# SPDX-License-Identifier: GPL-2.0-or-later
"""What changes have left in each block and under each name, oldest first (torture/ledger.py)."""

from dataclasses import dataclass, field, replace
from typing import Generic, TypeVar

from tmem_guest.workloads.blocks import ABSENT

NEVER = -1
State = TypeVar("State")


@dataclass
class Change:
    """An operation that writes. `began` and `ended` are times of the ledger."""

    version: int
    node: int
    what: str
    began: int
    ended: int = NEVER
    durable: bool = False
    direct: bool = False
    lost: bool = False  # with its node, not known to be durable

    def over(self, by: int) -> bool:
        """Whether it had ended at that time, and is known to have taken effect."""
        return self.ended != NEVER and self.ended <= by and not self.lost

    def __str__(self) -> str:
        ended = "never ended" if self.ended == NEVER else f"ended at {self.ended}"
        lost = ", then its node died" if self.lost else ""
        return (
            f"version {self.version} (node {self.node}, {self.what},"
            f" began at {self.began}, {ended}{lost})"
        )


@dataclass
class History(Generic[State]):
    """What changes have left in one place, oldest first."""

    entries: list[tuple[Change, State]]

    def window(self, began: int, ignore_direct: bool = False) -> list[tuple[Change, State]]:
        """What a read sent at that time may return."""
        for i in range(len(self.entries) - 1, -1, -1):
            change = self.entries[i][0]
            if change.over(began) and not (ignore_direct and change.direct):
                return self.entries[i:]
        return self.entries

    def last(self) -> State:
        """What the newest change leaves."""
        return self.entries[-1][1]

    def uncertain(self, now: int) -> bool:
        """Whether a node's death left it open what is there."""
        return any(change.lost for change, _ in self.window(now))

    def settle(self, state: State, now: int) -> None:
        """From now on it is `state`, which some change has left."""
        change = next(change for change, left in reversed(self.entries) if left == state)
        found = replace(change, began=min(change.began, now), ended=now, durable=True, lost=False)
        self.entries = [(found, state)]


@dataclass
class File:
    """One file from its making on, whatever its name. `size` is in blocks, after all changes.

    `cloned` says that it shares places on the disk with another, or did.
    """

    number: int
    blocks: list[History[int]]
    size: int = 0
    undurable: list[Change] = field(default_factory=list)
    cloned: bool = False

    def being_written(self, node: int, since: int) -> bool:
        """Whether a write of that node to any of it had not ended at that time."""
        changes = (change for block in self.blocks for change, _ in block.entries)
        return any(change.node == node and not change.over(since) for change in changes)

    def measure(self) -> None:
        """Finds the size anew."""
        sizes = (n + 1 for n, block in enumerate(self.blocks) if block.last() != ABSENT)
        self.size = max(sizes, default=0)


@dataclass
class Name:
    """A path, and the files it has led to."""

    path: str
    blocks_max: int
    files: History[File | None]
    busy: dict[int, range | None] = field(default_factory=dict)

    @property
    def file(self) -> File | None:
        """What it leads to after all changes."""
        return self.files.last()
