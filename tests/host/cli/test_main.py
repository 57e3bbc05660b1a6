# SPDX-License-Identifier: GPL-2.0-or-later
"""What holds for every subcommand."""

import importlib.metadata
import subprocess
import sys

import pytest

from tests.host.cli.conftest import Tmem


def test_version(tmem: Tmem) -> None:
    done = tmem("--version")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"tmem {importlib.metadata.version('kvm-tmem')}\n"


@pytest.mark.parametrize(
    "arguments", [(), ("nothing",), ("arena",), ("arena", "info"), ("arena", "info", "a", "b")]
)
def test_wrong_usage_is_status_2(tmem: Tmem, arguments: tuple[str, ...]) -> None:
    done = tmem(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("usage: tmem")


def test_help_names_every_command(tmem: Tmem) -> None:
    done = tmem("--help")
    assert done.returncode == 0
    assert "arena" in done.stdout


def test_a_reader_that_stops_reading_is_no_traceback(arena: str) -> None:
    # A pipe whose reading end is closed before the command starts.
    program = (
        "import os, sys; from tmem_host.cli import main\n"
        "reading, writing = os.pipe(); os.close(reading); os.dup2(writing, 1)\n"
        "sys.exit(main(['arena', 'info', sys.argv[1]]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, arena], stderr=subprocess.PIPE, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (1, "")
