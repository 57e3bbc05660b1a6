# SPDX-License-Identifier: GPL-2.0-or-later
"""The steps that make and end pools, and those that end the engine."""

from __future__ import annotations

import errno
from uuid import UUID

from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

from tests.engine.machine.base import choose, pick
from tests.engine.machine.guest import Guest
from tests.engine.machine.operator import KIB, NAMES, Operator, settings_changes
from tests.engine.model import NO_UUID, demand

# Two that differ in one end only, as a swapped byte order would confuse them (B12).
UUIDS = (
    UUID("0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9"),
    UUID("f90a1b2c-3d4e-5f60-7182-93a4b5c6d7e8"),
)
uuids = st.sampled_from((*UUIDS, *UUIDS, NO_UUID))


class Lifecycle(Guest, Operator):
    """Pools, and the engine's own end and return."""

    @initialize(
        budget_kib=st.sampled_from([192, 256, 384, 640]),
        shared=st.booleans(),
        changes=st.lists(settings_changes, min_size=2, max_size=2),
        groups=st.lists(st.sampled_from([0, 1, 1]), min_size=2, max_size=2),
    )
    def settle(
        self, budget_kib: int, shared: bool, changes: list[dict[str, object]], groups: list[int]
    ) -> None:
        """Two clients with a pool of each kind: most steps have something to work on."""
        self.start(budget_kib * KIB)
        for name, settings, group in zip(NAMES, changes, groups, strict=False):
            self.add_client(name)
            self.change(name, {"trust_group": group})
            self.make_pool(name, True, None)
            self.make_pool(name, False, None)
            if shared:
                self.system.auth_add(name, UUIDS[0])
                self.model.clients[name].auth.add(UUIDS[0])
                self.make_pool(name, False, UUIDS[0])
            self.change(name, settings)

    # ---- pools -----------------------------------------------------------------------------------

    def make_pool(self, name: str, persistent: bool, shared: UUID | None) -> None:
        client = self.model.clients[name]
        if client.settings.frozen:
            self.rejected(
                lambda: self.system.new_pool(name, persistent=persistent, shared=shared), 1000
            )
            return
        made = self.attempt(
            lambda: self.system.new_pool(name, persistent=persistent, shared=shared),
            *self.no_memory,
        )
        if made is None:
            return
        self.model.new_pool(name, made.id, made.shared, persistent=persistent, shared=shared)
        if shared is not None and not made.shared:
            self.event("shared join downgraded")

    @precondition(lambda self: self.model.clients)
    @rule(client=pick, persistent=st.booleans(), shared=st.one_of(st.none(), uuids))
    def new_pool(self, client: int, persistent: bool, shared: UUID | None) -> None:
        name = choose(self.model.clients, client)
        if persistent and shared is not None:
            self.rejected(
                lambda: self.system.new_pool(name, persistent=True, shared=shared), errno.EPERM
            )
        else:
            self.make_pool(name, persistent, shared)

    @precondition(lambda self: self.model.clients)
    @rule(first=pick, others=st.lists(pick, min_size=1, max_size=2), uuid=uuids)
    def join_together(self, first: int, others: list[int], uuid: UUID) -> None:
        """Several clients that may share do so."""
        for client in (first, *others):
            name = choose(self.model.clients, client)
            if uuid not in self.model.clients[name].auth:
                self.system.auth_add(name, uuid)
                self.model.clients[name].auth.add(uuid)
            self.make_pool(name, False, uuid)

    @precondition(Guest.has_pools)
    @rule(client=pick, pool=pick)
    def destroy_pool(self, client: int, pool: int) -> None:
        name, pool_id = self.pool_of_somebody(client, pool)
        store = self.model.clients[name].pools[pool_id]
        owner, held = store.owner, store.count()
        before = self.system.counters()
        self.system.destroy_pool(name, pool_id)
        found = self.moved(before).get("pool_flushes_found", 0)
        demand(found <= held, "G", f"a pool of {held} pages lost {found}")
        demand(not store.persistent or found == held, "F", f"{found} of {held} pages destroyed")
        self.model.destroy_pool(name, pool_id)
        self.forget_kinds()
        if store.joins and store.owner != owner:
            self.event("owner hand-over")

    @precondition(lambda self: self.model.clients)
    @rule(client=st.one_of(pick, st.none()), uuid=uuids, allow=st.booleans())
    def authorise(self, client: int | None, uuid: UUID, allow: bool) -> None:
        """Of one client, or (None) of all clients for all uuids."""
        if client is None:
            self.system.auth_all(allow)
            self.model.auth_all = allow
            return
        name = choose(self.model.clients, client)
        auth = self.model.clients[name].auth
        if allow and uuid in auth:
            self.rejected(lambda: self.system.auth_add(name, uuid), errno.EEXIST)
        elif not allow and uuid not in auth:
            self.rejected(lambda: self.system.auth_remove(name, uuid), errno.ENOENT)
        elif allow:
            self.attempt(lambda: self.system.auth_add(name, uuid), *self.no_memory)
            auth.update(self.system.client_view(name).auth & {uuid})
        else:
            self.system.auth_remove(name, uuid)
            auth.remove(uuid)

    # ---- the engine's end and return -------------------------------------------------------------

    @rule(crash=st.booleans(), resume=st.integers(0, 3))
    def reopen(self, crash: bool, resume: int) -> None:
        """The engine ends, in order or by a crash, and comes back; usually its guests do too."""
        if self.squeezed:
            self.squeezed = False
            self.system.squeeze(False)
        held = sum(pool.count() for pool in self.model.pools())
        self.close_counters()
        if crash and "crash" in self.system.offers:
            self.system.crash()
            self.event("crash")
        else:
            self.system.reopen()
        self.model.reopen()
        self.event("reopen")
        if held:
            self.event("reopen with pages")
        if any(not pool.served for pool in self.model.shared.values()):
            self.event("shared pool unserved")
        if resume or "absence" not in self.system.offers:
            self.resume_all()

    def absent(self) -> list[str]:
        return [name for name, client in self.model.clients.items() if not client.resumed]

    def unserved(self) -> list[tuple[str, int]]:
        return [pool.joins[0] for pool in self.model.shared.values() if not pool.served]

    def resume_all(self) -> None:
        for name in self.absent():
            self.system.resume(name)
            self.model.resume(name)

    @precondition(lambda self: self.model.clients)
    @rule(client=pick, how=st.sampled_from(["resume", "resume all", "serve empty", "reconnect"]))
    def come_back(self, client: int, how: str) -> None:
        """A guest, or all of them, are there again; or will not be."""
        match how:
            case "resume":
                # Also of a client that never went, which changes nothing.
                name = choose(self.absent() or self.model.clients, client)
                self.system.resume(name)
                self.model.resume(name)
            case "resume all":
                self.resume_all()
            case "serve empty" if self.model.shared:
                served = [pool.joins[0] for pool in self.model.shared.values()]
                name, pool_id = choose(self.unserved() or served, client)
                self.system.serve_empty(name, pool_id)
                self.model.serve_empty(name, pool_id)
            case "reconnect" if "reconnect" in self.system.offers:
                # Losing the channel costs speed, never correctness.
                self.system.reconnect(choose(self.model.clients, client))
                self.event("reconnect")
