# SPDX-License-Identifier: GPL-2.0-or-later
"""tmem arena: looks at an arena's file without changing it, also while a service has it open; and
asks a service to give memory of its arena back."""

import argparse
import dataclasses
import json

from tmem_host.cli.output import count, size, table
from tmem_host.cli.service import add_command
from tmem_host.cli.sizes import size_argument
from tmem_host.control import Connection
from tmem_host.native import PAGE_BYTES, ArenaReport, check_arena


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds `tmem arena info` and `tmem arena check`."""
    arena = commands.add_parser(
        "arena",
        help="look at an arena's file, give memory back",
        description="Looks at an arena's file without changing it; has a running service give "
        "memory of its arena back to the host.",
    )
    verbs = arena.add_subparsers(metavar="VERB", required=True)
    _add_verb(verbs, "info", contents=False, help_="header, sizes and counts")
    _add_verb(verbs, "check", contents=True, help_="the same, and verifies every stored page")
    for name, help_ in (
        ("shrink", "have the service give memory back to the host now"),
        ("budget", "set the arena memory that the service may hold, until its next start"),
    ):
        verb = add_command(verbs, name, run_give_back, help_=help_)
        verb.add_argument("size", metavar="SIZE", type=size_argument, help="for instance 64MiB")
        verb.set_defaults(method="arena.set_budget" if name == "budget" else "arena.shrink")


def _add_verb(
    verbs: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    *,
    contents: bool,
    help_: str,
) -> None:
    verb = verbs.add_parser(
        name,
        help=help_,
        description=f"Prints {help_}.",
        epilog="Exit status: 0 if the arena is sound, 1 if it is damaged or cannot be read.",
    )
    verb.add_argument("path", metavar="PATH", help="the arena's file")
    verb.add_argument("--json", action="store_true", help="print one JSON object")
    verb.set_defaults(run=run, contents=contents)


def run(options: argparse.Namespace) -> int:
    """Runs either verb; ArenaError if the file cannot be read as an arena."""
    report = check_arena(options.path, contents=options.contents)
    if options.json:
        print(json.dumps({"path": options.path, **dataclasses.asdict(report)}))
    else:
        print(describe(options.path, report, contents=options.contents))
    return 0 if report.sound else 1


def run_give_back(options: argparse.Namespace, connection: Connection) -> int:
    """Shrinks, or sets the budget, and says what came of it."""
    report = connection.call(options.method, size=options.size)
    print(f"{size(report['returned_bytes'])} given back to the host")
    for held, why in (("persistent", "persistent pages"), ("busy", "pages in use; try again")):
        if report[f"held_{held}_bytes"]:
            print(f"{size(report[f'held_{held}_bytes'])} not: {why}")
    return 0


def describe(path: str, report: ArenaReport, *, contents: bool) -> str:
    """The report for people."""
    pages = report.ephemeral_pages + report.persistent_pages
    rows = [
        ("arena", path),
        ("format", _format(report)),
        ("in use", "yes: the numbers may be of different moments" if report.in_use else "no"),
        ("file", f"{size(report.file_bytes)}, of these {size(report.resident_bytes)} in memory"),
        (
            "extents",
            f"{report.extents} of {size(report.extent_bytes)}, room for {size(report.max_bytes)}",
        ),
        ("clients", f"{report.clients}"),
        ("pools", f"{report.pools}, of these {report.shared_pools} shared"),
        (
            "pages",
            f"{report.ephemeral_pages} ephemeral, {report.persistent_pages} persistent:"
            f" {size(pages * PAGE_BYTES)} stored in {size(report.payload_bytes)}",
        ),
        ("stale", count(report.stale_records, "superseded record")),
        ("damage", _damage(report)),
        ("contents", "verified" if contents else "not verified: see tmem arena check"),
    ]
    return table(rows)


def _format(report: ArenaReport) -> str:
    features = f"{report.features_incompat:#x}, compatible ones {report.features_compat:#x}"
    return f"{report.format_version}, features {features}"


def _damage(report: ArenaReport) -> str:
    found = [
        "the first copy of the header" if report.header_damaged else "",
        count(report.damaged_records, "record") if report.damaged_records else "",
        count(report.damaged_rows, "table row") if report.damaged_rows else "",
        count(report.damaged_extents, "extent") if report.damaged_extents else "",
        count(report.damaged_contents, "page") if report.damaged_contents else "",
    ]
    return ", ".join(part for part in found if part) or "none"
