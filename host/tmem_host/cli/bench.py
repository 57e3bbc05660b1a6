# SPDX-License-Identifier: GPL-2.0-or-later
"""tmem bench: measures what operations cost."""

import argparse
import json
import sys
from collections.abc import Collection
from pathlib import Path

from tmem_host.bench import ENGINE, SERVICE, Benchmark, Settings, run
from tmem_host.bench.report import describe
from tmem_host.cli.stopping import sigterm_interrupts
from tmem_host.native import PAGE_BYTES

_UNITS = {"": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
_SIZE_MIN_BYTES = 4 << 20
_EPILOG = "Exit status: 0 if everything was measured, whether or not targets were met."


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds `tmem bench` and its verbs."""
    bench = commands.add_parser(
        "bench",
        help="measure what operations cost",
        description="Measures what operations cost, against the machine's own primitives and"
        " against other servers.",
    )
    verbs = bench.add_subparsers(metavar="WHAT", required=True)
    engine = verbs.add_parser(
        "engine",
        help="puts, gets, eviction, recovery; bytes beside the contents",
        description="Measures the engine over real pages, in turns with memcpy and LZ4."
        " docs/performance.md explains each field.",
        epilog=_EPILOG,
    )
    _add_arguments(engine, ENGINE)
    service = verbs.add_parser(
        "service",
        help="puts and gets over a socket, beside Redis and memcached",
        description="Measures the server over a unix socket, in turns with Redis, memcached and a"
        " server that only moves bytes. Two processors are needed: one for the servers, one for"
        " the client. docs/performance.md explains each field.",
        epilog=_EPILOG,
    )
    _add_arguments(service, SERVICE)
    guest = verbs.add_parser(
        "guest",
        help="the calls of a guest's kernel, beside a bare virtio port",
        description="Makes a guest and measures in its kernel puts, gets, stores and loads, in"
        " turns with a port that only moves bytes, and a cold read with tmem and without."
        " docs/performance.md explains each field.",
        epilog=_EPILOG,
    )
    _add_guest_arguments(guest)


def _add_arguments(parser: argparse.ArgumentParser, benchmark: Benchmark) -> None:
    defaults = benchmark.defaults
    names = [field.name for field in benchmark.fields]
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument(
        "--size",
        type=size,
        default=defaults.size_bytes,
        metavar="SIZE",
        help=f"of the data set, such as 64MiB (default {defaults.size_bytes >> 20}MiB); the run"
        f" needs {benchmark.memory_factor:g} times that",
    )
    parser.add_argument(
        "--rounds", type=rounds, default=defaults.rounds, help="default %(default)s"
    )
    parser.add_argument(
        "--fields",
        type=lambda text: fields(text, names),
        default=defaults.fields,
        metavar="FIELD,...",
        help="only these; " + " ".join(names),
    )
    parser.add_argument(
        "--arena",
        type=Path,
        default=defaults.arena,
        metavar="DIR",
        help="a folder on tmpfs (default %(default)s)",
    )
    parser.set_defaults(run=lambda options: run_benchmark(benchmark, options))


def _add_guest_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--rounds", type=rounds, default=5, help="default %(default)s")
    parser.add_argument(
        "--pages",
        type=pages,
        default=2048,
        metavar="N",
        help="to be moved at a time, up to 16384 (default %(default)s)",
    )
    parser.add_argument(
        "--cold",
        type=size,
        default=1 << 30,
        metavar="SIZE",
        help="of the file that is read with nothing cached (default 1GiB)",
    )
    parser.add_argument(
        "--memory",
        type=size,
        default=1536 << 20,
        metavar="SIZE",
        help="RAM of the guest; more than the file (default 1536MiB)",
    )
    parser.set_defaults(run=run_guest_benchmark)


def pages(text: str) -> int:
    """A number of pages that the kernel's benchmark moves at a time."""
    if not text.isdecimal() or not 64 <= int(text) <= 16384:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 64 to 16384")
    return int(text)


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


def fields(text: str, known: Collection[str]) -> tuple[str, ...]:
    """Names of fields, separated by commas."""
    names = tuple(text.split(","))
    for name in names:
        if name not in known:
            raise argparse.ArgumentTypeError(f"{name!r} is not a field")
    return names


def run_benchmark(benchmark: Benchmark, options: argparse.Namespace) -> int:
    """Runs the benchmark; BenchError if it cannot."""
    # what is in memory must not stay there when the command is stopped
    sigterm_interrupts()
    settings = Settings(
        size_bytes=options.size,
        rounds=options.rounds,
        fields=options.fields,
        arena=options.arena,
    )
    try:
        document = run(benchmark, settings, _tell)
    except KeyboardInterrupt:
        print("tmem: stopped", file=sys.stderr)
        return 1
    print(json.dumps(document) if options.json else describe(document))
    return 0


def run_guest_benchmark(options: argparse.Namespace) -> int:
    """Runs `tmem bench guest`; BenchError, ExperimentError, ProvisionError, AgentError,
    ControlError."""
    # it needs libvirt, which the other benchmarks do not
    from tmem_host.bench.guest import GuestSettings, run_guest  # noqa: PLC0415
    from tmem_host.provision.progress import progress_on  # noqa: PLC0415
    from tmem_host.provision.vm.stopping import interruptible  # noqa: PLC0415

    settings = GuestSettings(
        rounds=options.rounds,
        pages=options.pages,
        cold_bytes=options.cold,
        memory_mib=options.memory >> 20,
    )
    with interruptible():
        document = run_guest(settings, progress_on(sys.stderr), _tell)
    print(json.dumps(document) if options.json else describe(document))
    return 0


def _tell(sentence: str) -> None:
    if sys.stderr.isatty():
        print(f"{sentence} ...", file=sys.stderr)
