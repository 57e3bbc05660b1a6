# SPDX-License-Identifier: GPL-2.0-or-later
"""What all steps of the state machine stand on: one system, one model, and how to compare them."""

from __future__ import annotations

import collections
import errno
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant

from tests.engine.machine.coverage import Coverage
from tests.engine.model import Limits, Model, Pool, demand
from tests.engine.pages import PAGE_BYTES, Kind
from tests.engine.system import Oid, RejectedError, System

RECORD_BYTES = 64
# The most that one page can be charged, and so the nearest to a limit that a refusal may come.
PAGE_COST_BYTES = PAGE_BYTES + RECORD_BYTES

PUT_OUTCOMES = (
    "puts_stored",
    "puts_replaced",
    "refused_frozen",
    "refused_cap",
    "refused_quota",
    "refused_full",
    "refused_host",
    "refused_unserved",
    "refused_admission",
)
GET_OUTCOMES = ("gets_hit", "gets_missed", "gets_unserved", "gets_damaged", "gets_empty")

# Draws that choose among what there is at that moment, by position.
pick = st.integers(0, 11)

Item = TypeVar("Item")
Result = TypeVar("Result")


def choose(items: Iterable[Item], position: int) -> Item:
    """One of `items`, which must not be empty and can be sorted."""
    ordered: Sequence[Any] = sorted(items)
    chosen: Item = ordered[position % len(ordered)]
    return chosen


