# SPDX-License-Identifier: GPL-2.0-or-later
"""What happened in a trace: operations, hits, working set, reuse, rates."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from tmem_host.native import Operation, PoolFlags, Trace, TraceOp
from tmem_host.trace.pools import Pools, Store
from tmem_host.trace.reuse import Distances

_DONE = 1


class _Held:
    """The pages that a store without a limit would hold."""

    def __init__(self) -> None:
        self.pages = 0
        self.most = 0
        self._stores: dict[Store, dict[tuple[int, int, int], set[int]]] = {}

    def put(self, store: Store, oid: tuple[int, int, int], index: int) -> None:
        indexes = self._stores.setdefault(store, {}).setdefault(oid, set())
        self.pages += index not in indexes
        indexes.add(index)
        self.most = max(self.most, self.pages)

    def remove(self, store: Store, oid: tuple[int, int, int], first: int, count: int) -> None:
        indexes = self._stores.get(store, {}).get(oid, set())
        gone = (
            {index for index in indexes if first <= index < first + count}
            if count > len(indexes)
            else {index for index in range(first, first + count) if index in indexes}
        )
        indexes -= gone
        self.pages -= len(gone)

    def remove_object(self, store: Store, oid: tuple[int, int, int]) -> None:
        self.pages -= len(self._stores.get(store, {}).pop(oid, ()))

    def remove_store(self, store: Store) -> None:
        self.pages -= sum(len(indexes) for indexes in self._stores.pop(store, {}).values())


@dataclass
class _Client:
    operations: Counter[str] = field(default_factory=Counter)
    gets_hit: int = 0
    puts_done: int = 0
    ahead_pages: int = 0


@dataclass
class Stats:
    """Everything that `tmem trace stats` prints."""

    clients: dict[str, _Client]
    distinct_pages: int  # that were put or asked for
    most_pages: int  # held at once, if nothing were ever evicted
    distances: Distances
    duration_s: float

    def as_map(self) -> dict[str, Any]:
        """For JSON."""
        total = _Client()
        for client in self.clients.values():
            total.operations += client.operations
            total.gets_hit += client.gets_hit
            total.puts_done += client.puts_done
            total.ahead_pages += client.ahead_pages
        return {
            "duration_seconds": self.duration_s,
            "all": self._line(total),
            "clients": {name: self._line(client) for name, client in self.clients.items()},
            "distinct_pages": self.distinct_pages,
            "most_pages": self.most_pages,
            "reuse": {
                "first_uses": self.distances.first_uses,
                "reuses": self.distances.by_power.total(),
                "below": {
                    str(2**power): number
                    for power, number in sorted(self.distances.by_power.items())
                },
                "median_below": self.distances.quantile(0.5),
                "p90_below": self.distances.quantile(0.9),
                "p99_below": self.distances.quantile(0.99),
            },
        }

    def _line(self, client: _Client) -> dict[str, Any]:
        gets = client.operations["get"]
        count = client.operations.total()
        return {
            "operations": dict(sorted(client.operations.items())),
            "operations_per_second": count / self.duration_s if self.duration_s else None,
            "gets_hit": client.gets_hit,
            "hit_ratio": client.gets_hit / gets if gets else None,
            "puts_done": client.puts_done,
            "ahead_pages": client.ahead_pages,
        }


def measure(trace: Trace) -> Stats:
    """Goes through the trace once; some microseconds an operation."""
    names = [client.name for client in trace.clients]
    clients = [_Client() for _ in names]
    pools, held, distances = Pools(), _Held(), Distances()
    for operation in trace.operations():
        client = clients[operation.client]
        client.operations[TraceOp(operation.op).name.lower()] += 1
        _take(operation, client, pools, held, distances)
        for store in pools.follow(operation):
            held.remove_store(store)
    return Stats(
        dict(zip(names, clients, strict=True)),
        distances.first_uses,
        held.most,
        distances,
        trace.duration_ns / 1e9,
    )


def _take(
    operation: Operation, client: _Client, pools: Pools, held: _Held, distances: Distances
) -> None:
    oid = operation.oid0, operation.oid1, operation.oid2
    store, flags = pools.find(operation)
    match operation.op:
        case TraceOp.PUT:
            distances.use((store, oid, operation.page_index))
            client.puts_done += operation.result == _DONE
            if operation.result == _DONE:
                held.put(store, oid, operation.page_index)
            else:  # no copy is left of what is refused
                held.remove(store, oid, operation.page_index, 1)
        case TraceOp.GET:
            distances.use((store, oid, operation.page_index))
            client.ahead_pages += operation.ahead
            client.gets_hit += operation.result == _DONE
            if not flags & (PoolFlags.PERSISTENT | PoolFlags.SHARED):
                held.remove(store, oid, operation.page_index, 1)
        case TraceOp.FLUSH_PAGE:
            held.remove(store, oid, operation.page_index, 1)
        case TraceOp.FLUSH_RANGE:
            held.remove(store, oid, operation.page_index, operation.pages)
        case TraceOp.FLUSH_OBJECT:
            held.remove_object(store, oid)
