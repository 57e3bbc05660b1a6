# SPDX-License-Identifier: GPL-2.0-or-later
"""The command of a guest, `tmem-guest`.

Each subcommand is a module with add_parser(), which says what it takes, and a function that runs
it and returns the exit status: 0 for success, 1 for a failure, 2 for wrong usage. A module imports
what it runs only when it runs: the agent shall not wait for what others need.
"""

import argparse
import sys
from collections.abc import Sequence

from tmem_guest.cli import agent, bench, kernel, pages, ping, workload
from tmem_guest.cli.errors import CommandError
from tmem_shim.errors import TmemError


def parser() -> argparse.ArgumentParser:
    """The parser of the whole command."""
    top = argparse.ArgumentParser(
        prog="tmem-guest", description="Transcendent memory for KVM: the guest's tool."
    )
    commands = top.add_subparsers(metavar="COMMAND", required=True)
    for module in (agent, ping, pages, bench, kernel, workload):
        module.add_parser(commands)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs `tmem-guest` with `arguments` (by default those of the process); its exit status."""
    options = parser().parse_args(arguments)
    try:
        status: int = options.run(options)
        sys.stdout.flush()
    except (CommandError, TmemError) as error:
        print(f"tmem-guest: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("tmem-guest: interrupted", file=sys.stderr)
        return 130
    return status