class Base(RuleBasedStateMachine):
    """Holds the system, the model, and the checks that hold after every step."""

    make_system: ClassVar[Callable[[int], System]]  # from a budget in bytes
    coverage: ClassVar[Coverage]

    system: System
    model: Model

    def start(self, budget_bytes: int) -> None:
        """To be called by the only initial rule: the order of several is undefined."""
        self.system = type(self).make_system(budget_bytes)
        self.model = Model()
        self.squeezed = False
        self.resident_bytes = self.system.host_view().resident_bytes  # at the last step
        self.serial = 0  # of pages: each put stores what no other put did, unless it repeats
        self.kinds: dict[tuple[int, Oid, int], Kind] = {}  # stored last, by id of the model's pool
        self.tally: dict[str, collections.Counter[str]] = {}  # expected counters by client

    def teardown(self) -> None:
        if hasattr(self, "system"):
            self.close_counters()
            self.system.close()

    def close_counters(self) -> None:
        """To be called before the counters are lost."""
        type(self).coverage.add(self.system.counters())
        for tally in self.tally.values():
            tally.clear()

    def event(self, name: str) -> None:
        type(self).coverage.count(name)

    def forget_kinds(self) -> None:
        """To be called when pools of the model went: a later one may get the same id()."""
        living = {id(pool) for pool in self.model.pools()}
        self.kinds = {handle: kind for handle, kind in self.kinds.items() if handle[0] in living}

    # ---- helpers of the rules --------------------------------------------------------------

    def attempt(self, call: Callable[[], Result], *allowed: int) -> Result | None:
        """The result of `call`, or None if it was rejected with one of the `allowed` errnos."""
        try:
            return call()
        except RejectedError as error:
            demand(error.errno in allowed, "errors", f"{error}, allowed {allowed}")
            return None

    def rejected(self, call: Callable[[], object], code: int) -> None:
        """Demands that `call` is rejected with `code`."""
        try:
            call()
        except RejectedError as error:
            demand(error.errno == code, "errors", f"{error} instead of errno {code}")
        else:
            demand(False, "errors", f"a call succeeded that must fail with errno {code}")

    @property
    def no_memory(self) -> tuple[int, ...]:
        """The error that a call which makes something new may give while memory is short."""
        host = self.system.host_view()
        full = host.resident_bytes - host.idle_bytes + host.extent_bytes > host.budget_bytes
        return (errno.ENOMEM,) if self.squeezed or full else ()

    def moved(self, before: dict[str, int]) -> dict[str, int]:
        """The counters that a call moved, and by how much."""
        after = self.system.counters()
        grown = {name: count - before.get(name, 0) for name, count in after.items()}
        return {name: count for name, count in grown.items() if count}

    def limits(self, pool: Pool) -> Limits:
        """Which limits the next put in `pool` is close to."""
        owner = self.system.client_view(pool.owner)
        host = self.system.host_view()
        cap, quota = owner.settings.cap_bytes, owner.settings.persistent_quota_bytes
        # A persistent put evicts whatever it takes, an ephemeral one gives up after some pages.
        charged = owner.persistent_bytes + (0 if pool.persistent else owner.ephemeral_bytes)
        evictable = host.freeable_bytes if pool.persistent else host.idle_bytes
        needed = host.resident_bytes - evictable + host.extent_bytes
        return Limits(
            cap=cap != 0 and charged + PAGE_COST_BYTES > cap,
            quota=quota != 0 and owner.persistent_bytes + PAGE_COST_BYTES > quota,
            full=needed > host.budget_bytes,
            host=self.squeezed,
        )

    # ---- what holds after every step -------------------------------------------------------

    @invariant()
    def host_agrees(self) -> None:
        host = self.system.host_view()
        pools = self.model.pools()
        persistent = sum(pool.count() for pool in pools if pool.persistent)
        ephemeral = sum(pool.count() for pool in pools if not pool.persistent)
        demand(host.persistent_pages == persistent, "F", f"{host} where {persistent} persistent")
        demand(host.ephemeral_pages <= ephemeral, "G", f"{host} where {ephemeral} ephemeral")
        demand(host.objects <= sum(len(pool.pages) for pool in pools), "rule 8", f"{host}")
        demand(host.clients == len(self.model.clients), "clients", f"{host}")
        demand(host.pools == len(pools), "pools", f"{host} where {len(pools)} pools")
        demand(host.shared_pools == len(self.model.shared), "rule 36", f"{host}")
        unserved = sum(not pool.served for pool in self.model.shared.values())
        demand(host.unserved_pools == unserved, "R", f"{host} where {unserved} unserved")
        demand(host.damaged == 0, "F", f"{host}")
        # A budget that persistent pages do not allow is a target; until it is met nothing grows.
        most = max(host.budget_bytes, self.resident_bytes)
        demand(host.resident_bytes <= most, "budget", f"{host}, {self.resident_bytes} before")
        self.resident_bytes = host.resident_bytes

    @invariant()
    def clients_agree(self) -> None:
        for name, client in self.model.clients.items():
            view = self.system.client_view(name)
            demand(view.pools == set(client.pools), "pools", f"{name}: {view}")
            demand(view.auth == client.auth, "rule 30", f"{name}: {view}")
            demand(view.settings == client.settings, "J", f"{name}: {view} {client.settings}")
            demand(view.resumed == client.resumed, "R", f"{name}: {view}")
            charged = [pool for pool in self.model.pools() if pool.owner == name]
            persistent = sum(pool.count() for pool in charged if pool.persistent)
            ephemeral = sum(pool.count() for pool in charged if not pool.persistent)
            demand(view.persistent_pages == persistent, "J", f"{name}: {view}, not {persistent}")
            demand(view.ephemeral_pages <= ephemeral, "J", f"{name}: {view}, over {ephemeral}")
            counters = self.system.counters(name)
            for outcome in PUT_OUTCOMES + GET_OUTCOMES:
                demand(
                    counters[outcome] == self.tally[name][outcome],
                    "B26",
                    f"{name}: {outcome} is {counters[outcome]}, not {self.tally[name][outcome]}",
                )

    @invariant()
    def pools_agree(self) -> None:
        for name, client in self.model.clients.items():
            for pool_id, pool in client.pools.items():
                view = self.system.pool_view(name, pool_id)
                fact = f"{name}/{pool_id}: {view}"
                demand(view.persistent == pool.persistent, "pools", fact)
                demand(view.shared == (pool.uuid is not None), "I", fact)
                demand(view.uuid == pool.uuid, "B12", fact)
                demand(view.members == len(pool.joins), "rule 37", f"{fact}, not {pool.joins}")
                demand(view.owner == pool.owner, "J", f"{fact}, not {pool.joins}")
                demand(view.served == pool.served, "R", fact)
                most = pool.count()
                least = most if pool.persistent else 0
                demand(least <= view.pages <= most, "pools", f"{fact}, not {most}")
