# SPDX-License-Identifier: GPL-2.0-or-later
"""Commands at the same time: what they say is not mixed up, and none fails unseen."""

import os
import signal
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "scripts" / "side_by_side.py"


def _start(*commands: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, SCRIPT, *commands],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def _run(*commands: str) -> tuple[int, list[str]]:
    with _start(*commands) as process:
        said, _ = process.communicate()
    return process.returncode, said.splitlines()


def test_they_run_at_the_same_time(tmp_path: Path) -> None:
    """Each waits for what the other makes."""
    first, second = tmp_path / "first", tmp_path / "second"
    status, _ = _run(
        f"touch {first}; until [ -e {second} ]; do sleep 0.01; done",
        f"until [ -e {first} ]; do sleep 0.01; done; touch {second}",
    )
    assert status == 0


def test_what_the_second_says_comes_in_one_piece(tmp_path: Path) -> None:
    ended = tmp_path / "ended"
    status, said = _run(
        f"printf 'begun '; until [ -e {ended} ]; do echo line; sleep 0.01; done; echo last",
        f"echo a; sleep 0.1; echo b >&2; touch {ended}",
    )
    assert status == 0
    assert said[0] == "begun line"
    assert said.count("line") > 1
    assert said[said.index("a") + 1] == "b"


def test_any_failure_is_told_and_no_other_is_ended() -> None:
    assert _run("exit 3", "sleep 0.1; echo done") == (1, ["done", "failed: exit 3"])
    assert _run("echo done", "false") == (1, ["done", "failed: false"])


def test_an_interrupt_ends_all(tmp_path: Path) -> None:
    """As a terminal sends it: to all processes at once."""
    started = [tmp_path / "first", tmp_path / "second"]
    with _start(*(f"touch {path}; exec sleep 1000" for path in started)) as process:
        while not all(path.exists() for path in started):
            assert process.poll() is None
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait() == 1
