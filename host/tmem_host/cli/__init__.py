# SPDX-License-Identifier: GPL-2.0-or-later
"""The operator's command, `tmem`.

Each subcommand is a module with add_parser(), which says what it takes, and a function that runs
it and returns the exit status: 0 for success, 1 for a failure, 2 for wrong usage.
"""

import argparse
import importlib
import os
import signal
import sys
from collections.abc import Iterable, Sequence

# The modules and what each adds, in the order in which `tmem --help` lists it. Whoever runs one
# command does not wait for what the others need.
COMMANDS = {
    "serve": ("serve",),
    "clients": ("list", "info", "set", "freeze", "thaw", "flush", "client"),
    "auth": ("auth",),
    "host": ("stats", "freeable", "events"),
    "top": ("top",),
    "vm": ("vm",),
    "kernel": ("kernel",),
    "image": ("image",),
    "experiment": ("experiment",),
    "doctor": ("doctor",),
    "arena": ("arena",),
    "trace": ("trace",),
    "report": ("report",),
    "bench": ("bench",),
}


class _PrintVersion(argparse.Action):
    """Like argparse's own, but reads the installed metadata only when it is asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import version  # noqa: PLC0415

        print(f"{parser.prog} {version('kvm-tmem')}")
        parser.exit()


def parser() -> argparse.ArgumentParser:
    """The parser of the whole command."""
    import shtab  # noqa: PLC0415

    whole = _parser(COMMANDS)
    shtab.add_argument_to(
        whole, "--print-completion", help="print the completion script of a shell and exit"
    )
    return whole


def _parser(modules: Iterable[str]) -> argparse.ArgumentParser:
    whole = argparse.ArgumentParser(
        prog="tmem", description="Transcendent memory for KVM: the operator's tool."
    )
    whole.add_argument("--version", action=_PrintVersion, nargs=0, help="print it and exit")
    commands = whole.add_subparsers(metavar="COMMAND", required=True)
    for module in modules:
        importlib.import_module(f"tmem_host.cli.{module}").add_parser(commands)
    return whole


def _parser_for(words: Sequence[str]) -> argparse.ArgumentParser:
    """What a command line needs: all of it, unless it begins with a command."""
    for module, commands in COMMANDS.items():
        if words and words[0] in commands:
            return _parser([module])
    return parser()


def _told() -> tuple[type[Exception], ...]:
    """What is told in a sentence; loaded when there is something to tell."""
    from tmem_host.bench import BenchError  # noqa: PLC0415
    from tmem_host.control import ControlError  # noqa: PLC0415
    from tmem_host.experiment.errors import ExperimentError  # noqa: PLC0415
    from tmem_host.native import TmemError  # noqa: PLC0415
    from tmem_host.provision import ProvisionError  # noqa: PLC0415
    from tmem_host.service.settings import ConfigError  # noqa: PLC0415

    return (TmemError, BenchError, ConfigError, ControlError, ExperimentError, ProvisionError)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs `tmem` with `arguments` (by default those of the process); returns its exit status."""
    words = sys.argv[1:] if arguments is None else arguments
    try:
        options = _parser_for(words).parse_args(words)
        status: int = options.run(options)
        sys.stdout.flush()
    except KeyboardInterrupt:
        print("tmem: interrupted", file=sys.stderr)
        return 128 + signal.SIGINT
    except BrokenPipeError:
        # The reader has seen enough. Python would flush what is left, and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        if not isinstance(error, _told()):
            raise
        print(f"tmem: {error}", file=sys.stderr)
        return 1
    return status
