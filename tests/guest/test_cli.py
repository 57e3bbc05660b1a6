# SPDX-License-Identifier: GPL-2.0-or-later
"""The command of a guest: what keeps it from running is one sentence."""

import subprocess
import sys
from pathlib import Path

import pytest

from tmem_guest.cli import MODULES


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


@pytest.mark.parametrize("command", MODULES)
def test_a_command_needs_its_own_module_only(command: str) -> None:
    script = f"""
import sys
from tmem_guest.cli import main
try:
    main([{command!r}, "--help"])
except SystemExit as error:
    assert error.code == 0
print(*sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    loaded = done.stdout.splitlines()[-1].split()
    assert {name for name in set(MODULES.values()) if f"tmem_guest.cli.{name}" in loaded} == {
        MODULES[command]
    }
    assert f"    {command} " in _run("--help").stdout
