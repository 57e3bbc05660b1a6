# SPDX-License-Identifier: GPL-2.0-or-later
"""What a user sees of long work."""

import io

import pytest

from tmem_host.provision.progress import Silent, progress_on


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_plain_lines() -> None:
    stream = io.StringIO()
    with progress_on(stream).task("compiling", 8) as task:
        for _ in range(8):
            task.advance()
    *lines, last = stream.getvalue().splitlines()
    assert lines == ["compiling ...", "compiling: 25 %", "compiling: 50 %", "compiling: 75 %"]
    assert last.startswith("compiling: done in ")


def test_work_that_fails_is_not_called_done() -> None:
    stream = io.StringIO()
    with pytest.raises(ZeroDivisionError), progress_on(stream).task("compiling", 2):
        raise ZeroDivisionError
    assert stream.getvalue() == "compiling ...\n"


def test_a_bar_on_a_terminal() -> None:
    stream = _Terminal()
    progress = progress_on(stream)
    with progress.task("compiling [all]", 8) as task:
        task.advance(8)
    progress.note("kept [here]")
    assert "8/8" in stream.getvalue()
    assert "compiling [all]" in stream.getvalue()
    assert "kept [here]" in stream.getvalue()


def test_silence(capfd: pytest.CaptureFixture[str]) -> None:
    with Silent().task("compiling", 1) as task:
        task.advance()
    Silent().note("nothing")
    assert capfd.readouterr() == ("", "")
