# SPDX-License-Identifier: GPL-2.0-or-later
"""Guests that share a pool, and the times that they are given."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.server import peer as p
from tests.server.conftest import SHARED, Host
from tests.server.peer import page_of
from tmem_host.native import SessionState

# No test depends on being faster than this.
PATIENT = {"lease_ms": 400, "expel_ms": 48 * 400}
PATIENCE_S = 60.0

MakeHost = Callable[..., Host]


def until(condition: Callable[[], Any], *between: Callable[[], Any]) -> None:
    """Waits for what must come, doing something `between` looks."""
    give_up = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < give_up, "what must come does not"
        for do in between:
            do()
        time.sleep(0.005)


class Two:
    """Two members of one shared pool."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.peers = [host.guest("first"), host.guest("second")]
        self.pools = [peer.new_pool(shared=SHARED.bytes, new_mount=True) for peer in self.peers]

    def echo(self) -> None:
        for peer in self.peers:
            assert peer.echo() == p.DONE

    def served(self) -> bool:
        """Whether it is served once both have echoed."""
        self.echo()
        return not self.host.server.waited_for(SHARED)

    def put(self, index: int) -> None:
        assert self.peers[0].put(self.pools[0], index, page_of(index)) == p.DONE

    def get(self, index: int, who: int = 1) -> bytes | None:
        """Served, whatever the machine does meanwhile."""
        server, name = self.host.server, ("first", "second")[who]
        while True:
            self.echo()
            before = server.session(name).unserved_gets
            page = self.peers[who].get(self.pools[who], index)
            if server.session(name).unserved_gets == before:
                return page


def leave_by_destroy(two: Two) -> None:
    assert two.peers[0].call(p.DESTROY_POOL, pool=two.pools[0]).status == p.DONE


def expel_first(two: Two) -> None:
    until(
        lambda: two.host.server.session("first").state == SessionState.EXPELLED, two.peers[1].echo
    )


@pytest.fixture(params=[1, 2], ids=["one-worker", "two-workers"])
def workers(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture
def patient(make_host: MakeHost, workers: int) -> Host:
    """Expels nobody."""
    return make_host(workers=workers, **PATIENT)


@pytest.fixture
def strict(make_host: MakeHost, workers: int) -> Host:
    """Expels whoever is silent for a second."""
    return make_host(workers=workers, lease_ms=100, expel_ms=1000)
