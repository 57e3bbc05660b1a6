# SPDX-License-Identifier: GPL-2.0-or-later
"""kill -9 of the process that serves several guests under load, again and again."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from uuid import UUID

import pytest

from tests.system.events import await_event
from tests.system.host_process import HostProcess
from tests.system.users import Cluster, Keeper, Node, Swapper, User, wait_for_steps
from tmem_shim.abi import Event
from tmem_shim.records import Config
from tmem_shim.shim import Shim

KILLS = 50
GUESTS = 4
STEPS_MAX = 40
# Nothing is taken for silent because this machine is busy elsewhere.
CONFIG = Config(get_ms=600_000, silent_ms=600_000)


@pytest.fixture
def host(arena_path: Path) -> Iterator[HostProcess]:
    process = HostProcess(arena_path, GUESTS)
    process.start()
    yield process
    process.stop()


def nap() -> None:
    """What the test does while the users go on."""
    time.sleep(0.002)


@pytest.mark.timeout(900)
def test_nothing_that_was_acknowledged_is_lost_and_nothing_old_is_read(host: HostProcess) -> None:
    """F for persistent pages, E and R for shared ones; and everybody goes on by himself."""
    draw = random.Random(1)
    cluster = Cluster(UUID("6ba7b810-9dad-11d1-80b4-00c04fd430c8"))
    with ExitStack() as stack:
        shims = [stack.enter_context(Shim(path, config=CONFIG)) for path in host.sockets]
        for shim in shims:
            shim.wait(60)
        keeper = Keeper("keeper", shims[0], 1)
        swapper = Swapper("swapper", shims[1], 2)
        nodes = [Node(f"node {seed}", shims[seed - 1], seed, cluster) for seed in (3, 4)]
        users: list[User] = [keeper, swapper, *nodes]
        for user in users:
            user.start()
            stack.callback(user.stop)
        for _ in range(KILLS):
            wait_for_steps(users, draw.randrange(1, STEPS_MAX), nap)
            host.kill()
            host.start()
            for shim in shims:
                await_event(shim, Event.RESUMED)
        wait_for_steps(users, STEPS_MAX, nap)
        for user in users:
            user.stop()
            user.check()
        keeper.look_at_all()
        swapper.look_at_all()

        assert keeper.version - keeper.refused > KILLS
        assert sum(node.hits for node in nodes) > KILLS
        for shim in shims:
            counters = shim.counters()
            assert counters["sessions_new"] == 1
            assert counters["sessions_resumed"] >= KILLS
            assert counters["loads_lost"] == 0
