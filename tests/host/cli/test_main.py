# SPDX-License-Identifier: GPL-2.0-or-later
"""What holds for every subcommand."""

import argparse
import importlib
import importlib.metadata
import subprocess
import sys

import pytest

from tests.host.cli.conftest import Tmem
from tmem_host.cli import COMMANDS


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


@pytest.mark.parametrize("module", COMMANDS)
def test_each_command_is_looked_for_where_it_is(module: str) -> None:
    commands = argparse.ArgumentParser().add_subparsers()
    importlib.import_module(f"tmem_host.cli.{module}").add_parser(commands)
    assert tuple(commands.choices) == COMMANDS[module]


def test_one_command_does_not_load_what_others_need() -> None:
    program = (
        "import sys; from tmem_host.cli import main\n"
        "try: main(['vm', 'create', '--help'])\n"
        "finally: print(*sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    modules = set(done.stdout.split())
    assert "tmem_host.cli.vm" in modules
    assert not {"tmem_host.native", "tmem_host.bench", "rich", "shtab"} & modules


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
