# SPDX-License-Identifier: GPL-2.0-or-later
"""A command that waits in the kernel for good must not take the agent with it."""

import os
import signal
import time
from typing import Any

import pytest

from tmem_guest.agent import process
from tmem_guest.agent.job import Arguments, Channel
from tmem_guest.agent.loop import Loop
from tmem_guest.agent.process import Exec


def test_who_outlives_sigkill_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "TERM_GRACE_S", 0.01)
    monkeypatch.setattr(process, "KILL_GRACE_S", 0.01)
    said: list[dict[str, Any]] = []
    signals: list[tuple[int, int]] = []
    loop = Loop()
    job = Exec(
        loop,
        Channel(said.append, lambda: True),
        Arguments({"argv": ["sleep", "1000"], "time_limit_s": 0.01}),
        # No process in a test can really be that stubborn.
        kill=lambda group, number: signals.append((group, number)),
    )
    deadline = time.monotonic() + 60
    while not job.done:
        assert time.monotonic() < deadline
        loop.step(wait=True)
    pid = signals[0][0]
    assert signals == [(pid, signal.SIGTERM), (pid, signal.SIGKILL)]
    (error,) = said
    assert error["kind"] == "unkillable"
    assert error["message"] == f"'sleep' (process {pid}) did not end on SIGKILL"
    # It is waited for once it does end, when the next command starts.
    os.kill(pid, signal.SIGKILL)
    while process._unkillable:
        assert time.monotonic() < deadline
        process._reap_unkillable()
        time.sleep(0.01)
    loop.close()
