# SPDX-License-Identifier: GPL-2.0-or-later
"""A system of dictionaries that obeys the specification, and can be told to break it.

It answers as the engine does, with a budget and an LRU list, and none of its care for memory. Its
use is to test the tests: the state machine must accept it, and must find every fault of `FAULTS`.
Clients, pools and memberships it borrows from the model; pages are its own.
"""

from __future__ import annotations

import collections
import dataclasses
import errno
from collections.abc import Mapping
from typing import Final
from uuid import UUID

from tests.engine.machine.base import GET_OUTCOMES, PUT_OUTCOMES, RECORD_BYTES
from tests.engine.machine.coverage import COUNTERS
from tests.engine.model import NO_UUID, REFUSALS, Model, Pool
from tests.engine.pages import INDEX_MAX
from tests.engine.system import (
    ClientView,
    HostView,
    NewPool,
    Oid,
    PoolView,
    PutAnswer,
    RejectedError,
    Shrunk,
)

EXTENT_BYTES: Final = 16 << 10
EFROZEN: Final = 1000

# Fault: what a system with it does wrong.
FAULTS: Final = {
    "stale after refusal": "a refused put leaves the older page readable (B2, B3)",
    "old page after replacement": "a put over a page answers success and keeps the old one",
    "inclusive get": "a hit on a private ephemeral pool keeps the page",
    "exclusive shared get": "a hit on a shared pool removes the page: allowed, never stale",
    "forgetful flush": "flush_page does nothing",
    "object flush of a page": "flush_object removes the first page only",
    "range off by one": "flush_range leaves the last page",
    "folded oid": "objects are told apart by the sum of their words",
    "index of 32 bits": "pages are told apart by the low half of their index",
    "evicts persistent": "pages of persistent pools are evicted too",
    "joins anybody": "a shared join needs no authorisation",
    "keeps after leave": "leaving a shared pool does not empty it",
    "keeps the owner": "a pool stays charged to a client that left it",
    "serves at once": "shared pools are served after reopening before members resumed",
    "ignores freeze": "a frozen client may put new pages",
    "freeze refuses all": "a frozen client may not replace pages either",
    "ignores cap": "caps are stored and printed, never enforced",
    "ignores quota": "quotas are stored and printed, never enforced",
    "wrong refusal": "a failed duplicate put answers -ENOMEM",
    "loses settings": "reopening thaws every client",
    "loses a page": "reopening loses one persistent page",
    "uncounted refusal": "puts refused for want of room are not counted",
    "reuses ids": "a pool id is used again as soon as its pool is gone",
    "foreign pools": "a pool id of another client's works",
}

HandleKey = tuple[int, Oid, int]


@dataclasses.dataclass(slots=True)
class Stored:
    page: bytes
    cost: int
    putter: str
    owner: str
    persistent: bool


