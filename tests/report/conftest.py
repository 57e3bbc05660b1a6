# SPDX-License-Identifier: GPL-2.0-or-later
"""Results that are made once for all tests of reports."""

from pathlib import Path

import pytest

from tests.report.synthetic import Plan, write


@pytest.fixture(scope="session")
def full(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five arms, two disk profiles, four sizes, two rounds."""
    return write(tmp_path_factory.mktemp("full") / "result", Plan(rounds=2))


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As that of the demonstration: two arms, three sizes, one round."""
    plan = Plan(arms=("none", "shared"), profiles=("native",), memory_mib=(80, 112, 160), rounds=1)
    return write(tmp_path_factory.mktemp("small") / "result", plan)
