# SPDX-License-Identifier: GPL-2.0-or-later
"""tmem list, info, set, freeze, thaw, flush, client: the clients of a running service."""

import argparse
import sys

from tmem_host.cli.describe import describe, describe_service, state_words
from tmem_host.cli.output import columns, count, size, table
from tmem_host.cli.service import (
    add_client,
    add_command,
    chosen,
    client_of,
    confirmed,
    limit,
    print_json,
)
from tmem_host.cli.sizes import size_argument
from tmem_host.control import Connection

_ENCODINGS = ("raw", "lz4", "zstd")


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds all of them."""
    add_command(commands, "list", run_list, help_="list the clients", reads=True)
    info = add_command(
        commands,
        "info",
        run_info,
        help_="show all about a client, or about the service",
        description="Shows all about a client; without CLIENT about the service and its arena.",
        reads=True,
    )
    add_client(info, optional=True)
    _add_set(commands)
    for name, frozen, help_ in (
        ("freeze", True, "refuse new pages and new pools of a client"),
        ("thaw", False, "end what freeze began"),
    ):
        command = add_command(commands, name, run_freeze, help_=help_)
        add_client(command, all_=True)
        command.set_defaults(frozen=frozen, parser=command)
    flush = add_command(
        commands,
        "flush",
        run_flush,
        help_="evict a client's ephemeral pages",
        description="Evicts a client's ephemeral pages. What they took is free for others; "
        "give it back to the host with tmem arena shrink.",
    )
    add_client(flush, all_=True)
    flush.add_argument("--size", type=size_argument, help="at least so much (default: all of them)")
    flush.set_defaults(parser=flush)
    _add_verbs(commands)


def _add_set(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    command = add_command(
        commands,
        "set",
        run_set,
        help_="change a client's settings",
        description="Changes a client's settings for good. With none given it shows them.",
        reads=True,
    )
    add_client(command, all_=True, short=False)  # -c is the cap, as in xl
    command.add_argument("-w", "--weight", type=int, help="share relative to others; 0: no limit")
    command.add_argument("-c", "--cap", type=size_argument, help="most arena bytes; 0: none")
    command.add_argument(
        "-q", "--quota", type=size_argument, help="most bytes of persistent pages; 0: none"
    )
    command.add_argument("-p", "--compress", choices=_ENCODINGS, help="encoding of new pages")
    command.add_argument("--zstd-level", type=int, help="zstd's level")
    command.add_argument(
        "--dedup", action=argparse.BooleanOptionalAction, help="share equal contents"
    )
    command.add_argument("--trust-group", type=int, help="share them with clients of this number")
    command.set_defaults(parser=command)


def _add_verbs(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    client = commands.add_parser(
        "client", help="add and remove clients", description="Adds and removes clients."
    )
    verbs = client.add_subparsers(metavar="VERB", required=True)
    add = add_command(verbs, "add", run_add, help_="make a client and its channel")
    add.add_argument("client", metavar="CLIENT", help="its name")
    where = add.add_mutually_exclusive_group(required=True)
    where.add_argument("--listen", metavar="PATH", help="the service listens at this socket")
    where.add_argument("--connect", metavar="PATH", help="it connects to this socket (QEMU's)")
    add.add_argument("--peer-uid", type=int, help="only this user may be at the other end")
    for name, run, help_ in (
        ("remove", run_remove, "end a client and drop its pages"),
        ("lost", run_lost, "tell a client's guest that its pages are gone"),
    ):
        verb = add_command(verbs, name, run, help_=help_)
        add_client(verb)
        verb.add_argument("-y", "--yes", action="store_true", help="do not ask")


def run_list(options: argparse.Namespace, connection: Connection) -> int:
    """Prints a line for each client."""
    clients = connection.call("client.list")
    if options.json:
        print_json(clients)
        return 0
    rows = [
        (
            str(client["uid"]),
            client["name"],
            state_words(client),
            str(client["pools"]),
            size(client["ephemeral_bytes"]),
            size(client["persistent_bytes"]),
            str(client["settings"]["weight"]),
            limit(client["settings"]["cap_bytes"]),
        )
        for client in clients
    ]
    heads = ("Id", "Name", "State", "Pools", "Ephemeral", "Persistent", "Weight", "Cap")
    print(columns(heads, rows))
    return 0


def run_info(options: argparse.Namespace, connection: Connection) -> int:
    """Prints everything about a client, or the service."""
    if options.client is None:
        found = connection.call("service.info") | {"usage": connection.call("arena.usage")}
    else:
        found = connection.call("client.info", client=client_of(options))
    if options.json:
        print_json(found)
    else:
        print(describe_service(found) if options.client is None else describe(found))
    return 0


def run_set(options: argparse.Namespace, connection: Connection) -> int:
    """Changes settings, or shows them when nothing is to be changed."""
    changes = {
        "weight": options.weight,
        "cap_bytes": options.cap,
        "persistent_quota_bytes": options.quota,
        "encoding": options.compress,
        "zstd_level": options.zstd_level,
        "dedup": options.dedup,
        "trust_group": options.trust_group,
    }
    changes = {name: value for name, value in changes.items() if value is not None}
    found = {}
    for client in chosen(options, connection, options.parser):
        if changes:
            found[client] = connection.call("client.set", client=client, **changes)
        else:
            found[client] = connection.call("client.info", client=client)["settings"]
    if options.json:
        print_json(found)
    elif not changes:
        for client, settings in found.items():
            print(f"{client}:")
            print(table([(f"  {name}", str(value)) for name, value in settings.items()]))
    return 0


def run_freeze(options: argparse.Namespace, connection: Connection) -> int:
    """Freezes or thaws."""
    for client in chosen(options, connection, options.parser):
        connection.call("client.set", client=client, frozen=options.frozen)
    return 0


def run_flush(options: argparse.Namespace, connection: Connection) -> int:
    """Evicts ephemeral pages."""
    for client in chosen(options, connection, options.parser):
        freed = connection.call("client.flush", client=client, size=options.size)
        print(f"{client}: {size(freed)} freed")
    return 0


def run_add(options: argparse.Namespace, connection: Connection) -> int:
    """Makes a client."""
    connection.call(
        "client.add",
        client=options.client,
        listen=options.listen,
        connect=options.connect,
        peer_uid=options.peer_uid,
    )
    return 0


def run_remove(options: argparse.Namespace, connection: Connection) -> int:
    """Ends a client."""
    info = connection.call("client.info", client=client_of(options))
    kept = info["persistent_pages"]
    question = f"Drop client {options.client!r} with {count(kept, 'persistent page')}?"
    if not confirmed(question, options):
        print("tmem: nothing was changed", file=sys.stderr)
        return 1
    connection.call("client.remove", client=client_of(options))
    return 0


def run_lost(options: argparse.Namespace, connection: Connection) -> int:
    """Tells a guest that its pages are gone."""
    question = (
        f"Tell the guest of {options.client!r} that its pages are gone? It panics if it has "
        "swapped any of them out."
    )
    if not confirmed(question, options):
        print("tmem: nothing was changed", file=sys.stderr)
        return 1
    connection.call("client.lost", client=client_of(options))
    return 0