class MemorySystem:
    """See the module's text. `fault` is one of `FAULTS`, or None."""

    offers = frozenset({"crash", "reconnect", "squeeze"})

    def __init__(self, budget_bytes: int, fault: str | None = None) -> None:
        if fault is not None and fault not in FAULTS:
            raise ValueError(f"unknown fault: {fault}")
        self.fault = fault
        self.state = Model()
        self.budget_bytes = budget_bytes
        self.squeezed = False
        self.remembered: set[HandleKey] = set()
        # Oldest first; what a pool's handle holds.
        self.stored: collections.OrderedDict[HandleKey, Stored] = collections.OrderedDict()
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

    def _charged(self, owner: str, persistent: bool | None = None) -> int:
        return sum(
            stored.cost
            for stored in self.stored.values()
            if stored.owner == owner and persistent in (None, stored.persistent)
        )

    def _total(self) -> int:
        used = sum(stored.cost for stored in self.stored.values())
        return -(-used // EXTENT_BYTES) * EXTENT_BYTES

    def _evict(self, owner: str | None = None) -> bool:
        """Evicts the oldest ephemeral page, of `owner` if given."""
        for key, stored in self.stored.items():
            evictable = not stored.persistent or self.fault == "evicts persistent"
            if evictable and owner in (None, stored.owner):
                self.counts[stored.owner]["evicted"] += 1
                del self.stored[key]
                return True
        return False

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
        if pool.persistent and quota and self._charged(pool.owner, True) + cost > quota:
            return "refused_quota"
        cap = owner.cap_bytes if self.fault != "ignores cap" else 0
        while cap and self._charged(pool.owner) + cost > cap:
            if not self._evict(pool.owner):
                return "refused_cap"
        used = sum(stored.cost for stored in self.stored.values())
        while used + cost > self.budget_bytes:
            if not self._evict():
                return "refused_full"
            used = sum(stored.cost for stored in self.stored.values())
        if self.squeezed and used + cost > self._total():
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
        if settings.dedup and any(stored.page == page for stored in self.stored.values()):
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
        if not any(other[0] == id(store) for other in self.stored):
            count["gets_empty"] += 1
            return None
        stored = self.stored.get(key)
        if stored is None:
            count["gets_missed"] += 1
            return None
        count["gets_hit"] += 1
        count["hits_other"] += stored.putter != client
        if store.uuid is not None:
            self.stored.move_to_end(key)
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
        keys = [key for key in self.stored if key[:2] == store]
        if self.fault == "object flush of a page":
            keys = keys[:1]
        self._drop(client, "object_flushes", keys)

    def flush_range(self, client: str, pool: int, oid: Oid, first: int, count: int) -> None:
        store = self._key(self._pool(client, pool), oid, 0)[:2]
        last = min(first + count - 1, INDEX_MAX) - (self.fault == "range off by one")
        keys = [key for key in self.stored if key[:2] == store and first <= key[2] <= last]
        self._drop(client, "range_flushes", keys)

    def _empty(self, client: str, store: Pool) -> None:
        keys = [key for key in self.stored if key[0] == id(store)]
        self._drop(client, "pool_flushes", keys)

    def flush_pool(self, client: str, pool: int) -> None:
        self._empty(client, self._pool(client, pool))

    # ---- pools -----------------------------------------------------------------------------

    def new_pool(
        self, client: str, *, persistent: bool = False, shared: UUID | None = None
    ) -> NewPool:
        held = self.state.clients[client]
        if persistent and shared is not None:
            raise RejectedError(errno.EPERM)
        if held.settings.frozen:
            raise RejectedError(EFROZEN)
        pool_id = max(held.ids_given, default=-1) + 1
        if self.fault == "reuses ids" and held.pools:
            pool_id = max(held.pools) + 1
        granted = shared is not None and self.state.may_share(client, shared)
        if self.fault == "joins anybody" and shared not in (None, NO_UUID):
            granted = True
        held.ids_given.add(pool_id)
        if granted and shared is not None:
            store = self.state.shared.setdefault(shared, Pool(False, shared, client, []))
            store.join(client, pool_id)
            if not held.resumed:
                store.absent.add(client)
        else:
            store = Pool(persistent, None, client, [(client, pool_id)])
        held.pools[pool_id] = store
        return NewPool(pool_id, granted)

    def destroy_pool(self, client: str, pool: int) -> None:
        store = self._pool(client, pool)
        if not (self.fault == "keeps after leave" and len(store.joins) > 1):
            self._empty(client, store)
        self.state.destroy_pool(client, pool)

    def serve_empty(self, client: str, pool: int) -> None:
        store = self._pool(client, pool)
        if not store.served:
            self._empty(client, store)
        self.state.serve_empty(client, pool)

    # ---- the operator ----------------------------------------------------------------------

    def create_client(self, client: str) -> None:
        if client in self.state.clients:
            raise RejectedError(errno.EEXIST)
        self.state.create_client(client)
        self.counts[client] = collections.Counter()

    def destroy_client(self, client: str) -> None:
        for pool in list(self.state.clients[client].pools):
            self.destroy_pool(client, pool)
        self.state.destroy_client(client)
        self.gone.update(self.counts.pop(client))

    def resume(self, client: str) -> None:
        self.state.resume(client)

    def set(self, client: str, changes: Mapping[str, object]) -> None:
        held = self.state.clients[client]
        settings = dataclasses.replace(held.settings, **changes)  # type: ignore[arg-type]
        if settings.trust_group != held.settings.trust_group and held.pools:
            raise RejectedError(errno.EBUSY)
        held.settings = settings

    def auth_add(self, client: str, uuid: UUID) -> None:
        if uuid in self.state.clients[client].auth:
            raise RejectedError(errno.EEXIST)
        self.state.clients[client].auth.add(uuid)

    def auth_remove(self, client: str, uuid: UUID) -> None:
        if uuid not in self.state.clients[client].auth:
            raise RejectedError(errno.ENOENT)
        self.state.clients[client].auth.remove(uuid)

    def auth_all(self, allow: bool) -> None:
        self.state.auth_all = allow

    def reclaim(self, client: str, bytes_: int) -> int:
        before = self._charged(client, False)
        while before - self._charged(client, False) < bytes_ and self._evict(client):
            pass
        return before - self._charged(client, False)

    def set_budget(self, bytes_: int) -> Shrunk:
        self.budget_bytes = bytes_
        return self.shrink(max(self._total() - bytes_, 0))

    def shrink(self, bytes_: int) -> Shrunk:
        before, pages = self._total(), len(self.stored)
        while before - self._total() < bytes_ and self._evict():
            pass
        returned = before - self._total()
        evicted = pages - len(self.stored)
        # Dictionaries have no sparse extents; the event is reported so that it counts as seen.
        return Shrunk(bytes_, returned, evicted, evicted, self._total() * (returned < bytes_), 0)

    def scrub(self, max_pages: int) -> int:
        return min(max_pages, len(self.stored))

    def set_admission(self, name: str) -> None:
        self.state.second_chance = name == "second-chance"

    # ---- views -----------------------------------------------------------------------------

    def counters(self, client: str | None = None) -> dict[str, int]:
        counts = self.counts[client] if client else sum(self.counts.values(), self.gone.copy())
        return {name: counts[name] for name in {*COUNTERS, *PUT_OUTCOMES, *GET_OUTCOMES, *counts}}

    def client_view(self, client: str) -> ClientView:
        held = self.state.clients[client]
        charged = [stored for stored in self.stored.values() if stored.owner == client]
        persistent = sum(stored.persistent for stored in charged)
        return ClientView(
            pools=frozenset(held.pools),
            auth=frozenset(held.auth),
            settings=held.settings,
            ephemeral_pages=len(charged) - persistent,
            persistent_pages=persistent,
            ephemeral_bytes=self._charged(client, False),
            persistent_bytes=self._charged(client, True),
            resumed=held.resumed,
        )

    def pool_view(self, client: str, pool: int) -> PoolView:
        store = self._pool(client, pool)
        pages = [stored for key, stored in self.stored.items() if key[0] == id(store)]
        first = store.joins[-1][0] if self.fault == "keeps the owner" else store.owner
        return PoolView(
            persistent=store.persistent,
            shared=store.uuid is not None,
            uuid=store.uuid,
            members=len(store.joins),
            owner=first,
            served=store.served,
            pages=len(pages),
            bytes=sum(stored.cost for stored in pages),
        )

    def host_view(self) -> HostView:
        persistent = sum(stored.cost for stored in self.stored.values() if stored.persistent)
        needed = -(-persistent // EXTENT_BYTES) * EXTENT_BYTES
        pages = sum(stored.persistent for stored in self.stored.values())
        return HostView(
            budget_bytes=self.budget_bytes,
            extent_bytes=EXTENT_BYTES,
            resident_bytes=self._total(),
            idle_bytes=0,
            freeable_bytes=self._total() - needed,
            file_bytes=self._total(),
            ephemeral_pages=len(self.stored) - pages,
            persistent_pages=pages,
            objects=len({key[:2] for key in self.stored}),
            clients=len(self.state.clients),
            pools=len(self.state.pools()),
            shared_pools=len(self.state.shared),
            unserved_pools=sum(not pool.served for pool in self.state.shared.values()),
            damaged=0,
        )

    # ---- end and return --------------------------------------------------------------------

    def reopen(self) -> None:
        self.gone.clear()
        for counts in self.counts.values():
            counts.clear()
        self.state.reopen()
        self.remembered.clear()
        if self.fault == "serves at once":
            for pool in self.state.shared.values():
                pool.absent.clear()
        if self.fault == "loses settings":
            for client in self.state.clients.values():
                client.settings = dataclasses.replace(client.settings, frozen=False)
        if self.fault == "loses a page":
            for key, stored in list(self.stored.items()):
                if stored.persistent:
                    del self.stored[key]
                    break

    crash = reopen

    def reconnect(self, client: str) -> None:
        del client  # nothing lies between this system and its caller

    def squeeze(self, taken: bool) -> None:
        self.squeezed = taken

    def close(self) -> None:
        self.stored.clear()
