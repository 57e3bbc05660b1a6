# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs the state machine on a kind of system."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.engine.machine.coverage import Coverage
from tests.engine.machine.lifecycle import Lifecycle
from tests.engine.system import System

MORE_ROUNDS = 6


def scale() -> int:
    """How many times the usual number of examples to run: TMEM_TEST_SCALE, 1 if unset."""
    return int(os.environ.get("TMEM_TEST_SCALE", "1"))


def run_machine(
    make_system: Callable[[int], System],
    coverage: Coverage,
    *,
    examples: int,
    steps: int = 60,
    shrink: bool = True,
    until: Collection[str] = (),
) -> None:
    """Drives systems that `make_system` makes from a budget in bytes against the model.

    At scale 1 the examples are the same in every run of the same tests; a larger scale looks
    elsewhere every time. Hypothesis also tries numbers that stand in the modules that are loaded,
    so with other tests in the run other things happen: where one of `until` has not been covered,
    as many examples again are drawn at random, up to MORE_ROUNDS times. Raises `ViolationError`,
    with the steps that led to it.
    """
    machine = type("Machine", (Lifecycle,), {"make_system": make_system, "coverage": coverage})
    for round_ in range(1 + MORE_ROUNDS):
        if round_ and all(coverage.seen[name] for name in until):
            break
        _round(machine, examples, steps, shrink=shrink, derandomize=scale() == 1 and round_ == 0)


def _round(
    machine: type[Lifecycle], examples: int, steps: int, *, shrink: bool, derandomize: bool
) -> None:
    phases = [Phase.explicit, Phase.generate] + [Phase.shrink] * shrink
    run_state_machine_as_test(
        machine,
        settings=settings(
            derandomize=derandomize,
            max_examples=examples * scale(),
            stateful_step_count=steps,
            deadline=None,
            database=None,
            phases=phases,
            suppress_health_check=list(HealthCheck),
        ),
    )
