# SPDX-License-Identifier: GPL-2.0-or-later
"""From a trace to inputs of tests/fuzz/fuzz_operations.c: real orders of operations, folded into
the few clients, pools, objects and pages of its model.

usage: python -m tmem_host.trace.seeds TRACE FOLDER
"""

import sys
from collections.abc import Iterator
from pathlib import Path

from tmem_host.native import Operation, PoolFlags, TmemError, Trace, TraceOp
from tmem_host.trace.pools import Pools, Store

SEED_BYTES = 2048
# of tests/c/lib/model.h
_CLIENTS, _UUIDS, _POOLS, _OBJECTS, _INDEXES = 3, 2, 6, 3, 6
_PERSISTENT, _SHARED = 0x40, 0x80
# of fuzz_operations.c: what chooses an operation
_NEW_POOL, _DESTROY_POOL, _FLUSH_POOL, _AUTHORISE = 192, 196, 197, 199
_PUTS = 4
_OF_PAGES: dict[int, int] = {
    TraceOp.GET: 4,
    TraceOp.FLUSH_PAGE: 5,
    TraceOp.FLUSH_RANGE: 6,
    TraceOp.FLUSH_OBJECT: 7,
}
_RANGE_MAX = 255 // (_OBJECTS * _INDEXES) - 1


class _Seed:
    """One input; it makes the pools that it needs."""

    def __init__(self) -> None:
        self.data = bytearray()
        self._slots: dict[Store, int] = {}
        self._free = list(range(_POOLS))
        for who in range(_CLIENTS * _UUIDS):
            self.data += bytes((_AUTHORISE, who))

    def add(self, operation: Operation, store: Store, flags: PoolFlags) -> None:
        """An operation on pages."""
        slot = self._slot(operation.client, store, flags)
        object_ = (operation.oid0 ^ operation.oid1 ^ operation.oid2) % _OBJECTS
        where = object_ + _OBJECTS * (operation.page_index % _INDEXES)
        if operation.op == TraceOp.PUT:
            # the same page is as compressible each time
            choice = operation.page_index // _INDEXES % _PUTS
        else:
            choice = _OF_PAGES[operation.op]
        if operation.op == TraceOp.FLUSH_RANGE:
            where += _OBJECTS * _INDEXES * min(operation.pages, _RANGE_MAX)
        self.data += bytes((8 * slot + choice, where))

    def empty(self, store: Store, *, destroy: bool) -> None:
        """The pool was flushed, or is gone."""
        if store not in self._slots:
            return
        self.data += bytes((_DESTROY_POOL if destroy else _FLUSH_POOL, self._slots[store]))
        if destroy:
            self._free.append(self._slots.pop(store))

    def _slot(self, client: int, store: Store, flags: PoolFlags) -> int:
        if store in self._slots:
            return self._slots[store]
        if not self._free:
            self.empty(next(iter(self._slots)), destroy=True)
        slot = self._free.pop()
        choice = _PERSISTENT if flags & PoolFlags.PERSISTENT else 0
        choice = _SHARED if flags & PoolFlags.SHARED else choice
        while choice % _CLIENTS != client % _CLIENTS:
            choice += 1
        self.data += bytes((_NEW_POOL, slot, choice))
        self._slots[store] = slot
        return slot


def seeds(trace: Trace) -> Iterator[bytes]:
    """Inputs of at most about SEED_BYTES, which together follow the whole trace."""
    pools, seed, used = Pools(), _Seed(), False
    for operation in trace.operations():
        if operation.op == TraceOp.PUT or operation.op in _OF_PAGES:
            seed.add(operation, *pools.find(operation))
            used = True
        for store in pools.follow(operation):
            seed.empty(store, destroy=operation.op != TraceOp.FLUSH_POOL)
        if len(seed.data) >= SEED_BYTES - 8:
            yield bytes(seed.data)
            seed, used = _Seed(), False
    if used:
        yield bytes(seed.data)


def main(arguments: list[str]) -> int:
    """Writes them into a folder, which is made."""
    if len(arguments) != 2:
        print("usage: python -m tmem_host.trace.seeds TRACE FOLDER", file=sys.stderr)
        return 2
    folder = Path(arguments[1])
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with Trace(arguments[0]) as trace:
            for number, seed in enumerate(seeds(trace)):
                (folder / f"trace-{number:06}").write_bytes(seed)
    except (TmemError, OSError) as error:
        print(f"seeds: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
