# SPDX-License-Identifier: GPL-2.0-or-later
"""The steps of guests: puts, gets and flushes."""

from __future__ import annotations

import collections
import dataclasses
import errno

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from tests.engine.machine.base import (
    GET_OUTCOMES,
    PUT_OUTCOMES,
    Base,
    choose,
    pick,
)
from tests.engine.model import Limits, demand
from tests.engine.pages import INDICES, OIDS, Kind, page
from tests.engine.system import Handle, Oid, PutAnswer

# How far a flush of a range goes, in a step that has no number to spare.
RANGES = {
    Kind.SAME: 0,
    Kind.TINY: 1,
    Kind.SMALL: 2,
    Kind.MEDIUM: 64,
    Kind.LARGE: 2**32,
    Kind.RANDOM: 2**64 - 1,
}
MANY_OBJECTS = 512  # more than the engine's index has room for at first
EQUAL_SERIALS = 3  # pages that several handles hold, for dedup to find


@dataclasses.dataclass(frozen=True)
class Step:
    """One operation on one handle, or on more from that handle on."""

    operation: str
    oid: Oid
    index: int
    kind: Kind
    equal: bool


OPERATIONS = (
    *("put",) * 6,
    *("get",) * 4,
    *("flush_page",) * 2,
    "flush_object",
    "flush_range",
    "flush_pool",
)


def steps(oids: tuple[Oid, ...], indices: tuple[int, ...]) -> st.SearchStrategy[list[Step]]:
    """Runs of operations on these handles."""
    step = st.builds(
        Step,
        operation=st.sampled_from(OPERATIONS),
        oid=st.sampled_from(oids),
        index=st.sampled_from(indices),
        kind=st.sampled_from(Kind),
        equal=st.booleans(),
    )
    return st.lists(step, min_size=1, max_size=16)


