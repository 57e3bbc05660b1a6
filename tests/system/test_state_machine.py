# SPDX-License-Identifier: GPL-2.0-or-later
"""The engine's state machine, through shim, socket and server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.engine.arenas import small_host, why_no_mount
from tests.engine.engine_system import MAX_BYTES
from tests.engine.machine.coverage import Coverage
from tests.engine.machine.run import run_machine
from tests.system.shim_system import ShimSystem

pytestmark = pytest.mark.slow

EXAMPLES = 40

# What this machine must have seen for the run to prove something about the way to the engine.
COUNTERS = (
    "puts_stored",
    "puts_replaced",
    "refused_frozen",
    "refused_cap",
    "refused_quota",
    "refused_full",
    "gets_hit",
    "gets_missed",
    "gets_empty",
    "hits_other",
    "dup_puts_flushed",
    "page_flushes_found",
    "object_flushes_found",
    "range_flushes_found",
    "pool_flushes_found",
    "evicted",
)
EVENTS = ("reopen with pages", "crash", "reconnect", "shared join downgraded")


@pytest.fixture(scope="module")
def coverage() -> Coverage:
    """What the machine saw, over all examples."""
    return Coverage()


@pytest.fixture(scope="module")
def make_system() -> Iterator[Callable[[int], ShimSystem]]:
    """Systems on a host whose memory can be taken away."""
    reason = why_no_mount()
    if reason is not None:
        pytest.skip(reason)
    with ExitStack() as stack:
        directory: Path = stack.enter_context(small_host(2 * MAX_BYTES))

        def make(budget_bytes: int) -> ShimSystem:
            return ShimSystem(directory, budget_bytes, squeezable=True)

        yield make


@pytest.mark.timeout(900)
def test_guests_at_the_end_of_sockets_get_what_the_model_says(
    make_system: Callable[[int], ShimSystem], coverage: Coverage
) -> None:
    """With channels that break, services that restart or crash, guests that resume."""
    run_machine(make_system, coverage, examples=EXAMPLES, until=COUNTERS + EVENTS)


@pytest.mark.parametrize("name", COUNTERS + EVENTS)
def test_the_run_covered(coverage: Coverage, name: str) -> None:
    assert coverage.seen, "this test needs the one before it in the same run"
    assert coverage.seen[name] > 0, f"never happened in {EXAMPLES} examples: {name}"
