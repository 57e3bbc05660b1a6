# SPDX-License-Identifier: GPL-2.0-or-later
"""The executable specification: clients, pools, objects and pages as plain dictionaries.

An ephemeral page may vanish, but never comes back older, so the model keeps for each handle of an
ephemeral pool the only contents a hit may return; a miss or a refused put strikes them out. Of a
persistent pool it keeps exactly what must be there. What the operator does changes the model by
plain methods; answers to a guest are judged, and an answer that the specification does not allow
raises `ViolationError`, which names the letter (docs/semantics.md) or rule that was broken.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Final
from uuid import UUID

from tests.engine.pages import INDEX_MAX
from tests.engine.system import Handle, Oid, PutAnswer, Settings

NO_UUID: Final = UUID(int=2**128 - 1)  # rule 28: names no shared pool

STORED_REASONS: Final = frozenset({"puts_stored", "puts_replaced"})
# How a put of a page that was not there answers, by the counter that tells why.
REFUSALS: Final = {
    "refused_frozen": PutAnswer.FROZEN,
    "refused_cap": PutAnswer.OVER_LIMIT,
    "refused_quota": PutAnswer.OVER_LIMIT,
    "refused_full": PutAnswer.NO_ROOM,
    "refused_host": PutAnswer.NO_ROOM,
    "refused_unserved": PutAnswer.UNSERVED,
    "refused_admission": PutAnswer.NO_ROOM,
}


class ViolationError(AssertionError):
    """The system answered what the specification does not allow."""


def demand(allowed: bool, law: str, fact: str) -> None:
    """Raises `ViolationError` naming `law` unless `allowed`; `fact` says what happened."""
    if not allowed:
        raise ViolationError(f"{law}: {fact}")


@dataclasses.dataclass(frozen=True, slots=True)
class Limits:
    """Which limits a put ran close enough to that it may be refused for them."""

    cap: bool = False
    quota: bool = False
    full: bool = False
    host: bool = False


@dataclasses.dataclass(slots=True)
class Pool:
    """One store: of a private pool, or of all who joined a shared one."""

    persistent: bool
    uuid: UUID | None  # of a shared pool
    owner: str  # the client its pages are charged to
    joins: list[tuple[str, int]]  # (client, pool id) in the order of joining
    pages: dict[Oid, dict[int, bytes]] = dataclasses.field(default_factory=dict)
    absent: set[str] = dataclasses.field(default_factory=set)  # members that have not resumed

    def join(self, name: str, pool_id: int) -> None:
        self.joins.append((name, pool_id))

    def leave(self, name: str, pool_id: int) -> None:
        """Empties the pool (R(1)); an owner that is no member any more hands it to the member
        that joined first."""
        self.pages.clear()
        self.joins.remove((name, pool_id))
        members = [member for member, _ in self.joins]
        if name not in members:
            self.absent.discard(name)
            if members and self.owner == name:
                self.owner = members[0]

    @property
    def served(self) -> bool:
        return not self.absent

    def find(self, oid: Oid, index: int) -> bytes | None:
        return self.pages.get(oid, {}).get(index)

    def strike(self, oid: Oid, index: int) -> bool:
        """Forgets the page; whether there was one."""
        held = self.pages.get(oid, {})
        found = held.pop(index, None) is not None
        if found and not held:
            del self.pages[oid]
        return found

    def count(self) -> int:
        return sum(map(len, self.pages.values()))

    def handles(self) -> Iterator[tuple[Oid, int]]:
        for oid, held in list(self.pages.items()):
            for index in list(held):
                yield oid, index


@dataclasses.dataclass(slots=True)
class Client:
    """A guest as the host knows it."""

    settings: Settings = dataclasses.field(default_factory=Settings)
    auth: set[UUID] = dataclasses.field(default_factory=set)
    pools: dict[int, Pool] = dataclasses.field(default_factory=dict)
    ids_given: set[int] = dataclasses.field(default_factory=set)
    resumed: bool = True


class Model:
    """The whole host as the specification has it."""

    def __init__(self) -> None:
        self.clients: dict[str, Client] = {}
        self.shared: dict[UUID, Pool] = {}
        self.auth_all = False
        self.second_chance = False

    # ---- the operator's calls ------------------------------------------------------------

    def create_client(self, name: str) -> None:
        self.clients[name] = Client()

    def destroy_client(self, name: str) -> None:
        """Rule 26: leaves the client's shared pools, destroys the others."""
        for pool_id in list(self.clients[name].pools):
            self.destroy_pool(name, pool_id)
        del self.clients[name]

    def resume(self, name: str) -> None:
        self.clients[name].resumed = True
        for pool in self.shared.values():
            pool.absent.discard(name)

    def serve_empty(self, name: str, pool_id: int) -> None:
        pool = self.clients[name].pools[pool_id]
        if not pool.served:
            pool.pages.clear()
            pool.absent.clear()

    def reopen(self) -> None:
        """The arena was closed, or its engine killed, and opened again."""
        self.second_chance = False
        for client in self.clients.values():
            client.resumed = False
        for pool in self.shared.values():
            pool.absent = {name for name, _ in pool.joins}

    # ---- pools ---------------------------------------------------------------------------

    def may_share(self, name: str, uuid: UUID) -> bool:
        """Rules 28 and 30."""
        return uuid != NO_UUID and (self.auth_all or uuid in self.clients[name].auth)

    def new_pool(
        self, name: str, pool_id: int, granted: bool, *, persistent: bool, shared: UUID | None
    ) -> None:
        """Judges the answer to a request for a pool, and has it."""
        client = self.clients[name]
        demand(not client.settings.frozen, "B21", "a frozen client made a pool")
        demand(pool_id not in client.ids_given, "rule 22", f"pool id {pool_id} was given twice")
        expected = shared is not None and self.may_share(name, shared)
        demand(granted == expected, "I", f"shared is {granted} and should be {expected}")
        client.ids_given.add(pool_id)
        if shared is None or not granted:
            client.pools[pool_id] = Pool(persistent, None, name, [(name, pool_id)])
            return
        pool = self.shared.setdefault(shared, Pool(False, shared, name, []))
        pool.join(name, pool_id)
        if not client.resumed:
            pool.absent.add(name)
        client.pools[pool_id] = pool

    def destroy_pool(self, name: str, pool_id: int) -> None:
        """Destroys a private pool, or leaves a shared one and so empties it (R(1))."""
        pool = self.clients[name].pools.pop(pool_id)
        pool.leave(name, pool_id)
        if pool.uuid is not None and not pool.joins:
            del self.shared[pool.uuid]

    def pools(self) -> list[Pool]:
        """Every store once."""
        private = [
            pool
            for client in self.clients.values()
            for pool in client.pools.values()
            if pool.uuid is None
        ]
        return private + list(self.shared.values())

    # ---- pages ---------------------------------------------------------------------------

    def put(
        self,
        handle: Handle,
        page: bytes,
        answer: PutAnswer,
        *,
        reason: str | None,
        limits: Limits,
    ) -> None:
        """Judges `answer` to a put; `reason` is the one counter of outcomes that it moved.

        Without a reason (None) any that fits the answer will do.
        """
        client = self.clients[handle.client]
        pool = client.pools[handle.pool]
        held = pool.find(handle.oid, handle.index)
        # Whether a page was there before: of an ephemeral pool one can only know that none was.
        surely_there = pool.persistent and held is not None
        surely_absent = held is None
        pool.strike(
            handle.oid, handle.index
        )  # B: whatever happened, what was there is not there any more
        there = "there" if surely_there else "absent" if surely_absent else "maybe there"
        fact = f"put answered {answer.name}, counted as {reason}, the page was {there}"

        if answer is PutAnswer.STORED:
            demand(reason in STORED_REASONS or reason is None, "B26", fact)
            demand(pool.served, "R", fact)
            demand(not (client.settings.frozen and surely_absent), "rule 48", fact)
            demand(not (reason == "puts_replaced" and surely_absent), "rule 6", fact)
            demand(not (reason == "puts_stored" and surely_there), "rule 6", fact)
            pool.pages.setdefault(handle.oid, {})[handle.index] = page
            return

        demand(reason in REFUSALS or reason is None, "B26", fact)
        allowed = {
            "refused_frozen": client.settings.frozen and answer is not PutAnswer.DROPPED,
            "refused_cap": limits.cap,
            "refused_quota": limits.quota and pool.persistent,
            "refused_full": limits.full,
            "refused_host": limits.host,
            "refused_unserved": not pool.served,
            "refused_admission": self.second_chance and not pool.persistent,
        }
        if answer is PutAnswer.DROPPED:
            demand(not surely_absent, "rule 4", fact)
        else:
            demand(not surely_there, "rule 4", fact)
            for other, code in REFUSALS.items():
                allowed[other] &= code is answer
        causes = {cause for cause, may_be in allowed.items() if may_be}
        if client.settings.frozen and surely_absent:
            # Nothing else is tried for it, and no room is made at others' cost.
            causes &= {"refused_frozen", "refused_unserved"}
        demand(
            reason in causes or (reason is None and bool(causes)),
            "refusals",
            f"{fact}; allowed: {sorted(causes)} by {limits}",
        )

    def get(self, handle: Handle, answer: bytes | None, *, reason: str) -> None:
        """Judges what a get returned (None: a miss); `reason` is the one counter it moved."""
        pool = self.clients[handle.client].pools[handle.pool]
        held = pool.find(handle.oid, handle.index)
        if reason == "gets_empty":
            demand(answer is None, "B26", "a hit counted as a get on an empty pool")
            demand(not (pool.persistent and pool.pages), "rule 21", "pages are held")
            pool.pages.clear()
            return
        if not pool.served:
            # The handle is as it was: what missed is the pool, not the page.
            demand(answer is None, "R", "a hit in an unserved shared pool")
            demand(reason == "gets_unserved", "B26", f"a get unserved counted as {reason}")
            return
        if answer is None:
            demand(not (pool.persistent and held), "F", "a persistent page is missing")
            demand(reason == "gets_missed", "B26", f"a miss counted as {reason}")
            demand(pool.count() > 0, "rule 21", "a get on an empty pool counted as a miss")
            pool.strike(handle.oid, handle.index)  # C
            return
        demand(reason == "gets_hit", "B26", f"a hit counted as {reason}")
        demand(held is not None, "B, C, E or H", "a hit where nothing may be")
        demand(answer == held, "A or F", "a hit returned other contents than the last put's")
        if pool.uuid is None and not pool.persistent:
            pool.strike(handle.oid, handle.index)  # D

    def flush_range(
        self, name: str, pool_id: int, oid: Oid, first: int, count: int, *, found: int
    ) -> None:
        """Judges the count of pages that a flush of `count` pages of an object removed (E)."""
        pool = self.clients[name].pools[pool_id]
        last = min(first + count - 1, INDEX_MAX)
        indices = [index for index in pool.pages.get(oid, {}) if first <= index <= last]
        for index in indices:
            pool.strike(oid, index)
        self._found(pool, found, len(indices))

    def flush_object(self, name: str, pool_id: int, oid: Oid, *, found: int) -> None:
        """Judges the count of pages that a flush of the object removed."""
        pool = self.clients[name].pools[pool_id]
        self._found(pool, found, len(pool.pages.pop(oid, {})))

    def flush_pool(self, name: str, pool_id: int, *, found: int) -> None:
        """Judges the count of pages that a flush of the pool removed."""
        pool = self.clients[name].pools[pool_id]
        held = pool.count()
        pool.pages.clear()
        self._found(pool, found, held)

    @staticmethod
    def _found(pool: Pool, found: int, held: int) -> None:
        if pool.persistent:
            demand(found == held, "F", f"a flush found {found} pages where {held} were")
        else:
            demand(found <= held, "G", f"a flush found {found} pages where at most {held} were")
