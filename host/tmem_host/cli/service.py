# SPDX-License-Identifier: GPL-2.0-or-later
"""What the commands that talk to the service have in common."""

import argparse
import json
from collections.abc import Callable
from typing import Any

from tmem_host.cli.output import size
from tmem_host.control import Connection, default_socket

Commands = "argparse._SubParsersAction[argparse.ArgumentParser]"
Run = Callable[[argparse.Namespace, Connection], int]


def add_command(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    run: Run,
    *,
    help_: str,
    description: str | None = None,
    reads: bool = False,
) -> argparse.ArgumentParser:
    """Adds a command that calls the service; `reads` gives it --json."""
    command = commands.add_parser(
        name, help=help_, description=description or f"{help_[0].upper()}{help_[1:]}."
    )
    command.add_argument(
        "--socket",
        metavar="PATH",
        help="the service's control socket (default: $TMEM_SOCKET, else the usual place)",
    )
    if reads:
        command.add_argument("--json", action="store_true", help="print JSON")
    command.set_defaults(run=lambda options: _connected(run, options))
    return command


def _connected(run: Run, options: argparse.Namespace) -> int:
    with Connection(options.socket or default_socket()) as connection:
        return run(options, connection)


def add_client(
    command: argparse.ArgumentParser,
    *,
    optional: bool = False,
    all_: bool = False,
    short: bool = True,
) -> None:
    """Adds CLIENT, which may be left out if `optional` or `all_`, and --connect, for short -c if
    `short`; with `all_` also --all."""
    command.add_argument(
        "client",
        metavar="CLIENT",
        nargs="?" if all_ or optional else None,
        help="a client's name, as tmem list shows it; a domain's also by its uuid or id",
    )
    command.add_argument(
        *(["-c"] if short else []),
        "--connect",
        metavar="URI",
        help="the libvirt connection that knows the domain (default: the service's own)",
    )
    if all_:
        command.add_argument("-a", "--all", action="store_true", help="every client there is now")


def client_of(options: argparse.Namespace) -> str:
    """The client that CLIENT names: with --connect, a domain that this connection knows by name,
    uuid or id. VmError."""
    if options.connect is None:
        return str(options.client)
    # Only this needs libvirt.
    from tmem_host.provision.vm.provisioner import Provisioner  # noqa: PLC0415

    domain, slash, channel = options.client.partition("/")
    with Provisioner(uri=options.connect) as machines:
        return f"{machines.resolve(domain)}{slash}{channel}"


def chosen(
    options: argparse.Namespace, connection: Connection, parser: argparse.ArgumentParser
) -> list[str]:
    """The clients that CLIENT or --all names; ends with a usage error when neither or both do."""
    if (options.client is None) != options.all:
        parser.error("either a CLIENT or --all is needed")
    if options.all:
        return [client["name"] for client in connection.call("client.list")]
    return [client_of(options)]


def print_json(value: Any) -> None:
    print(json.dumps(value))


def confirmed(question: str, options: argparse.Namespace) -> bool:
    """Whether the operator is sure; --yes says so beforehand."""
    if options.yes:
        return True
    try:
        return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        return False


def limit(bytes_: int) -> str:
    """A limit for people: 0 is none."""
    return size(bytes_) if bytes_ else "none"
