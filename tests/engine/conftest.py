# SPDX-License-Identifier: GPL-2.0-or-later
"""Engines with small extents, so that a few hundred pages meet every limit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from uuid import UUID

import pytest

from tests.engine.arenas import EXTENT_BYTES, copy_arena
from tmem_host.native import Client, Engine, Pool

MIB = 1 << 20
SHARED = UUID("6ba7b810-9dad-11d1-80b4-00c04fd430c8")

OpenEngine = Callable[..., Engine]
Restart = Callable[[Engine], Engine]


@pytest.fixture
def open_engine(arena_path: Path) -> Iterator[OpenEngine]:
    """Opens the test's arena, with a budget in bytes; closes what is open when the test ends."""
    with ExitStack() as stack:

        def open_(budget_bytes: int = 4 * MIB, path: Path = arena_path) -> Engine:
            engine = Engine(
                path, budget_bytes=budget_bytes, max_bytes=64 * MIB, extent_bytes=EXTENT_BYTES
            )
            return stack.enter_context(engine)

        yield open_


@pytest.fixture
def engine(open_engine: OpenEngine) -> Engine:
    return open_engine()


@pytest.fixture
def client(engine: Engine) -> Client:
    return engine.create_client("guest")


@pytest.fixture
def other(engine: Engine) -> Client:
    return engine.create_client("other")


@pytest.fixture
def ephemeral(client: Client) -> Pool:
    return client.new_pool()


@pytest.fixture
def persistent(client: Client) -> Pool:
    return client.new_pool(persistent=True)


@pytest.fixture(params=["ephemeral", "persistent"])
def private(request: pytest.FixtureRequest, client: Client) -> Pool:
    """A private pool of each kind in turn."""
    return client.new_pool(persistent=request.param == "persistent")


@pytest.fixture(params=["ephemeral", "persistent", "shared"])
def pool(request: pytest.FixtureRequest, client: Client) -> Pool:
    """A pool of each kind in turn."""
    if request.param == "shared":
        client.auth_add(SHARED)
        return client.new_pool(shared=SHARED)
    return client.new_pool(persistent=request.param == "persistent")


@pytest.fixture
def shared(client: Client, other: Client) -> tuple[Pool, Pool]:
    """One shared pool as its owner `client` and as its second member `other` name it."""
    for member in (client, other):
        member.auth_add(SHARED)
    return client.new_pool(shared=SHARED), other.new_pool(shared=SHARED)


@pytest.fixture(params=["closed", "copied"])
def restart(request: pytest.FixtureRequest, open_engine: OpenEngine, arena_path: Path) -> Restart:
    """Opens again what an engine left: after closing it, or what was in its file at that moment,
    as after a kill."""

    def restart_(engine: Engine) -> Engine:
        if request.param == "closed":
            engine.close()
            return open_engine(path=Path(engine.path))
        copy = arena_path.with_name(f"{Path(engine.path).name}-copy")
        copy_arena(engine.path, copy)
        return open_engine(path=copy)

    return restart_
