# SPDX-License-Identifier: GPL-2.0-or-later
"""One client of a load: chooses an operation, tells the ledger, has its node do it, tells again."""

import errno
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from random import Random
from typing import Any

from tests.vm.torture.history import Change, File, Name
from tests.vm.torture.kit import Kit
from tests.vm.torture.node import Node, NodeGone
from tmem_guest.workloads.blocks import ABSENT, ZEROS

# What an operation may meet when a node died with what it had not made durable.
_AFTER_DEATH = (errno.ENOENT, errno.EEXIST, errno.ENXIO)
_TURN = 500  # operations after which other names are quiet
_NO_CHANGES = ("read", "drop", "evict")
_HOW_READ = {"buffered": 6, "mmap": 2, "direct": 1}


class Client:
    """One thread's worth of load on one node."""

    def __init__(self, kit: Kit, node: Node, random: Random) -> None:
        self.kit = kit
        self.node = node
        self._random = random
        self._names = list(kit.ledger.names.values())
        self._small = [name for name in self._names if name.blocks_max == kit.mix.small_blocks]

    def step(self) -> None:
        """Does one operation, or none if what it chose cannot be done now. NodeGone."""
        operations = self.kit.mix.operations
        (what,) = self._random.choices(list(operations), list(operations.values()))
        if what not in _NO_CHANGES and self.node in self.kit.only_read:
            what = "read"
        if what == "read":
            self._read(self._any_name())
        elif what == "drop":
            self.node.call("drop_caches", what=self._random.choice((1, 1, 2, 3)))
        elif what == "evict":
            self._evict(self._any_name())
        elif what in ("rename", "reflink"):
            self._two_names(what, *self._random.sample(self._small, 2))
        else:
            name = self._any_name()
            if self._quiet(name) and self._random.random() >= self.kit.mix.quiet_write:
                self._read(name)
            elif name.file is None:
                self._make(name)
            elif what in ("remake", "unlink"):
                self._unlink(name, again=what == "remake")
            else:
                self._write(name, what)

    def _any_name(self) -> Name:
        return self._random.choice(self._names[:1] * 8 + self._small)

    def _quiet(self, name: Name) -> bool:
        turn = self.kit.ledger.clock // _TURN
        return zlib.crc32(f"{name.path} {turn}".encode()) % 1000 < 1000 * self.kit.mix.quiet

    def _sometimes(self) -> bool:
        return self._random.random() < 0.4

    # ---- reads -------------------------------------------------------------------------------

    def _read(self, name: Name) -> None:
        mix, file = self.kit.mix, name.file
        (how,) = self._random.choices(list(_HOW_READ), list(_HOW_READ.values()))
        evict = self._random.random() < 0.6
        first, count = 0, name.blocks_max
        if name.blocks_max > mix.small_blocks:
            count = mix.large_read_blocks
            first = self._random.randrange(0, name.blocks_max // count) * count
        if how == "mmap":
            # reading beyond the end of a file through a map is a signal
            count = min(count, (file.size if file else 0) - first)
            if count <= 0:
                return
            with self._held(name, range(first, first + count)) as held:
                if held and name.file is file:
                    self._read_blocks(name, first, count, how, evict)
            return
        self._read_blocks(name, first, count, how, evict)

    @contextmanager
    def _held(self, name: Name, blocks: range) -> Iterator[bool]:
        """Keeps changes of these blocks away, if there is none now."""
        with self.kit.lock:
            held = self.kit.ledger.free(name, blocks)
            if held:
                key = self.kit.ledger.hold(name, blocks)
        try:
            yield held
        finally:
            if held:
                with self.kit.lock:
                    del name.busy[key]

    def _read_blocks(self, name: Name, first: int, count: int, how: str, evict: bool) -> None:
        kit, found = self.kit, None
        with kit.lock:
            read = kit.ledger.begin_read(name, self.node.number, first, count, how)
        with suppress(FileNotFoundError):
            found = self.node.call(
                "read", path=name.path, first=first, count=count, how=how, evict=evict
            )
        with kit.lock:
            bad = kit.ledger.end_read(read, found)
            kit.done["read"] += 1
            record = {"t": kit.ledger.clock, "node": self.node.number, "read": name.path}
            record |= {"first": first, "how": how, "began": read.began, "found": found}
            kit.log(record | ({"wrong": [str(violation) for violation in bad]} if bad else {}))

    def _evict(self, name: Name) -> None:
        began = self.kit.ledger.clock
        try:
            self.node.call("evict", path=name.path)
        except FileNotFoundError:
            return
        with self.kit.lock:
            self.kit.done["evict"] += 1
            self.kit.log({"t": self.kit.ledger.clock, "evict": name.path, "began": began})

    # ---- changes -----------------------------------------------------------------------------

    def _change(
        self,
        what: str,
        names: Sequence[Name],
        blocks: range | None,
        plan: Callable[[Change], dict[str, Any] | None],
        *,
        operation: str = "",
        durable: bool = False,
    ) -> bool:
        """Sends an operation that writes; False if it cannot be done now. `plan` tells the ledger
        what it will leave, and returns its arguments; None if there is nothing to do."""
        kit = self.kit
        with kit.lock:
            if not all(kit.ledger.free(name, blocks) for name in names):
                return False
            files = [name.file for name in names if name.file is not None]
            direct = what == "direct"
            change = kit.ledger.begin(self.node.number, what, names, blocks, direct=direct)
            arguments = plan(change)
            if arguments is None:
                kit.ledger.undo(change, names, files)
                return False
            record = {"t": change.began, "node": self.node.number, "change": change.version}
            kit.log(record | {"what": what, "path": names[0].path} | arguments)
        try:
            self.node.call(operation or what, path=names[0].path, **arguments)
        except NodeGone:
            with kit.lock:
                kit.ledger.abandon(change, names)
                kit.log({"t": kit.ledger.clock, "abandoned": change.version})
            raise
        except OSError as error:
            with kit.lock:
                kit.ledger.undo(change, names, files)
                kit.log({"t": kit.ledger.clock, "failed": change.version, "why": str(error)})
            if error.errno not in _AFTER_DEATH or not kit.ledger.deaths:
                raise AssertionError(f"{self.node.name}: {what} of {names[0].path}: {error}") from (
                    error
                )
            # what it was to be done to went with a node that died; settle() will tell
            return False
        with kit.lock:
            kit.ledger.end(change, names, durable)
            kit.done[what] += 1
            kit.log({"t": change.ended, "ended": change.version})
        return True

    def _write(self, name: Name, what: str) -> None:
        sync = self._sometimes()
        if what == "truncate":
            self._truncate(name, sync=sync)
            return
        with self.kit.lock:
            file = name.file
            size = file.size if file is not None else 0
        most = 16 if name.blocks_max > self.kit.mix.small_blocks else 3
        count = self._random.randint(1, most)
        first = size if what == "append" else self._random.randrange(max(1, size))
        if what not in ("append", "buffered"):
            count = min(count, size - first)
        count = min(count, name.blocks_max - first)
        if count <= 0:
            return
        self._write_blocks(name, what, range(first, first + count), size, sync=sync)

    def _write_blocks(self, name: Name, what: str, blocks: range, size: int, *, sync: bool) -> None:
        """Writes to a file of that size, or makes a hole."""
        # a change of the size keeps others away from the whole file
        reach = None if blocks.stop > size else blocks
        arguments = {"first": blocks.start, "count": len(blocks), "sync": sync}

        def plan(change: Change) -> dict[str, Any] | None:
            file = name.file
            if file is None or file.size != size:
                return None
            if what == "punch":
                self.kit.ledger.leaves(change, file, blocks, ZEROS)
                return arguments
            self.kit.ledger.leaves(change, file, blocks, change.version)
            written = {"file": file.number, "version": change.version, "how": what}
            return arguments | written | {"writer": self.node.number}

        operation = "punch" if what == "punch" else "write"
        self._change(what, [name], reach, plan, operation=operation, durable=sync)

    def _truncate(self, name: Name, *, sync: bool) -> None:
        def plan(change: Change) -> dict[str, Any] | None:
            file = name.file
            if file is None:
                return None
            # the large file keeps most of itself
            least = file.size * 7 // 8 if name.blocks_max > self.kit.mix.small_blocks else 0
            size = self._random.randint(least, min(name.blocks_max, file.size + 2))
            if size < file.size:
                self.kit.ledger.leaves(change, file, range(size, file.size), ABSENT)
            elif size > file.size:
                self.kit.ledger.leaves(change, file, range(file.size, size), ZEROS)
            return {"blocks": size, "sync": sync}

        self._change("truncate", [name], None, plan, durable=sync)

    def _make(self, name: Name, *, append: bool = True) -> None:
        """A new file, with some blocks."""

        def plan(change: Change) -> dict[str, Any] | None:
            if name.file is not None:
                return None
            self.kit.ledger.makes(change, name)
            return {}

        if self._change("create", [name], None, plan) and append:
            self._write(name, "append")

    def fill(self, name: Name, blocks: int) -> None:
        """Makes a file of full size, so many blocks at a time."""
        self._make(name, append=False)
        for first in range(0, name.blocks_max, blocks):
            count = min(blocks, name.blocks_max - first)
            self._write_blocks(name, "append", range(first, first + count), first, sync=False)

    def _unlink(self, name: Name, *, again: bool) -> None:
        if name.blocks_max > self.kit.mix.small_blocks:
            return

        def plan(change: Change) -> dict[str, Any] | None:
            if name.file is None:
                return None
            self.kit.ledger.binds(change, name, None)
            return {}

        if self._change("unlink", [name], None, plan) and again:
            self._make(name)

    def _two_names(self, what: str, name: Name, to: Name) -> None:
        ledger = self.kit.ledger

        def plan(change: Change) -> dict[str, Any] | None:
            file: File | None = name.file
            if file is None or (what == "reflink" and to.file is not None):
                return None
            if what == "reflink":
                ledger.makes(change, to, like=file)
            else:
                ledger.binds(change, to, file)
                ledger.binds(change, name, None)
            return {"to": to.path}

        self._change(what, [name, to], None, plan)
