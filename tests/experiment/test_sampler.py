# SPDX-License-Identifier: GPL-2.0-or-later
"""What the sampler makes of looks at a shared pool."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID

import pytest

from tmem_host.control import ControlError
from tmem_host.experiment import sampler
from tmem_host.experiment.plan import Point
from tmem_host.experiment.records import Sample
from tmem_host.experiment.sampler import Sampler
from tmem_host.experiment.stage import Stage

SHARED = UUID(int=7)
OTHER = UUID(int=8)
NAMES = ("node1", "node2")
POINT = Point(round=1, arm="shared", profile="native", memory_mib=128)
LOOK_S = 0.001

# At each look: what each guest is told of its pools.
Look = dict[str, list[dict[str, Any]]]


def pool(*waits_for: str, uuid: UUID = SHARED) -> dict[str, Any]:
    return {"uuid": str(uuid), "waits_for": list(waits_for)}


class Service:
    """Answers for as many looks as there are, and is then gone."""

    def __init__(self, looks: list[Look]) -> None:
        self._looks = looks
        self._asked = 0

    @contextmanager
    def connect(self) -> Iterator["Service"]:
        yield self

    def call(self, method: str, client: str = "") -> dict[str, Any]:
        if method == "arena.usage":
            return {"resident_bytes": 4096}
        number = self._asked // len(NAMES)
        self._asked += 1
        if number == len(self._looks):
            raise ControlError("is gone")
        return {"pool_list": self._looks[number][client]}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampler, "_LOOK_S", LOOK_S)
    monkeypatch.setattr(sampler, "resident_bytes", dict)


def sampled(looks: list[Look], shared: UUID | None = SHARED) -> tuple[Sampler, list[Sample]]:
    """A sampler that has looked so often, and what it has written."""
    guests = [SimpleNamespace(name=name, pid=lambda: 1) for name in NAMES]
    stage = SimpleNamespace(guests=guests, shared=shared, service=Service(looks))
    written: list[Sample] = []
    with Sampler(cast(Stage, stage), POINT, "reread", 0.0, written.append) as found:
        if shared is not None:
            found._thread.join()  # it ends with the service
    return found, written


def test_the_pool_is_served_when_nobody_is_waited_for() -> None:
    served = {name: [pool("node9", uuid=OTHER), pool()] for name in NAMES}
    found, _ = sampled([served] * 4)
    assert found.served_ratio == 1
    assert found.blocked_by == {}


def test_whoever_is_waited_for_keeps_it_from_being_served() -> None:
    served = {name: [pool()] for name in NAMES}
    waits = {name: [pool("node2")] for name in NAMES}
    both = {"node1": [pool("node2")], "node2": [pool("node1")]}
    found, _ = sampled([served, waits, both, served, waits])
    assert found.served_ratio == 2 / 5
    assert found.blocked_by == pytest.approx({"node2": 3 * LOOK_S, "node1": LOOK_S})


def test_a_guest_that_was_expelled_is_not_served() -> None:
    gone = {"node1": [pool(uuid=OTHER)], "node2": [pool()]}
    found, _ = sampled([gone])
    assert found.served_ratio == 0
    assert found.blocked_by == pytest.approx({"node1": LOOK_S})


def test_where_nothing_is_shared_there_is_no_share_of_time() -> None:
    found, written = sampled([], shared=None)
    assert found.served_ratio is None
    assert [(each.phase, each.arena_resident_bytes) for each in written] == [("reread", 4096)]


def test_the_host_is_sampled_meanwhile() -> None:
    _, written = sampled([{name: [pool()] for name in NAMES}])
    assert len(written) == 1
    assert written[0].guest_resident_bytes == dict.fromkeys(NAMES, 1)
    assert written[0].mem_available_bytes > 0
