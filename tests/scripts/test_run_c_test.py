# SPDX-License-Identifier: GPL-2.0-or-later
"""The runner of C tests: what counts as success, and that a failure cannot look like one."""

import os
import subprocess
import time
from pathlib import Path

import pytest

RUNNER = Path(__file__).parents[2] / "scripts" / "run-c-test"


def _run(
    folder: Path, script: str, *arguments: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    program = folder / "test_thing"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    inherited = {name: os.environ[name] for name in ("PATH",)}
    return subprocess.run(
        [RUNNER, "debug", program, *arguments],
        env={**inherited, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_success_is_one_line_with_the_summary(tmp_path: Path) -> None:
    done = _run(tmp_path, "echo detail; echo '12 checks'; echo")
    assert done.returncode == 0
    (line,) = done.stdout.splitlines()
    assert line.split() == ["ok", "debug", "test_thing", "0", "s", "12", "checks"]


def test_arguments_are_passed_on(tmp_path: Path) -> None:
    assert "got -a b" in _run(tmp_path, 'echo "got $*"', "-a", "b").stdout


@pytest.mark.parametrize("status", [1, 2, 76, 78, 255])
def test_any_other_status_fails_and_shows_the_output(tmp_path: Path, status: int) -> None:
    done = _run(tmp_path, f"echo out; echo err >&2; exit {status}")
    assert done.returncode == 1
    assert done.stdout.startswith("FAILED")
    assert f"status {status}" in done.stdout
    assert "    out\n    err\n" in done.stdout


def test_a_signal_fails(tmp_path: Path) -> None:
    done = _run(tmp_path, "kill -SEGV $$")
    assert done.returncode == 1
    assert done.stdout.startswith("FAILED")


def test_a_program_that_hangs_fails(tmp_path: Path) -> None:
    done = _run(tmp_path, "echo stuck; exec sleep 60", TMEM_C_TEST_SECONDS="1")
    assert done.returncode == 1
    assert "did not end within 1 s" in done.stdout


def _alive(pid: str) -> bool:
    try:
        return ") Z " not in Path("/proc", pid, "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.timeout(60)
def test_the_program_ends_with_its_runner(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    program = tmp_path / "test_thing"
    program.write_text(
        f"#!/bin/sh\nsleep 100 & echo $! $$ >{pids}.new; mv {pids}.new {pids}; wait\n"
    )
    program.chmod(0o755)
    with subprocess.Popen([RUNNER, "debug", program], stdout=subprocess.PIPE) as runner:
        while not pids.exists():
            time.sleep(0.01)
        runner.terminate()
        assert runner.wait() == 143
    while any(_alive(pid) for pid in pids.read_text().split()):
        time.sleep(0.01)


def test_a_skip_says_why_and_may_be_forbidden(tmp_path: Path) -> None:
    done = _run(tmp_path, "echo 'no ptrace here'; exit 77")
    assert done.returncode == 0
    assert done.stdout.startswith("SKIPPED")
    assert "no ptrace here" in done.stdout
    done = _run(tmp_path, "echo 'no ptrace here'; exit 77", TMEM_NO_SKIP="1")
    assert done.returncode == 1
    assert done.stdout.startswith("FAILED")
    assert "TMEM_NO_SKIP=1 forbids" in done.stdout
