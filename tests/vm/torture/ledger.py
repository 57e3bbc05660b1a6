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

from collections.abc import Mapping, Sequence

from tests.vm.torture.history import Change, File, History, Name
from tests.vm.torture.verdict import Read, Violation, judge
from tmem_guest.workloads.blocks import ABSENT, Found


class Ledger:
    """Files by name, all changes, all violations. `paths` are all names there will ever be, and how
    many blocks a file of that name may have."""

    def __init__(self, paths: Mapping[str, int]) -> None:
        self.clock = 0
        self.violations: list[Violation] = []
        self.reads = 0
        self.deaths = 0
        self.mixtures = 0  # blocks read while they were written, part old, part new
        self.uncopied = 0  # blocks of clones that direct reads came to before the copies did
        self.changes: dict[int, Change] = {}
        self._files = 0
        self._dying: set[int] = set()
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
            file.cloned = like.cloned = True
        self.binds(change, name, file)
        return file

    def binds(self, change: Change, name: Name, file: File | None) -> None:
        """What the change is about to make of a name."""
        name.files.entries.append((change, file))

    def end(self, change: Change, names: Sequence[Name], durable: bool) -> None:
        """The change was answered."""
        change.ended = self.tick()
        change.durable = durable
        change.lost = change.node in self._dying and not durable
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

    def dies(self, node: int) -> None:
        """A node is about to go, with what it has not made durable, and does not until then. Others
        may find that out before it is known that it is gone."""
        self.tick()
        self.deaths += 1
        self._dying.add(node)
        for change in self.changes.values():
            if change.node == node and not change.durable:
                change.lost = True

    def died(self, node: int) -> None:
        """It is gone, and nothing of what it was told will still be done."""
        self.tick()
        self._dying.remove(node)

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
        verdict = judge(read, found, self.changes, now)
        self.mixtures += verdict.mixtures
        self.uncopied += verdict.uncopied
        self.violations += verdict.bad
        if not verdict.bad:
            self._learn(read, found)
        return verdict.bad

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
