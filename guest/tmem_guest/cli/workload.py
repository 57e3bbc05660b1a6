# SPDX-License-Identifier: GPL-2.0-or-later
"""tmem-guest workload: what a guest does in an experiment."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from typing import TYPE_CHECKING

from tmem_guest.cli.errors import CommandError

if TYPE_CHECKING:
    from collections.abc import Callable

    from _typeshed import DataclassInstance

    from tmem_guest.workloads.files import Figures, Manifest

_PATTERNS = ("sequential", "random")


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds `tmem-guest workload` and its verbs."""
    workload = commands.add_parser(
        "workload",
        help="what a guest does in an experiment",
        description="Programs that verify every byte they are given back. They say `begin` and"
        " `end`, then print their figures as one JSON object.",
    )
    verbs = workload.add_subparsers(metavar="VERB", required=True)

    files = verbs.add_parser("read", help="read files and verify them")
    drop = verbs.add_parser("drop", help="read files, and have the kernel drop what was read")
    drop.set_defaults(run=run_drop)
    for verb in (files, drop):
        verb.add_argument("manifest", metavar="MANIFEST", help="JSON: what there is")
        verb.add_argument("root", metavar="FOLDER", help="where the files are")
    files.add_argument("--pattern", choices=_PATTERNS, default="sequential")
    files.set_defaults(run=run_read)

    memory = verbs.add_parser("memory", help="fill memory and verify it")
    memory.set_defaults(run=run_memory)
    hold = verbs.add_parser(
        "hold", help="fill memory, say so in a file, verify it at SIGTERM and say so there"
    )
    hold.add_argument("state", metavar="FILE")
    hold.set_defaults(run=run_hold)
    for verb in (memory, hold):
        verb.add_argument("--size", type=int, required=True, help="bytes")
        verb.add_argument("--compressible", type=float, default=0.0, help="share of each page")
    for verb in (files, memory, hold):
        verb.add_argument("--seed", type=int, default=0)
        verb.add_argument("--passes", type=int, default=1)


def run_read(options: argparse.Namespace) -> int:
    """Runs `tmem-guest workload read`."""
    from tmem_guest.workloads import files  # noqa: PLC0415 - the agent shall not wait for it

    return _with_files(
        options,
        lambda wanted: files.read(
            wanted,
            options.root,
            pattern=options.pattern,
            seed=options.seed,
            passes=options.passes,
        ),
    )


def run_drop(options: argparse.Namespace) -> int:
    """Runs `tmem-guest workload drop`."""
    from tmem_guest.workloads import files  # noqa: PLC0415

    return _with_files(options, lambda wanted: files.drop(wanted, options.root))


def _with_files(options: argparse.Namespace, work: Callable[[Manifest], Figures]) -> int:
    from tmem_guest.workloads import files  # noqa: PLC0415
    from tmem_guest.workloads.errors import WorkloadError  # noqa: PLC0415

    try:
        with open(options.manifest, encoding="utf-8") as file:
            wanted = files.manifest(json.load(file))
        _say("begin")
        figures = work(wanted)
    except (OSError, ValueError) as error:
        raise CommandError(f"cannot read {options.manifest}: {error}") from error
    except WorkloadError as error:
        raise CommandError(str(error)) from error
    _finish(figures)
    return 0


def run_memory(options: argparse.Namespace) -> int:
    """Runs `tmem-guest workload memory`."""
    from tmem_guest.workloads.errors import WorkloadError  # noqa: PLC0415
    from tmem_guest.workloads.memory import Memory  # noqa: PLC0415

    _say("begin")
    try:
        with Memory(options.size, seed=options.seed, compressible=options.compressible) as memory:
            for number in range(options.passes):
                memory.verify(number)
    except WorkloadError as error:
        raise CommandError(str(error)) from error
    _finish(memory.figures)
    return 0


def run_hold(options: argparse.Namespace) -> int:
    """Runs `tmem-guest workload hold`: the file says `held`, at the end `verified` or what is
    wrong."""
    import threading  # noqa: PLC0415

    from tmem_guest.workloads.errors import WorkloadError  # noqa: PLC0415
    from tmem_guest.workloads.memory import Memory  # noqa: PLC0415

    asked = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: asked.set())
    try:
        with Memory(options.size, seed=options.seed, compressible=options.compressible) as memory:
            _write(options.state, "held")
            asked.wait()
            for number in range(options.passes):
                memory.verify(number)
    except WorkloadError as error:
        _write(options.state, str(error))
        raise CommandError(str(error)) from error
    _write(options.state, "verified")
    return 0


def _write(path: str, line: str) -> None:
    with open(path, "w", encoding="utf-8") as file:
        file.write(f"{line}\n")


def _say(word: str) -> None:
    print(word, flush=True)


def _finish(figures: DataclassInstance) -> None:
    from dataclasses import asdict  # noqa: PLC0415

    _say("end")
    json.dump(asdict(figures), sys.stdout)
    print()
