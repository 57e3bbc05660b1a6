# SPDX-License-Identifier: GPL-2.0-or-later
"""The command of a guest, `tmem-guest`.

Each subcommand is a module with add_parser(), which says what it takes, and a function that runs
it and returns the exit status: 0 for success, 1 for a failure, 2 for wrong usage. A module is
imported only for its commands, and imports what it runs only when it runs: an emulated guest takes
seconds to import what it does not need, and its host waits for that.
"""

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module

from tmem_guest.cli.errors import CommandError
from tmem_shim.errors import TmemError

# The commands, in the order of the help, and the module of each.
MODULES = {
    "agent": "agent",
    "ping": "ping",
    "stat": "ping",
    "put": "pages",
    "get": "pages",
    "flush": "pages",
    "bench": "bench",
    "kernel": "kernel",
    "workload": "workload",
}


def parser(command: str | None = None) -> argparse.ArgumentParser:
    """The parser of the whole command; with `command` only what is needed for that one."""
    modules = [MODULES[command]] if command in MODULES else list(dict.fromkeys(MODULES.values()))
    top = argparse.ArgumentParser(
        prog="tmem-guest", description="Transcendent memory for KVM: the guest's tool."
    )
    commands = top.add_subparsers(metavar="COMMAND", required=True)
    for module in modules:
        import_module(f"tmem_guest.cli.{module}").add_parser(commands)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs `tmem-guest` with `arguments` (by default those of the process); its exit status."""
    words = sys.argv[1:] if arguments is None else arguments
    options = parser(words[0] if words else None).parse_args(words)
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
