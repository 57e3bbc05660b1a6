# SPDX-License-Identifier: GPL-2.0-or-later
"""tmem bench: measures what the engine's operations cost."""

import argparse
import json
import signal
import sys
from pathlib import Path
from types import FrameType

from tmem_host.bench import Settings, run_engine
from tmem_host.bench.fields import FIELDS
from tmem_host.bench.report import describe
from tmem_host.native import PAGE_BYTES

_UNITS = {"": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
_SIZE_MIN_BYTES = 4 << 20


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds `tmem bench engine`."""
    bench = commands.add_parser(
        "bench",
        help="measure what operations cost",
        description="Measures what operations cost, against the machine's own primitives.",
    )
    verbs = bench.add_subparsers(metavar="WHAT", required=True)
    engine = verbs.add_parser(
        "engine",
        help="puts, gets, eviction, recovery; bytes beside the contents",
        description="Measures the engine over real pages, in turns with memcpy and LZ4."
        " docs/performance.md explains each field.",
        epilog="Exit status: 0 if everything was measured, whether or not targets were met.",
    )
    defaults = Settings()
    engine.add_argument("--json", action="store_true", help="print one JSON document")
    engine.add_argument(
        "--size",
        type=size,
        default=defaults.size_bytes,
        metavar="SIZE",
        help="of the data set, such as 64MiB (default 1GiB); the run needs over three times that",
    )
    engine.add_argument(
        "--rounds", type=rounds, default=defaults.rounds, help="default %(default)s"
    )
    engine.add_argument(
        "--fields",
        type=fields,
        default=defaults.fields,
        metavar="FIELD,...",
        help="only these; " + " ".join(field.name for field in FIELDS),
    )
    engine.add_argument(
        "--arena",
        type=Path,
        default=defaults.arena,
        metavar="DIR",
        help="a folder on tmpfs (default %(default)s)",
    )
    engine.set_defaults(run=run)


def size(text: str) -> int:
    """Bytes of "64MiB"; whole pages, at least 4 MiB."""
    number = text.rstrip("KMGiB")
    unit = text[len(number) :]
    if unit not in _UNITS or not number.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a size such as 64MiB")
    bytes_ = int(number) * _UNITS[unit]
    if bytes_ < _SIZE_MIN_BYTES or bytes_ % PAGE_BYTES != 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not at least 4MiB of whole pages")
    return bytes_


def rounds(text: str) -> int:
    """A number of rounds, at least one."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of rounds")
    return int(text)


def fields(text: str) -> tuple[str, ...]:
    """Names of fields, separated by commas."""
    names = tuple(text.split(","))
    known = {field.name for field in FIELDS}
    for name in names:
        if name not in known:
            raise argparse.ArgumentTypeError(f"{name!r} is not a field")
    return names


def run(options: argparse.Namespace) -> int:
    """Runs the benchmark; BenchError if it cannot."""
    # what is in memory must not stay there when the command is stopped
    signal.signal(signal.SIGTERM, _stop)
    settings = Settings(
        size_bytes=options.size,
        rounds=options.rounds,
        fields=options.fields,
        arena=options.arena,
    )
    try:
        document = run_engine(settings, _tell)
    except KeyboardInterrupt:
        print("tmem: stopped", file=sys.stderr)
        return 1
    print(json.dumps(document) if options.json else describe(document))
    return 0


def _tell(sentence: str) -> None:
    if sys.stderr.isatty():
        print(f"{sentence} ...", file=sys.stderr)


def _stop(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
