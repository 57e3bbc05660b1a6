# SPDX-License-Identifier: GPL-2.0-or-later
"""The operator's command, `tmem`.

Each subcommand is a module with add_parser(), which says what it takes, and a function that runs
it and returns the exit status: 0 for success, 1 for a failure, 2 for wrong usage.
"""

import argparse
import importlib.metadata
import os
import signal
import sys
from collections.abc import Sequence

import shtab

from tmem_host.bench import BenchError
from tmem_host.cli import (
    arena,
    auth,
    bench,
    clients,
    doctor,
    experiment,
    host,
    image,
    kernel,
    report,
    serve,
    top,
    trace,
    vm,
)
from tmem_host.control import ControlError
from tmem_host.experiment.errors import ExperimentError
from tmem_host.native import TmemError
from tmem_host.provision import ProvisionError
from tmem_host.service.settings import ConfigError

# In the order in which `tmem --help` lists them.
COMMANDS = (
    serve,
    clients,
    auth,
    host,
    top,
    vm,
    kernel,
    image,
    experiment,
    doctor,
    arena,
    trace,
    report,
    bench,
)


class _PrintVersion(argparse.Action):
    """Like argparse's own, but reads the installed metadata only when it is asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        version = importlib.metadata.version("kvm-tmem")
        print(f"{parser.prog} {version}")
        parser.exit()


def parser() -> argparse.ArgumentParser:
    """The parser of the whole command."""
    whole = argparse.ArgumentParser(
        prog="tmem", description="Transcendent memory for KVM: the operator's tool."
    )
    whole.add_argument("--version", action=_PrintVersion, nargs=0, help="print it and exit")
    shtab.add_argument_to(
        whole, "--print-completion", help="print the completion script of a shell and exit"
    )
    commands = whole.add_subparsers(metavar="COMMAND", required=True)
    for command in COMMANDS:
        command.add_parser(commands)
    return whole


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs `tmem` with `arguments` (by default those of the process); returns its exit status."""
    options = parser().parse_args(arguments)
    try:
        status: int = options.run(options)
        sys.stdout.flush()
    except (
        TmemError,
        BenchError,
        ConfigError,
        ControlError,
        ExperimentError,
        ProvisionError,
    ) as error:
        print(f"tmem: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("tmem: interrupted", file=sys.stderr)
        return 128 + signal.SIGINT
    except BrokenPipeError:
        # The reader has seen enough. Python would flush what is left, and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return status
