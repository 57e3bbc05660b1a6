# SPDX-License-Identifier: GPL-2.0-or-later
"""Which pool an operation is about, for as long as a trace explains it."""

from collections.abc import Iterator
from typing import TypeAlias

from tmem_host.native import Operation, PoolFlags, TraceOp

# What pages lie in: a shared pool's uuid, or client and number of a pool.
Store: TypeAlias = tuple[int, int, int]
_NEW_EPOCH, _POOLS_KEPT, _DONE = 2, 8, 1


class Pools:
    """Follows the pools of all clients through the operations of a trace."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, int], tuple[Store, PoolFlags]] = {}
        self._made = 0

    def find(self, operation: Operation) -> tuple[Store, PoolFlags]:
        """The store of the operation's pool, and its flags; one that the trace does not explain is
        a private ephemeral one."""
        key = (operation.client, operation.pool)
        return self._known.get(key) or ((-1, *key), PoolFlags(0))

    def follow(self, operation: Operation) -> Iterator[Store]:
        """Takes one operation in; the stores that it empties."""
        client, pool = operation.client, operation.pool
        match operation.op:
            case TraceOp.NEW_POOL | TraceOp.POOL if operation.result == _DONE:
                if (client, pool) not in self._known:
                    self._add(operation)
            case TraceOp.DESTROY_POOL:
                if (client, pool) in self._known:
                    yield self._known.pop((client, pool))[0]
            case TraceOp.FLUSH_POOL:
                yield self.find(operation)[0]
            case TraceOp.BYE:
                yield from self._leave(client, persistent=False)
            case TraceOp.START if operation.result == _NEW_EPOCH:
                yield from self._leave(client, persistent=not operation.flags & _POOLS_KEPT)

    def _add(self, operation: Operation) -> None:
        flags = PoolFlags(operation.oid2 & (PoolFlags.SHARED | PoolFlags.PERSISTENT))
        self._made += 1
        store = (-2, 0, self._made)
        if flags & PoolFlags.SHARED:
            store = (0, operation.oid0, operation.oid1)
        self._known[operation.client, operation.pool] = (store, flags)

    def _leave(self, client: int, *, persistent: bool) -> Iterator[Store]:
        for key in [key for key in self._known if key[0] == client]:
            if persistent or not self._known[key][1] & PoolFlags.PERSISTENT:
                yield self._known.pop(key)[0]
