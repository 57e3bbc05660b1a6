# SPDX-License-Identifier: GPL-2.0-or-later
"""tmem auth: which clients may join which shared pools."""

import argparse

from tmem_host.cli.service import add_client, add_command, client_of, print_json
from tmem_host.control import Connection


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds `tmem auth add|remove|list|all`."""
    auth = commands.add_parser(
        "auth",
        help="say which clients may join which shared pools",
        description="Says which clients may join which shared pools. A shared pool is named by the "
        "uuid of its file system, as blkid prints it.",
    )
    verbs = auth.add_subparsers(metavar="VERB", required=True)
    for name, help_ in (
        ("add", "let a client join a shared pool"),
        ("remove", "take that right back; pools it has joined stay"),
    ):
        verb = add_command(verbs, name, run_change, help_=help_)
        add_client(verb)
        verb.add_argument("uuid", metavar="UUID", help="the file system's uuid")
        verb.set_defaults(method=f"auth.{name}")
    listing = add_command(verbs, "list", run_list, help_="list a client's rights", reads=True)
    add_client(listing)
    everything = add_command(verbs, "all", run_all, help_="let every client join every shared pool")
    everything.add_argument("allow", choices=("on", "off"))


def run_change(options: argparse.Namespace, connection: Connection) -> int:
    """Adds or removes a right; nothing to do is no failure."""
    changed = connection.call(options.method, client=client_of(options), uuid=options.uuid)
    if not changed:
        print(f"{options.client}: nothing to change")
    return 0


def run_list(options: argparse.Namespace, connection: Connection) -> int:
    """Prints a uuid a line."""
    uuids = connection.call("auth.list", client=client_of(options))
    if options.json:
        print_json(uuids)
    else:
        for uuid in uuids:
            print(uuid)
    return 0


def run_all(options: argparse.Namespace, connection: Connection) -> int:
    """Sets the switch."""
    connection.call("auth.all", allow=options.allow == "on")
    return 0
