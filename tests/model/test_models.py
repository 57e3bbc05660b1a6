# SPDX-License-Identifier: GPL-2.0-or-later
"""The runner's own decisions: a runner that cannot fail would make every model pass."""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType

import pytest

HERE = Path(__file__).resolve().parent


def load_runner() -> ModuleType:
    # Without bytecode: the runner has no .py in its name, and its cache would land beside it.
    sys.dont_write_bytecode = True
    loader = SourceFileLoader("model_run", str(HERE / "run"))
    spec = importlib.util.spec_from_loader("model_run", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["model_run"] = module
    loader.exec_module(module)
    return module


runner = load_runner()
CONFIGS, MUTANTS = runner.load_table(HERE / "mutants.toml")
needs_spin = pytest.mark.skipif(
    shutil.which("spin") is None or shutil.which("gcc") is None, reason="needs spin and gcc"
)


def test_property_is_the_last_alternative() -> None:
    said = "pan:1: assertion violated (((v>=f)||(v>=g))||flush_is_final) (at depth 31)"
    assert runner.failed_property(said) == "flush_is_final"
    assert runner.failed_property("pan:1: invalid end state (at depth 3)") is None


@pytest.mark.parametrize(
    "said",
    [
        "pan:1: assertion violated ((a)||no_old_read) (at depth 1)\nerrors: 1",
        "pan:1: invalid end state (at depth 9)\nerrors: 1",
        "error: max search depth too small\nerrors: 0",
        "Warning: Search not completed\nerrors: 0",
        "pan: out of memory\nerrors: 0",
        "",
    ],
)
def test_incomplete_search_does_not_pass(said: str) -> None:
    with pytest.raises(runner.ModelError):
        runner.check_complete(said)


def test_step_counts_as_taken_if_one_use_was() -> None:
    line = next(n for (_, n), s in runner.step_lines("swap").items() if s == "load")
    table = f"swap.pml:1 => D_STEP{line}\n" * 2
    once = f'\tswap.pml:1, state 4, "D_STEP{line}"\n'
    assert runner.steps_reached("swap", once, table) == {"load"}
    assert runner.steps_reached("swap", once * 2, table) == set()


def test_every_rule_has_a_mutant() -> None:
    assert not runner.rules_without_mutant(MUTANTS).problem
    assert runner.rules_without_mutant(MUTANTS[1:]).problem


def test_every_mutant_has_a_counterexample() -> None:
    for mutant in MUTANTS:
        trail = json.loads((HERE / "trails" / f"{mutant.name}.json").read_text())
        assert trail["property"] == mutant.property
        assert trail["steps"]
        for step in trail["steps"]:
            assert {"who", "op"} <= step.keys()


@needs_spin
def test_wrong_expectation_is_noticed() -> None:
    mutant = next(m for m in MUTANTS if m.name == "load-fails")
    wrong = runner.Mutant(mutant.name, mutant.config, mutant.macros, mutant.off, "no_old_read")
    assert "load_never_fails does" in runner.check_mutant(wrong, lambda *_: "").problem
    harmless = runner.Mutant(mutant.name, mutant.config, mutant.config.set, None, mutant.property)
    assert "nothing fails" in runner.check_mutant(harmless, lambda *_: "").problem


@needs_spin
def test_missing_rule_fails_its_scenario() -> None:
    config = next(c for c in CONFIGS if c.name == "swap")
    broken = runner.Config("swap", "swap", {**config.set, "RULE_P": 0}, {}, config.pool, False)
    assert "load_never_fails" in runner.check_config(broken, False).problem
