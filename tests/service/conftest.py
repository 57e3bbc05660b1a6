# SPDX-License-Identifier: GPL-2.0-or-later
"""Services for the tests."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.service.live import Live
from tests.service.states import States


@pytest.fixture
def stopped(arena_path: Path) -> Iterator[Live]:
    """A service that has not been started yet."""
    live = Live(arena_path.parent)
    yield live
    live.close()


@pytest.fixture
def live(stopped: Live) -> Live:
    """A running service."""
    stopped.start()
    return stopped


@pytest.fixture(scope="module")
def states() -> Iterator[States]:
    """A running service with clients in every state, for tests that only look."""
    folder = Path(tempfile.mkdtemp(prefix="tmem-test-", dir="/dev/shm"))
    live = Live(folder)
    try:
        yield States(live)
    finally:
        live.close()
        shutil.rmtree(folder)
