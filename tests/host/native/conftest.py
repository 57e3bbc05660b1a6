# SPDX-License-Identifier: GPL-2.0-or-later
"""An engine with one client and one pool of each kind."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tmem_host.native import Client, Engine, Pool


@pytest.fixture
def engine(arena_path: Path) -> Iterator[Engine]:
    with Engine(arena_path, budget_bytes=16 << 20) as engine:
        yield engine


@pytest.fixture
def client(engine: Engine) -> Client:
    return engine.create_client("guest")


@pytest.fixture
def persistent(client: Client) -> Pool:
    return client.new_pool(persistent=True)


@pytest.fixture
def ephemeral(client: Client) -> Pool:
    return client.new_pool()
