# SPDX-License-Identifier: GPL-2.0-or-later
"""The steps of the operator: clients, their settings, and the host's memory."""

from __future__ import annotations

import collections
import dataclasses
import errno

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from tests.engine.machine.base import Base, choose, pick
from tests.engine.model import demand
from tests.engine.system import HostView, Shrunk

NAMES = ("alpha", "beta", "gamma", "delta")
KIB = 1024
EXTENT_PAGES = 256  # more than an extent of 16 KiB holds: scrubbing ends with a whole one

settings_changes = st.fixed_dictionaries(
    {},
    optional={
        "weight": st.sampled_from([0, 1, 2, 5]),
        "cap_bytes": st.sampled_from([0, 24 * KIB, 96 * KIB]),
        "persistent_quota_bytes": st.sampled_from([0, 16 * KIB, 64 * KIB]),
        "encoding": st.sampled_from(["RAW", "LZ4", "ZSTD"]),
        "dedup": st.booleans(),
        "frozen": st.sampled_from([False, False, True]),
    },
)


class Operator(Base):
    """Everything an operator may do while guests run."""

    # ---- clients -------------------------------------------------------------------------------

    @rule(name=st.sampled_from(NAMES), destroy=st.integers(0, 3))
    def create_client(self, name: str, destroy: int) -> None:
        if name not in self.model.clients:
            self.add_client(name)
        elif destroy == 0 and len(self.model.clients) > 1:
            self.system.destroy_client(name)
            self.model.destroy_client(name)
            self.forget_kinds()
        else:
            self.rejected(lambda: self.system.create_client(name), errno.EEXIST)

    def add_client(self, name: str) -> bool:
        """Whether there was memory for it."""
        before = len(self.model.clients)
        self.attempt(lambda: self.system.create_client(name), *self.no_memory)
        if self.system.host_view().clients == before:
            return False
        self.model.create_client(name)
        self.tally[name] = collections.Counter()
        return True

    @precondition(lambda self: self.model.clients)
    @rule(
        client=pick,
        changes=settings_changes,
        group=st.one_of(st.none(), st.sampled_from([0, 1, 1, 2])),
    )
    def set(self, client: int, changes: dict[str, object], group: int | None) -> None:
        name = choose(self.model.clients, client)
        if group is None:
            self.change(name, changes)
        else:
            self.change_trust_group(name, group)

    def change(self, name: str, changes: dict[str, object]) -> None:
        client = self.model.clients[name]
        self.system.set(name, changes)
        client.settings = dataclasses.replace(client.settings, **changes)  # type: ignore[arg-type]

    def change_trust_group(self, name: str, group: int) -> None:
        """A trust group may only change while no pool of the client holds what it shares."""
        held = self.model.clients[name]
        changes: dict[str, object] = {"trust_group": group}
        if held.pools and group != held.settings.trust_group:
            self.rejected(lambda: self.system.set(name, changes), errno.EBUSY)
        else:
            self.change(name, changes)

    # ---- the host's memory ---------------------------------------------------------------------

    @rule(
        action=st.sampled_from(["set_budget", "shrink", "reclaim", "scrub", "admit", "squeeze"]),
        client=pick,
        kib=st.sampled_from([0, 4, 16, 64, 128, 192, 256, 384, 640, 1024]),
    )
    def manage_memory(self, action: str, client: int, kib: int) -> None:
        match action:
            case "set_budget":
                self.set_budget(kib * KIB)
            case "shrink":
                self.shrink(kib * KIB)
            case "reclaim" if self.model.clients:
                self.reclaim(choose(self.model.clients, client), kib * KIB)
            case "scrub":
                looked = self.system.scrub(kib)
                limit = kib + EXTENT_PAGES
                demand(0 <= looked <= limit, "scrub", f"looked at {looked} of {kib} pages")
            case "admit":
                self.model.second_chance = not self.model.second_chance
                name = "second-chance" if self.model.second_chance else "always"
                self.system.set_admission(name)
            case "squeeze" if "squeeze" in self.system.offers:
                # Something else takes all of the host's memory, or gives it back.
                self.squeezed = not self.squeezed
                self.system.squeeze(self.squeezed)

    def set_budget(self, bytes_: int) -> None:
        before = self.system.host_view()
        report = self.system.set_budget(bytes_)
        after = self.system.host_view()
        demand(after.budget_bytes == bytes_, "budget", f"{after}")
        excess = before.resident_bytes - bytes_
        if excess > 0:
            self.check_shrunk(report, excess, before, after)

    def shrink(self, bytes_: int) -> None:
        before = self.system.host_view()
        report = self.system.shrink(bytes_)
        after = self.system.host_view()
        demand(report.asked_bytes == bytes_, "shrink", f"{report}")
        self.check_shrunk(report, bytes_, before, after)

    def check_shrunk(self, report: Shrunk, asked: int, before: HostView, after: HostView) -> None:
        """Demands that a report is true, and says where all of the `asked` bytes are."""
        fact = f"{report}: {before} {after}"
        returned = before.resident_bytes - after.resident_bytes
        demand(report.returned_bytes == returned, "shrink", fact)
        demand(before.file_bytes - after.file_bytes == returned, "shrink", fact)
        evicted = before.ephemeral_pages - after.ephemeral_pages
        demand(report.evicted_pages == evicted, "shrink", fact)
        wanted = min(asked, before.freeable_bytes)
        demand(wanted <= returned <= before.freeable_bytes, "freeable", fact)
        explained = returned + report.held_persistent_bytes
        demand(report.held_busy_bytes == 0, "shrink", f"nobody else is there: {fact}")
        demand(explained >= min(asked, before.resident_bytes), "shrink", fact)
        if report.returned_bytes:
            self.event("memory returned")
        if report.moved_pages:
            self.event("pages moved")

    def reclaim(self, name: str, bytes_: int) -> None:
        before = self.system.client_view(name)
        freed = self.system.reclaim(name, bytes_)
        after = self.system.client_view(name)
        demand(freed == before.ephemeral_bytes - after.ephemeral_bytes, "J", f"{freed} {before}")
        demand(freed >= min(bytes_, before.ephemeral_bytes), "reclaim", f"{freed} of {bytes_}")
        demand(after.persistent_bytes == before.persistent_bytes, "rule 18", f"{before} {after}")
