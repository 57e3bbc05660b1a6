# SPDX-License-Identifier: GPL-2.0-or-later
"""tmem-guest kernel: has the kernel use tmem, or no more, and shows how it does."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Final

from tmem_guest.cli.options import EXIT_STATUS, count, parameter

_ROOT: Final = Path("/")


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds `tmem-guest kernel` and its verbs."""
    kernel = commands.add_parser(
        "kernel",
        help="have the kernel use tmem, and see how it does",
        description="Has the kernel use tmem for its page cache and its swap, or no more, and shows"
        " how it does.",
        epilog=EXIT_STATUS,
    )
    verbs = kernel.add_subparsers(metavar="VERB", required=True)
    attach = verbs.add_parser(
        "attach",
        help="use tmem from now on",
        description="Takes the virtio port of the kernel from its driver and loads the modules."
        " Changes nothing if the kernel uses tmem already, but for parameters that are given.",
        epilog=EXIT_STATUS,
    )
    attach.add_argument(
        "parameters",
        nargs="*",
        type=parameter,
        metavar="NAME=VALUE",
        help="a parameter of the modules tmem_hooks and tmem_transport, such as staged_pages=1024;"
        " `modinfo` lists them",
    )
    attach.set_defaults(run=run_attach)
    detach = verbs.add_parser(
        "detach",
        help="use it no more",
        description="Gives up what the host holds, unloads the transport and gives the port back."
        " Refused while pages of swap are with the host: swapoff brings them home.",
        epilog=EXIT_STATUS,
    )
    detach.set_defaults(run=run_detach)
    status = verbs.add_parser(
        "status",
        help="see modules, session, mounts and swap",
        description="Shows modules, device and session, who waits for the host, what is staged and"
        " owed, and the mounts and swap areas that use tmem. Does not wait for the host itself.",
        epilog=EXIT_STATUS,
    )
    status.add_argument("--json", action="store_true", help="print one JSON object")
    status.set_defaults(run=run_status)
    counters = verbs.add_parser(
        "counters",
        help="see the modules' counters",
        description="Prints the counters of the modules, a name and a number a line.",
        epilog=EXIT_STATUS,
    )
    counters.add_argument("--json", action="store_true", help="print one JSON object")
    counters.set_defaults(run=run_counters)
    bench = verbs.add_parser(
        "bench",
        help="measure what the kernel's calls cost",
        description="Measures the calls of the kernel's front ends in turns with a bare port, and"
        " reading a file with and without tmem, and prints a JSON object a line. `tmem bench guest`"
        " on the host makes a machine with what that takes, and runs it.",
        epilog=EXIT_STATUS,
    )
    bench.add_argument("--rounds", type=count, default=5, help="default %(default)s")
    bench.add_argument(
        "--pages", type=count, default=2048, help="to be moved at a time (default %(default)s)"
    )
    bench.add_argument(
        "--shared", metavar="UUID", required=True, help="a shared pool that this guest may join"
    )
    bench.add_argument(
        "--cold", metavar="FILE", type=Path, required=True, help="is read, with nothing cached"
    )
    bench.set_defaults(run=run_bench)


# Each imports what it runs: the agent shall not wait for it.
# ruff: noqa: PLC0415


def run_attach(options: argparse.Namespace) -> int:
    """Runs `tmem-guest kernel attach`; CommandError."""
    from tmem_guest.kernel.attach import attach

    print(f"the kernel uses tmem, over {attach(_ROOT, dict(options.parameters))}")
    return 0


def run_detach(options: argparse.Namespace) -> int:
    """Runs `tmem-guest kernel detach`; CommandError."""
    from tmem_guest.kernel.attach import detach

    was_attached = detach(_ROOT)
    print("the kernel uses tmem no more" if was_attached else "the kernel did not use tmem")
    return 0


def run_status(options: argparse.Namespace) -> int:
    """Runs `tmem-guest kernel status`; CommandError."""
    from dataclasses import asdict

    from tmem_guest.kernel.report import described
    from tmem_guest.kernel.state import status

    found = status(_ROOT)
    print(json.dumps(asdict(found)) if options.json else described(found))
    return 0


def run_counters(options: argparse.Namespace) -> int:
    """Runs `tmem-guest kernel counters`; CommandError."""
    from tmem_guest.kernel.state import counters

    found = counters(_ROOT)
    if options.json:
        print(json.dumps(found))
        return 0
    for part, values in found.items():
        for name, value in values.items():
            print(f"{part}.{name} {value}")
    return 0


def run_bench(options: argparse.Namespace) -> int:
    """Runs `tmem-guest kernel bench`; CommandError."""
    from tmem_guest.kernel import bench, cold

    found = bench.run(_ROOT, options.rounds, options.pages, options.shared)
    for line in (*found, *cold.run(_ROOT, options.rounds, options.cold)):
        print(json.dumps(line), flush=True)
    return 0