class Guest(Base):
    """Puts, gets and flushes by any client on any pool of its own."""

    def somebody(self, client: int) -> str:
        return choose(self.model.clients, client)

    def has_pools(self) -> bool:
        return any(client.pools for client in self.model.clients.values())

    def pool_of_somebody(self, client: int, pool: int) -> tuple[str, int]:
        owners = [name for name, held in self.model.clients.items() if held.pools]
        name = choose(owners, client)
        return name, choose(self.model.clients[name].pools, pool)

    # ---- single operations, judged by the model ----------------------------------------------

    def put(self, handle: Handle, kind: Kind, equal: bool) -> None:
        pool = self.model.clients[handle.client].pools[handle.pool]
        if not equal:
            self.serial += 1
        contents = page(kind, self.serial % EQUAL_SERIALS if equal else EQUAL_SERIALS + self.serial)
        limits = self.limits(pool)
        owner_before = self.system.client_view(pool.owner)
        before = self.system.counters()
        answer = self.system.put(*handle.words, contents)
        moved = self.moved(before)
        outcomes = [outcome for outcome in PUT_OUTCOMES if outcome in moved]
        demand(len(outcomes) == 1 and moved[outcomes[0]] == 1, "B26", f"a put moved {moved}")
        dropped = moved.get("dup_puts_flushed", 0)
        demand(dropped == (answer is PutAnswer.DROPPED), "rule 4", f"{answer.name} moved {moved}")
        self.tally[handle.client].update(outcomes)
        self.model.put(handle, contents, answer, reason=outcomes[0], limits=limits)
        place = (id(pool), handle.oid, handle.index)
        if outcomes[0] == "puts_replaced" and self.kinds.get(place, kind) is not kind:
            self.event("class change")
        self.kinds[place] = kind

        owner = self.system.client_view(pool.owner)
        if answer is PutAnswer.STORED:
            charged = owner.ephemeral_bytes + owner.persistent_bytes
            charged_before = owner_before.ephemeral_bytes + owner_before.persistent_bytes
            cap, quota = owner.settings.cap_bytes, owner.settings.persistent_quota_bytes
            demand(not cap or charged <= max(cap, charged_before), "J", f"over its cap: {owner}")
            demand(
                not quota or owner.persistent_bytes <= max(quota, owner_before.persistent_bytes),
                "J",
                f"over its quota: {owner}",
            )

    def get(self, handle: Handle) -> None:
        before = self.system.counters()
        answer = self.system.get(*handle.words)
        moved = self.moved(before)
        outcomes = [outcome for outcome in GET_OUTCOMES if outcome in moved]
        demand(len(outcomes) == 1 and moved[outcomes[0]] == 1, "B26", f"a get moved {moved}")
        self.tally[handle.client].update(outcomes)
        self.model.get(handle, answer, reason=outcomes[0])

    def flush_page(self, name: str, pool_id: int, oid: Oid, index: int) -> None:
        before = self.system.counters()
        self.system.flush_page(name, pool_id, oid, index)
        moved = self.moved(before)
        demand(moved.get("page_flushes") == 1, "B26", f"a flush moved {moved}")
        found = moved.get("page_flushes_found", 0)
        self.model.flush_range(name, pool_id, oid, index, 1, found=found)

    def flush_object(self, name: str, pool_id: int, oid: Oid) -> None:
        before = self.system.counters()
        self.system.flush_object(name, pool_id, oid)
        found = self.moved(before).get("object_flushes_found", 0)
        self.model.flush_object(name, pool_id, oid, found=found)

    def flush_range(self, name: str, pool_id: int, oid: Oid, first: int, count: int) -> None:
        before = self.system.counters()
        self.system.flush_range(name, pool_id, oid, first, count)
        found = self.moved(before).get("range_flushes_found", 0)
        self.model.flush_range(name, pool_id, oid, first, count, found=found)

    def flush_pool(self, name: str, pool_id: int) -> None:
        before = self.system.counters()
        self.system.flush_pool(name, pool_id)
        found = self.moved(before).get("pool_flushes_found", 0)
        self.model.flush_pool(name, pool_id, found=found)

    def put_many(self, name: str, pool_id: int, handles: list[tuple[Oid, int]]) -> None:
        """Puts same-filled pages; the counters are compared once for all of them."""
        before = self.system.counters()
        near = Limits(cap=True, quota=True, full=True, host=self.squeezed)
        answers: collections.Counter[PutAnswer] = collections.Counter()
        for oid, index in handles:
            self.serial += 1
            contents = page(Kind.SAME, EQUAL_SERIALS + self.serial)
            handle = Handle(name, pool_id, oid, index)
            answer = self.system.put(*handle.words, contents)
            answers[answer] += 1
            self.model.put(handle, contents, answer, reason=None, limits=near)
        moved = self.moved(before)
        outcomes = {outcome: moved[outcome] for outcome in PUT_OUTCOMES if outcome in moved}
        demand(sum(outcomes.values()) == len(handles), "B26", f"{answers} moved {moved}")
        dropped = moved.get("dup_puts_flushed", 0)
        demand(dropped == answers[PutAnswer.DROPPED], "rule 4", f"{answers} moved {moved}")
        self.tally[name].update(outcomes)

    # ---- rules ---------------------------------------------------------------------------------

    def run(self, name: str, pool_id: int, burst: list[Step]) -> None:
        for step in burst:
            handle = Handle(name, pool_id, step.oid, step.index)
            match step.operation:
                case "put":
                    self.put(handle, step.kind, step.equal)
                case "get":
                    self.get(handle)
                case "flush_page":
                    self.flush_page(name, pool_id, step.oid, step.index)
                case "flush_object":
                    self.flush_object(name, pool_id, step.oid)
                case "flush_range":
                    count = RANGES[step.kind]
                    self.flush_range(name, pool_id, step.oid, step.index, count)
                case "flush_pool":
                    self.flush_pool(name, pool_id)

    @precondition(has_pools)
    @rule(client=pick, pool=pick, burst=steps(OIDS, INDICES))
    def use(self, client: int, pool: int, burst: list[Step]) -> None:
        """Operations all over one pool."""
        self.run(*self.pool_of_somebody(client, pool), burst)

    @precondition(has_pools)
    @rule(client=pick, pool=pick, burst=steps(OIDS[:1], INDICES[:2]))
    def use_few_handles(self, client: int, pool: int, burst: list[Step]) -> None:
        """Operations on so few handles that they meet all the time."""
        self.run(*self.pool_of_somebody(client, pool), burst)

    @precondition(has_pools)
    @rule(clients=st.lists(pick, min_size=2, max_size=3), burst=steps(OIDS[:2], INDICES[:3]))
    def use_one_pool_together(self, clients: list[int], burst: list[Step]) -> None:
        """The same operations by several clients, on a shared pool if there is one."""
        for client in clients:
            name, pool_id = self.pool_of_somebody(client, 0)
            held = self.model.clients[name].pools
            shared = [number for number, pool in held.items() if pool.uuid is not None]
            self.run(name, choose(shared or [pool_id], 0), burst)

    @precondition(has_pools)
    @rule(
        client=pick,
        pool=pick,
        oid=st.sampled_from(OIDS),
        pages=st.integers(8, 96),
        kind=st.sampled_from(Kind),
        equal=st.booleans(),
    )
    def fill(
        self, *, client: int, pool: int, oid: Oid, pages: int, kind: Kind, equal: bool
    ) -> None:
        """A run of pages of one kind: what makes room scarce."""
        name, pool_id = self.pool_of_somebody(client, pool)
        for index in range(pages):
            self.put(Handle(name, pool_id, oid, index), kind, equal)

    @precondition(has_pools)
    @rule(client=pick, pool=pick, objects=st.booleans(), pages=st.integers(600, 900))
    def crowd(self, client: int, pool: int, objects: bool, pages: int) -> None:
        """More objects, or more pages of one object, than any small table holds."""
        name, pool_id = self.pool_of_somebody(client, pool)
        objects_before = self.system.host_view().objects
        handles = [((n, 7, 7), 0) if objects else ((7, 7, 7), n) for n in range(pages)]
        self.put_many(name, pool_id, handles)
        if self.system.host_view().objects - objects_before > MANY_OBJECTS:
            self.event("hash resize")

    @precondition(has_pools)
    @rule(client=pick, pool=pick)
    def read_back(self, client: int, pool: int) -> None:
        """Gets every page that may be in a pool."""
        name, pool_id = self.pool_of_somebody(client, pool)
        for oid, index in self.model.clients[name].pools[pool_id].handles():
            self.get(Handle(name, pool_id, oid, index))

    @precondition(has_pools)
    @rule(client=pick, other=pick, pool=pick)
    def reach_for_a_foreign_pool(self, client: int, other: int, pool: int) -> None:
        """A pool id that is another client's only, or nobody's, is no pool (H)."""
        name = self.somebody(client)
        theirs, pool_id = self.pool_of_somebody(other, pool)
        if pool_id in self.model.clients[name].pools:
            return
        before = self.system.counters()
        handle = (pool_id, OIDS[0], INDICES[0])
        self.rejected(lambda: self.system.put(name, *handle, page(Kind.RANDOM, 0)), errno.ENODEV)
        self.rejected(lambda: self.system.get(name, *handle), errno.ENODEV)
        self.rejected(lambda: self.system.flush_page(name, *handle), errno.ENODEV)
        self.rejected(lambda: self.system.flush_object(name, *handle[:2]), errno.ENODEV)
        self.rejected(lambda: self.system.flush_range(name, *handle, 1), errno.ENODEV)
        self.rejected(lambda: self.system.flush_pool(name, pool_id), errno.ENODEV)
        demand(not self.moved(before), "H", f"{name} used {pool_id} of {theirs}")
        self.event("foreign pool refused")
