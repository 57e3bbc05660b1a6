# SPDX-License-Identifier: GPL-2.0-or-later
"""TMEM_NO_SKIP=1 turns every kind of skip into a failure, and nothing else."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).parents[1]

SKIPS = {
    "call": "def test_it():\n    pytest.skip('for a reason')\n",
    "mark": "@pytest.mark.skip(reason='for a reason')\ndef test_it(): pass\n",
    "fixture": "@pytest.fixture\ndef f(): pytest.skip('for a reason')\ndef test_it(f): pass\n",
    "module": "pytest.skip('for a reason', allow_module_level=True)\n",
    "import": "pytest.importorskip('no_such_module_here')\n",
}
OTHERS = {
    "pass": ("def test_it(): pass\n", 0),
    "failure": ("def test_it(): assert False\n", 1),
    "expected failure": ("@pytest.mark.xfail(strict=True)\ndef test_it(): assert False\n", 0),
}


def _run(folder: Path, source: str, no_skip: str) -> subprocess.CompletedProcess[str]:
    (folder / "test_it.py").write_text(f"import pytest\n{source}")
    where = str(folder)
    pytest_here = [sys.executable, "-m", "pytest", "--rootdir", where, "-c", os.devnull, where]
    return subprocess.run(
        [*pytest_here, "-rs", "-p", "tests.conftest", "-p", "no:cacheprovider"],
        cwd=TOP,
        env={**os.environ, "TMEM_NO_SKIP": no_skip},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("source", SKIPS.values(), ids=SKIPS)
def test_a_skip_fails_only_when_forbidden(tmp_path: Path, source: str) -> None:
    allowed = _run(tmp_path, source, "")
    assert allowed.returncode in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)
    assert "1 skipped" in allowed.stdout
    forbidden = _run(tmp_path, source, "1")
    assert forbidden.returncode not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)
    assert "TMEM_NO_SKIP=1 forbids" in forbidden.stdout
    assert "for a reason" in forbidden.stdout or "no_such_module_here" in forbidden.stdout


@pytest.mark.parametrize(("source", "status"), OTHERS.values(), ids=OTHERS)
def test_other_outcomes_stay(tmp_path: Path, source: str, status: int) -> None:
    assert _run(tmp_path, source, "1").returncode == status
