# SPDX-License-Identifier: GPL-2.0-or-later
"""The state machine itself is tested: it accepts a system that obeys the specification, and finds
each fault of one that does not."""

from __future__ import annotations

import functools

import pytest

from tests.engine.faults import FAULTS
from tests.engine.machine.coverage import COUNTERS, EVENTS, Coverage
from tests.engine.machine.run import run_machine
from tests.engine.memory_system import MemorySystem
from tests.engine.model import ViolationError

pytestmark = pytest.mark.slow

# A page that a system gives up early is a loss, not a lie (G).
ALLOWED = ("exclusive shared get",)


def test_a_system_that_obeys_is_accepted() -> None:
    """And the machine reaches whatever the engine's run must have covered."""
    coverage = Coverage()
    run_machine(MemorySystem, coverage, examples=20)
    assert coverage.missing(COUNTERS[:2] + EVENTS[:1]) == []


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault not in ALLOWED])
def test_a_fault_is_found(fault: str) -> None:
    """Each fault is one of docs/semantics.md's defects, or breaks a guarantee or rule of it."""
    make_system = functools.partial(MemorySystem, fault=fault)
    with pytest.raises((ViolationError, ExceptionGroup)) as caught:
        run_machine(make_system, Coverage(), examples=300, shrink=False)
    errors = caught.value.exceptions if isinstance(caught.value, ExceptionGroup) else [caught.value]
    assert all(isinstance(error, ViolationError) for error in errors)


@pytest.mark.parametrize("fault", ALLOWED)
def test_what_guarantee_g_allows_is_accepted(fault: str) -> None:
    """The specification does not ask for more than it says."""
    run_machine(functools.partial(MemorySystem, fault=fault), Coverage(), examples=10)
