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

from tests.engine.machine.base import GET_OUTCOMES, PUT_OUTCOMES
from tests.engine.machine.coverage import COUNTERS
from tests.engine.memory_pages import EXTENT_BYTES, MemoryPages
from tests.engine.model import NO_UUID, Pool
from tests.engine.system import (
    ClientView,
    HostView,
    NewPool,
    PoolView,
    RejectedError,
    Shrunk,
)

EFROZEN: Final = 1000


class MemorySystem(MemoryPages):
    """See the module's text. `fault` is one of `FAULTS`, or None."""

    offers = frozenset({"absence", "crash", "reconnect", "squeeze"})

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
        before = self.stored.charged_bytes(client, False)
        while before - self.stored.charged_bytes(client, False) < bytes_ and self._evict(client):
            pass
        return before - self.stored.charged_bytes(client, False)

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
        return ClientView(
            pools=frozenset(held.pools),
            auth=frozenset(held.auth),
            settings=held.settings,
            ephemeral_pages=self.stored.charged_pages(client, False),
            persistent_pages=self.stored.charged_pages(client, True),
            ephemeral_bytes=self.stored.charged_bytes(client, False),
            persistent_bytes=self.stored.charged_bytes(client, True),
            resumed=held.resumed,
        )

    def pool_view(self, client: str, pool: int) -> PoolView:
        store = self._pool(client, pool)
        first = store.joins[-1][0] if self.fault == "keeps the owner" else store.owner
        return PoolView(
            persistent=store.persistent,
            shared=store.uuid is not None,
            uuid=store.uuid,
            members=len(store.joins),
            owner=first,
            served=store.served,
            pages=self.stored.pages_of_pool(id(store)),
            bytes=self.stored.bytes_of_pool(id(store)),
        )

    def host_view(self) -> HostView:
        pages, bytes_ = self.stored.persistent
        needed = -(-bytes_ // EXTENT_BYTES) * EXTENT_BYTES
        return HostView(
            budget_bytes=self.budget_bytes,
            extent_bytes=EXTENT_BYTES,
            resident_bytes=self._total(),
            idle_bytes=0,
            freeable_bytes=self._total() - needed,
            file_bytes=self._total(),
            ephemeral_pages=len(self.stored) - pages,
            persistent_pages=pages,
            objects=self.stored.objects,
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
