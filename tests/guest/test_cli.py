# SPDX-License-Identifier: GPL-2.0-or-later
"""The command of a guest: what keeps it from running is one sentence."""

import subprocess
import sys
from pathlib import Path

import pytest


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("tmem-guest")), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def test_no_port() -> None:
    done = _run("agent", "--port", "/dev/virtio-ports/none")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "tmem-guest: cannot open the port /dev/virtio-ports/none: No such file or directory;"
        " the guest needs a virtio-serial port of that name\n"
    )


@pytest.mark.parametrize("arguments", [[], ["nonsense"], ["agent", "--nonsense"], ["agent", "x"]])
def test_wrong_usage(arguments: list[str]) -> None:
    done = _run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert "usage: tmem-guest" in done.stderr
