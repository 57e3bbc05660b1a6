# SPDX-License-Identifier: GPL-2.0-or-later
"""The data calls of `MemorySystem`: an LRU list, a budget, and ways to get them wrong."""

from __future__ import annotations

import collections
import errno
from typing import Final

from tests.engine.faults import FAULTS
from tests.engine.machine.base import RECORD_BYTES
from tests.engine.model import REFUSALS, Model, Pool
from tests.engine.pages import INDEX_MAX
from tests.engine.stock import HandleKey, Stock, Stored
from tests.engine.system import (
    Oid,
    PutAnswer,
    RejectedError,
)

EXTENT_BYTES: Final = 16 << 10


class MemoryPages:
    """Puts, gets, flushes and the limits they meet. `fault` is one of `FAULTS`, or None."""

    def __init__(self, budget_bytes: int, fault: str | None = None) -> None:
        if fault is not None and fault not in FAULTS:
            raise ValueError(f"unknown fault: {fault}")
        self.fault = fault
        self.state = Model()
        self.budget_bytes = budget_bytes
        self.squeezed = False
        self.remembered: set[HandleKey] = set()
        # Oldest first; what a pool's handle holds.
        self.stored = Stock()
        self.counts: dict[str, collections.Counter[str]] = {}
        self.gone: collections.Counter[str] = collections.Counter()  # of clients that are gone

    # ---- pages -----------------------------------------------------------------------------

    def _pool(self, client: str, pool: int) -> Pool:
        held = self.state.clients[client].pools
        if pool not in held and self.fault == "foreign pools":
            for other in self.state.clients.values():
                if pool in other.pools:
                    return other.pools[pool]
        if pool not in held:
            raise RejectedError(errno.ENODEV)
        return held[pool]

    def _key(self, pool: Pool, oid: Oid, index: int) -> HandleKey:
        if self.fault == "folded oid":
            oid = (sum(oid) % 2**64, 0, 0)
        if self.fault == "index of 32 bits":
            index %= 2**32
        return (id(pool), oid, index)

    def _total(self) -> int:
        return -(-self.stored.used_bytes // EXTENT_BYTES) * EXTENT_BYTES

    def _evict(self, owner: str | None = None) -> bool:
        """Evicts the oldest ephemeral page, of `owner` if given."""
        key = self.stored.oldest_ephemeral(owner)
        if self.fault == "evicts persistent":
            of_owner = (k for k, stored in self.stored.items() if owner in (None, stored.owner))
            key = next(of_owner, None)
        if key is None:
            return False
        self.counts[self.stored.pop(key).owner]["evicted"] += 1
        return True

    def _refusal(self, client: str, pool: Pool, key: HandleKey, cost: int) -> str | None:
        held = self.state.clients[client]
        owner = self.state.clients[pool.owner].settings
        if not pool.served:
            return "refused_unserved"
        duplicate = key in self.stored and self.fault != "freeze refuses all"
        if held.settings.frozen and not duplicate and self.fault != "ignores freeze":
            return "refused_frozen"
        if not pool.persistent and self.state.second_chance and key not in self.stored:
            if key not in self.remembered:
                self.remembered.add(key)
                return "refused_admission"
            self.remembered.remove(key)
        self.stored.pop(key, None)
        quota = owner.persistent_quota_bytes if self.fault != "ignores quota" else 0
        if pool.persistent and quota and self.stored.charged_bytes(pool.owner, True) + cost > quota:
            return "refused_quota"
        cap = owner.cap_bytes if self.fault != "ignores cap" else 0
        while cap and self.stored.charged_bytes(pool.owner) + cost > cap:
            if not self._evict(pool.owner):
                return "refused_cap"
        while self.stored.used_bytes + cost > self.budget_bytes:
            if not self._evict():
                return "refused_full"
        if self.squeezed and self.stored.used_bytes + cost > self._total():
            return "refused_host"
        return None

    def put(self, client: str, pool: int, oid: Oid, index: int, page: bytes) -> PutAnswer:
        store = self._pool(client, pool)
        settings = self.state.clients[client].settings
        key = self._key(store, oid, index)
        same = page == page[:8] * (len(page) // 8)
        size = 0 if same else len(page) if settings.encoding == "RAW" else len(page.rstrip(b"\0"))
        cost = RECORD_BYTES + -(-size // 64) * 64
        old = self.stored.get(key)
        reason = self._refusal(client, store, key, cost)
        count = self.counts[client]
        if reason is not None:
            self.stored.pop(key, None)
            if old is not None and self.fault == "stale after refusal":
                self.stored[key] = old
            if not (reason == "refused_full" and self.fault == "uncounted refusal"):
                count[reason] += 1
            if old is None:
                return REFUSALS[reason]
            count["dup_puts_flushed"] += 1
            return PutAnswer.NO_ROOM if self.fault == "wrong refusal" else PutAnswer.DROPPED
        self.stored.pop(key, None)
        if old is not None and self.fault == "old page after replacement":
            page = old.page
        count["puts_stored" if old is None else "puts_replaced"] += 1
        count["encoded_same" if same else f"encoded_{settings.encoding.lower()}"] += 1
        if settings.dedup and self.stored.has(page):
            count["deduplicated"] += 1
        self.stored[key] = Stored(page, cost, client, store.owner, store.persistent)
        return PutAnswer.STORED

    def get(self, client: str, pool: int, oid: Oid, index: int) -> bytes | None:
        store = self._pool(client, pool)
        key = self._key(store, oid, index)
        count = self.counts[client]
        if not store.served:
            count["gets_unserved"] += 1
            return None
        if not self.stored.pages_of_pool(id(store)):
            count["gets_empty"] += 1
            return None
        stored = self.stored.get(key)
        if stored is None:
            count["gets_missed"] += 1
            return None
        count["gets_hit"] += 1
        count["hits_other"] += stored.putter != client
        if store.uuid is not None:
            self.stored.use(key)
            if self.fault == "exclusive shared get":
                del self.stored[key]
        elif not store.persistent and self.fault != "inclusive get":
            del self.stored[key]
        return stored.page

    # ---- flushes ---------------------------------------------------------------------------

    def _drop(self, client: str, counter: str, keys: list[HandleKey]) -> None:
        for key in keys:
            del self.stored[key]
        self.counts[client][counter] += 1
        self.counts[client][f"{counter}_found"] += len(keys)

    def flush_page(self, client: str, pool: int, oid: Oid, index: int) -> None:
        key = self._key(self._pool(client, pool), oid, index)
        found = key in self.stored and self.fault != "forgetful flush"
        self._drop(client, "page_flushes", [key] * found)

    def flush_object(self, client: str, pool: int, oid: Oid) -> None:
        store = self._key(self._pool(client, pool), oid, 0)[:2]
        keys = [key for key in self.stored.of_pool(store[0]) if key[1] == store[1]]
        if self.fault == "object flush of a page":
            keys = keys[:1]
        self._drop(client, "object_flushes", keys)

    def flush_range(self, client: str, pool: int, oid: Oid, first: int, count: int) -> None:
        store = self._key(self._pool(client, pool), oid, 0)[:2]
        last = min(first + count - 1, INDEX_MAX) - (self.fault == "range off by one")
        held = self.stored.of_pool(store[0])
        keys = [key for key in held if key[1] == store[1] and first <= key[2] <= last]
        self._drop(client, "range_flushes", keys)

    def _empty(self, client: str, store: Pool) -> None:
        self._drop(client, "pool_flushes", self.stored.of_pool(id(store)))

    def flush_pool(self, client: str, pool: int) -> None:
        self._empty(client, self._pool(client, pool))
