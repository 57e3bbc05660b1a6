# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether a read returned what it may (torture/ledger.py)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tests.vm.torture.history import Change, File, Name
from tmem_guest.workloads.blocks import ABSENT, BLOCK_BYTES, ZEROS, Found


@dataclass(frozen=True)
class Read:
    """A read that was sent."""

    name: Name
    node: int
    first: int
    count: int
    how: str
    began: int


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


@dataclass
class Verdict:
    """What is wrong with a read; and of how many blocks it found what is right only by the way:
    `mixtures` half written, `uncopied` where ocfs2 itself shows for a moment what its place on the
    disk had before."""

    bad: list[Violation] = field(default_factory=list)
    mixtures: int = 0
    uncopied: int = 0


def judge(
    read: Read, found: Sequence[Found] | None, changes: Mapping[int, Change], now: int
) -> Verdict:
    """Of what a read returned at that time, None if there was no such file."""
    verdict = Verdict()
    files = [file for _, file in read.name.files.window(read.began)]
    if found is None:
        if None not in files:
            gone = _violation(read, 0, "no such file", [], now, direct_only=False)
            verdict.bad.append(gone)
        return verdict
    there = [file for file in files if file is not None]
    for number, what in enumerate(found, read.first):
        histories = [file.blocks[number] for file in there]
        entries = [entry for history in histories for entry in history.window(read.began)]
        if _fits(what, {state for _, state in entries}):
            verdict.mixtures += not isinstance(what, int)
            continue
        if what != ABSENT and _may_be_uncopied(read, there):
            verdict.uncopied += 1
            continue
        lenient = {
            state
            for history in histories
            for _, state in history.window(read.began, ignore_direct=True)
        }
        direct_only = _fits(what, lenient)
        name = _name_of(what, changes)
        verdict.bad.append(_violation(read, number, name, entries, now, direct_only=direct_only))
    return verdict


def _violation(
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
        offset=block * BLOCK_BYTES,
        found=found,
        allowed=[f"{_plain(state)} by {change}" for change, state in entries],
        how=read.how,
        began=read.began,
        ended=now,
        direct_only=direct_only,
    )


def _name_of(what: Found, changes: Mapping[int, Change]) -> str:
    if not isinstance(what, int):
        return "a mixture of " + ", ".join(_name_of(part, changes) for part in what)
    return str(changes.get(what, _plain(what)))


def _may_be_uncopied(read: Read, files: Sequence[File]) -> bool:
    """Before ocfs2 writes to a clone, what is written and what is beside it gets places of its own
    on the disk. A direct read by the same node may come there before the copies do, and finds what
    was there before: zeros, or a piece of a file that is gone."""
    return read.how == "direct" and any(
        file.cloned and file.being_written(read.node, read.began) for file in files
    )


def _fits(what: Found, allowed: set[int]) -> bool:
    if isinstance(what, int):
        return what in allowed
    # part of a block: some of it may be cut through, but only while it is being written
    known = {part for part in what if part >= ZEROS}
    return len(allowed) > 1 and known <= allowed and bool(known)


def _plain(state: int) -> str:
    return {ABSENT: "nothing, beyond the file's end", ZEROS: "zeros"}.get(state, f"{state}")
