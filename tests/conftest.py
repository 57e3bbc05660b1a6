# SPDX-License-Identifier: GPL-2.0-or-later
"""What all Python tests share: skips that CI does not allow, and room for arenas."""

import os
import shutil
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

NO_SKIP = os.environ.get("TMEM_NO_SKIP") == "1"

# A slow machine is no failure, hence no deadline.
settings.register_profile("tmem", deadline=None, print_blob=True)
settings.load_profile("tmem")


def _forbid_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    # an expected failure is reported as a skip too, and is not one
    if NO_SKIP and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longreprtext
        report.outcome = "failed"
        report.longrepr = f"skipped, which TMEM_NO_SKIP=1 forbids: {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    _forbid_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _forbid_skip(report)
    return report


@pytest.fixture
def arena_path() -> Iterator[Path]:
    """A path on tmpfs at which no arena is yet; whatever the test leaves there is removed."""
    folder = Path(tempfile.mkdtemp(prefix="tmem-test-", dir="/dev/shm"))
    yield folder / "arena"
    shutil.rmtree(folder)
