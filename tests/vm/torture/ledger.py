# SPDX-License-Identifier: GPL-2.0-or-later
"""What every node has written, and whether what a node has read is old.

The host sends every operation and hears of its end, so its own order of these is one that holds
everywhere: what was answered before something else was sent happened before it. No clock of a
guest is looked at.

A *change* is an operation that writes. Of each block there is a history of changes and what each
left there; of each name, which file it led to. Two changes of one block never run at once, so a
read may return what the last change that had ended before the read was sent left there, or what
any change since then may have left, and nothing else. What a node that died had not made
durable may be there or not; the first read that tells which decides for all later ones.

A Ledger has no locks: its users have one around it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Generic, TypeVar

from tmem_guest.workloads.blocks import ABSENT, ZEROS, Found

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
    """One file from its making on, whatever its name. `size` is in blocks, after all changes."""

    number: int
    blocks: list[History[int]]
    size: int = 0
    undurable: list[Change] = field(default_factory=list)

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


@dataclass(frozen=True)
class Violation:
    """A read that returned what it must not. Printed, it names node, file, offset and versions."""

    node: int
    path: str
    offset: int
    found: str
    allowed: Sequence[str]
    how: str
    began: int
    ended: int
    direct_only: bool
    """whether it would be right if direct writes had not ended when they did"""

    def __str__(self) -> str:
        allowed = "; ".join(self.allowed) or "nothing"
        return (
            f"node {self.node} read {self.path} at offset {self.offset} ({self.how}, sent at"
            f" {self.began}, answered at {self.ended}) and found {self.found}; it could be: "
            f"{allowed}"
        )


@dataclass(frozen=True)
class Read:
    """A read that was sent."""

    name: Name
    node: int
    first: int
    count: int
    how: str
    began: int


class Ledger:
    """Files by name, all changes, all violations. `paths` are all names there will ever be, and how
    many blocks a file of that name may have."""

    def __init__(self, paths: Mapping[str, int]) -> None:
        self.clock = 0
        self.violations: list[Violation] = []
        self.reads = 0
        self.deaths = 0
        self.mixtures = 0  # blocks read while they were written, part old, part new
        self.changes: dict[int, Change] = {}
        self._files = 0
        origin = Change(0, -1, "there was nothing", 0, 0, True)
        self.names = {
            path: Name(path, blocks_max, History([(origin, None)]))
            for path, blocks_max in paths.items()
        }

    def tick(self) -> int:
        """The next time."""
        self.clock += 1
        return self.clock

    # ---- changes -----------------------------------------------------------------------------

    def free(self, name: Name, blocks: range | None) -> bool:
        """Whether nothing under way changes these blocks of the file; None: anything of it."""
        return all(
            other is not None
            and blocks is not None
            and (other.stop <= blocks.start or blocks.stop <= other.start)
            for other in name.busy.values()
        )

    def hold(self, name: Name, blocks: range) -> int:
        """Keeps changes of these blocks away until what it returns is taken from `name.busy`."""
        key = -self.tick()
        name.busy[key] = blocks
        return key

    def begin(
        self,
        node: int,
        what: str,
        names: Sequence[Name],
        blocks: range | None,
        *,
        direct: bool = False,
    ) -> Change:
        """A change is about to be sent; all names must be free()."""
        assert all(self.free(name, blocks) for name in names)
        change = Change(len(self.changes) + 1, node, what, self.tick(), direct=direct)
        self.changes[change.version] = change
        for name in names:
            name.busy[change.version] = blocks
        return change

    def leaves(self, change: Change, file: File, blocks: range, state: int) -> None:
        """What the change is about to leave in these blocks."""
        if change not in file.undurable:
            file.undurable.append(change)
        for block in blocks:
            file.blocks[block].entries.append((change, state))
        if state != ABSENT:
            file.size = max(file.size, blocks.stop)
        elif blocks.start < file.size <= blocks.stop:
            file.size = blocks.start

    def makes(self, change: Change, name: Name, like: File | None = None) -> File:
        """A new file: empty, or with the blocks of another."""
        self._files += 1
        blocks = [History([(change, ABSENT)]) for _ in range(name.blocks_max)]
        file = File(self._files, blocks, 0, [change])
        if like is not None:
            # it is there and empty before it has anything
            for block, other in zip(blocks[: like.size], like.blocks, strict=False):
                block.entries.append((change, other.last()))
            file.size = like.size
        self.binds(change, name, file)
        return file

    def binds(self, change: Change, name: Name, file: File | None) -> None:
        """What the change is about to make of a name."""
        name.files.entries.append((change, file))

    def end(self, change: Change, names: Sequence[Name], durable: bool) -> None:
        """The change was answered."""
        change.ended = self.tick()
        change.durable = durable
        for name in names:
            del name.busy[change.version]

    def abandon(self, change: Change, names: Sequence[Name]) -> None:
        """It will never be answered: its node is gone."""
        for name in names:
            del name.busy[change.version]

    def undo(self, change: Change, names: Sequence[Name], files: Sequence[File]) -> None:
        """It failed and changed nothing."""
        for file in files:
            for block in file.blocks:
                block.entries = [entry for entry in block.entries if entry[0] is not change]
            if change in file.undurable:
                file.undurable.remove(change)
            file.measure()
        for name in names:
            name.files.entries = [entry for entry in name.files.entries if entry[0] is not change]
        self.abandon(change, names)

    def synced(self, node: int, began: int) -> None:
        """A node has written back all that had ended on it when it was asked to."""
        for change in self.changes.values():
            if change.node == node and change.over(began):
                change.durable = True

    def died(self, node: int) -> None:
        """A node is gone, with what it had not made durable."""
        self.tick()
        self.deaths += 1
        for change in self.changes.values():
            if change.node == node and not change.durable:
                change.lost = True

    def unsettled(self) -> list[Name]:
        """The names of which settle() must be told."""
        return [name for name in self.names.values() if self._uncertain(name)]

    def settle(self, name: Name, found: Sequence[Found] | None) -> bool:
        """All that a survivor has read there after a death, the file to its end: from now on it is
        that. False if it is nothing that could be."""
        now = self.tick()
        window = [file for _, file in name.files.window(now)]
        if found is None:
            if None in window:
                name.files.settle(None, now)
            return None in window
        padded = [*found, *[ABSENT] * (name.blocks_max - len(found))]
        for file in reversed(window):
            if file is not None and all(
                what in {state for _, state in block.window(now)}
                for what, block in zip(padded, file.blocks, strict=True)
            ):
                name.files.settle(file, now)
                for what, block in zip(padded, file.blocks, strict=True):
                    assert isinstance(what, int)
                    block.settle(what, now)
                file.measure()
                return True
        return False

    def _uncertain(self, name: Name) -> bool:
        if name.files.uncertain(self.clock):
            return True
        file = name.file
        return file is not None and any(block.uncertain(self.clock) for block in file.blocks)

    # ---- reads -------------------------------------------------------------------------------

    def begin_read(self, name: Name, node: int, first: int, count: int, how: str) -> Read:
        """A read is about to be sent."""
        return Read(name, node, first, count, how, self.tick())

    def end_read(self, read: Read, found: Sequence[Found] | None) -> list[Violation]:
        """What it returned, None if there was no such file; what of that must not be."""
        now = self.tick()
        self.reads += 1
        bad = list(self._judge(read, found, now))
        self.violations += bad
        if not bad:
            self._learn(read, found)
        return bad

    def _judge(self, read: Read, found: Sequence[Found] | None, now: int) -> Iterator[Violation]:
        files = [file for _, file in read.name.files.window(read.began)]
        if found is None:
            if None not in files:
                yield self._violation(read, 0, "no such file", [], now, direct_only=False)
            return
        for number, what in enumerate(found, read.first):
            windows = [file.blocks[number].window(read.began) for file in files if file is not None]
            entries = [entry for window in windows for entry in window]
            if _fits(what, {state for _, state in entries}):
                self.mixtures += not isinstance(what, int)
                continue
            lenient = {
                state
                for file in files
                if file is not None
                for _, state in file.blocks[number].window(read.began, ignore_direct=True)
            }
            yield self._violation(
                *(read, number, self._name_of(what), entries, now),
                direct_only=_fits(what, lenient),
            )

    def _violation(
        self,
        read: Read,
        block: int,
        found: str,
        entries: Sequence[tuple[Change, int]],
        now: int,
        *,
        direct_only: bool,
    ) -> Violation:
        return Violation(
            node=read.node,
            path=read.name.path,
            offset=block * 4096,
            found=found,
            allowed=[f"{_plain(state)} by {change}" for change, state in entries],
            how=read.how,
            began=read.began,
            ended=now,
            direct_only=direct_only,
        )

    def _name_of(self, what: Found) -> str:
        if not isinstance(what, int):
            return "a mixture of " + ", ".join(self._name_of(part) for part in what)
        return str(self.changes.get(what, _plain(what)))

    def _learn(self, read: Read, found: Sequence[Found] | None) -> None:
        """What has been read elsewhere was written back before."""
        if len(read.name.files.window(read.began)) > 1:
            return
        change, file = read.name.files.entries[-1]
        if change.node != read.node and not change.lost:
            change.durable = True
        if file is None or found is None:
            return
        for change in file.undurable:
            if change.node != read.node and change.over(read.began):
                change.durable = True
        file.undurable = [change for change in file.undurable if not change.durable]


def _fits(what: Found, allowed: set[int]) -> bool:
    if isinstance(what, int):
        return what in allowed
    # part of a block: some of it may be cut through, but only while it is being written
    known = {part for part in what if part >= ZEROS}
    return len(allowed) > 1 and known <= allowed and bool(known)


def _plain(state: int) -> str:
    return {ABSENT: "nothing, beyond the file's end", ZEROS: "zeros"}.get(state, f"{state}")
