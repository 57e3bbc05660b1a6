# SPDX-License-Identifier: GPL-2.0-or-later
"""Drives the engine and the model side by side, and fails unless the run was thorough.

TMEM_TEST_SCALE=N runs N times as many examples, other ones every time. The tests after the first
look at what all its examples saw together.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.engine.arenas import small_host, why_no_mount
from tests.engine.engine_system import MAX_BYTES, EngineSystem
from tests.engine.machine.coverage import COUNTERS, EVENTS, SQUEEZED_COUNTERS, Coverage
from tests.engine.machine.run import run_machine

pytestmark = pytest.mark.slow

EXAMPLES = 200


@pytest.fixture(scope="module")
def coverage() -> Coverage:
    """What the machine saw, over all examples."""
    return Coverage()


@pytest.fixture(scope="module")
def make_system() -> Iterator[Callable[[int], EngineSystem]]:
    """Engines, where possible on a host whose memory can be taken away."""
    with ExitStack() as stack:
        squeezable = why_no_mount() is None
        if squeezable:
            # Room for two arenas: a crash is a copy.
            directory = stack.enter_context(small_host(2 * MAX_BYTES))
        else:
            name = stack.enter_context(tempfile.TemporaryDirectory(dir="/dev/shm"))
            directory = Path(name)

        def make(budget_bytes: int) -> EngineSystem:
            return EngineSystem(directory, budget_bytes, squeezable=squeezable)

        yield make


def test_the_engine_does_what_the_model_says(
    make_system: Callable[[int], EngineSystem], coverage: Coverage
) -> None:
    """Guarantees A-J and R(1), in any order of operations that the machine came up with."""
    run_machine(make_system, coverage, examples=EXAMPLES, until=COUNTERS + EVENTS)


@pytest.mark.parametrize("name", COUNTERS + EVENTS)
def test_the_run_covered(coverage: Coverage, name: str) -> None:
    """Each refusal reason, encoding and turn of life happened, or the run proves too little."""
    assert coverage.seen, "this test needs the one before it in the same run"
    assert coverage.seen[name] > 0, f"never happened in {EXAMPLES} examples: {name}"


@pytest.mark.parametrize("name", SQUEEZED_COUNTERS)
def test_the_run_covered_a_full_host(coverage: Coverage, name: str) -> None:
    """Refusals for want of the host's memory need a host that is short of it."""
    reason = why_no_mount()
    if reason is not None:
        pytest.skip(reason)
    assert coverage.seen[name] > 0, f"never happened in {EXAMPLES} examples: {name}"
