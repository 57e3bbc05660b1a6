# SPDX-License-Identifier: GPL-2.0-or-later
"""tmem trace: records the operations that a service serves, looks at them, runs them again."""

import argparse
import contextlib
import dataclasses
import errno
import math
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from tmem_host.cli.output import columns, count, size, table
from tmem_host.cli.service import add_command, print_json
from tmem_host.cli.sizes import seconds_argument, size_argument
from tmem_host.control import Connection
from tmem_host.native import PAGE_BYTES, Encoding, Engine, ReplayReport, Trace, TraceError
from tmem_host.trace import measure

# The service ends a recording that nobody has asked about for so long.
_KEEP_SECONDS = 30
_POLL_SECONDS = 0.5
_END_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_TMPFS = Path("/dev/shm")


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds its verbs."""
    trace = commands.add_parser(
        "trace",
        help="record operations, look at them, run them again",
        description="Records the operations that a running service serves, looks at such a file, "
        "runs it against an engine of other settings. docs/trace.md has the format.",
    )
    verbs = trace.add_subparsers(metavar="VERB", required=True)
    _add_record(verbs)
    stats = verbs.add_parser(
        "stats", help="what happened in a trace", description="Prints what happened in a trace."
    )
    stats.add_argument("file", metavar="FILE", help="the trace")
    stats.add_argument("--json", action="store_true", help="print one JSON object")
    stats.set_defaults(run=run_stats)
    _add_replay(verbs)


def _add_record(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    record = add_command(
        verbs,
        "record",
        run_record,
        help_="record what the service serves",
        description="Records what the service serves, until Ctrl-C. The service writes the file, "
        "with its own rights.",
        reads=True,
    )
    record.add_argument("file", metavar="FILE", help="made; must not be there yet")
    record.add_argument(
        "--contents", action="store_true", help="with the pages that are put: guests' memory"
    )
    record.add_argument("--seconds", metavar="N", type=seconds_argument, help="end after so long")
    record.add_argument(
        "--max-size", metavar="SIZE", type=size_argument, default=0, help="end at such a file"
    )


def _add_replay(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    replay = verbs.add_parser(
        "replay",
        help="run the operations of a trace against a fresh engine",
        description="Runs the operations of a trace, one after the other, against a fresh engine: "
        "what would have become of them with this budget and these policies.",
    )
    replay.add_argument("file", metavar="FILE", help="the trace")
    replay.add_argument(
        "--arena",
        metavar="PATH",
        type=Path,
        help=f"the arena's file, made and removed (default: one of its own in {_TMPFS})",
    )
    replay.add_argument(
        "--budget",
        metavar="SIZE",
        type=size_argument,
        default=256 << 20,
        help="memory of the arena (default: 256MiB)",
    )
    replay.add_argument(
        "--encoding", choices=("raw", "lz4", "zstd"), help="of all clients (default: as recorded)"
    )
    replay.add_argument(
        "--admission",
        choices=("always", "second-chance"),
        default="always",
        help="default: %(default)s",
    )
    replay.add_argument(
        "--incompressible",
        metavar="BYTES",
        type=int,
        default=PAGE_BYTES // 2,
        help="of a page whose contents were not recorded; the rest are zeros (default: "
        "%(default)s)",
    )
    replay.add_argument("--json", action="store_true", help="print one JSON object")
    replay.set_defaults(run=run_replay)


# ---- record ------------------------------------------------------------------------------


def run_record(options: argparse.Namespace, connection: Connection) -> int:
    """Records until it is told to end, or cannot; 1 when something is missing in the file."""
    told = threading.Event()
    # no exception: one in the middle of a call would leave its answer to the next
    before = {number: signal.signal(number, lambda *_: told.set()) for number in _END_SIGNALS}
    try:
        connection.call(
            "trace.start",
            path=str(Path(options.file).absolute()),
            contents=options.contents,
            max_bytes=options.max_size,
            keep_seconds=_KEEP_SECONDS,
        )
        try:
            _wait(options.seconds, told, connection)
        finally:
            status = connection.call("trace.stop")
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if options.json:
        print_json(status)
    else:
        print(f"{count(status['records'], 'operation')} recorded, {size(status['file_bytes'])}")
    if status["dropped"]:
        why = status["message"] or "the disk was too slow"
        print(f"tmem: {count(status['dropped'], 'operation')} dropped: {why}", file=sys.stderr)
    return 1 if status["code"] else 0


def _wait(seconds: float | None, told: threading.Event, connection: Connection) -> None:
    until = time.monotonic() + seconds if seconds is not None else math.inf
    while (left := until - time.monotonic()) > 0 and not told.wait(min(left, _POLL_SECONDS)):
        status = connection.call("trace.status")
        if status["code"] or not status["recording"]:
            return


# ---- stats -------------------------------------------------------------------------------


def run_stats(options: argparse.Namespace) -> int:
    """Prints them; 1 when the file is not sound."""
    with Trace(options.file) as trace:
        stats = measure(trace).as_map()
        problems = trace.problems()
        if options.json:
            print_json({**_about(trace), **stats})
        else:
            print(_describe(trace, stats))
    _print_problems(options.file, problems)
    return 1 if problems else 0


def _about(trace: Trace) -> dict[str, Any]:
    return {
        "path": trace.path,
        "file_bytes": trace.file_bytes,
        "records": trace.operation_count,
        "contents": trace.has_contents,
        "started": trace.started_ns / 1e9,
        "dropped": trace.dropped,
        "problems": trace.problems(),
    }


def _print_problems(path: str, problems: list[str]) -> None:
    for problem in problems:
        print(f"tmem: {path}: {problem}", file=sys.stderr)


def _describe(trace: Trace, stats: dict[str, Any]) -> str:
    reuse = stats["reuse"]
    each = trace.file_bytes / trace.operation_count if trace.operation_count else 0
    rows = [
        ("file", f"{size(trace.file_bytes)}, {each:.1f} bytes an operation"),
        ("time", f"{stats['duration_seconds']:.3f} s"),
        ("pages", f"{stats['distinct_pages']} put or asked for"),
        ("held at most", f"{stats['most_pages']}, if nothing were evicted"),
        ("first uses", f"{reuse['first_uses']}"),
        ("reuses", f"{reuse['reuses']}"),
    ]
    if reuse["reuses"]:
        bounds = ((_name, reuse[f"{_name}_below"]) for _name in ("median", "p90", "p99"))
        rows.append(
            ("reuse distance", ", ".join(f"{name} below {pages}" for name, pages in bounds))
        )
    lines = [("all", stats["all"]), *stats["clients"].items()]
    heads = ("client", "operations", "per second", "puts", "gets", "hits", "hit ratio", "flushes")
    return "\n".join((table(rows), "", columns(heads, (_line(*line) for line in lines))))


def _line(name: str, client: dict[str, Any]) -> tuple[str, ...]:
    operations = client["operations"]
    rate, ratio = client["operations_per_second"], client["hit_ratio"]
    return (
        name,
        str(sum(operations.values())),
        "-" if rate is None else f"{rate:.0f}",
        str(operations.get("put", 0)),
        str(operations.get("get", 0)),
        str(client["gets_hit"]),
        "-" if ratio is None else f"{ratio:.3f}",
        str(sum(number for kind, number in operations.items() if kind.startswith("flush_"))),
    )


# ---- replay ------------------------------------------------------------------------------


def run_replay(options: argparse.Namespace) -> int:
    """Runs the trace in an arena of its own; 1 when the file is not sound."""
    with contextlib.ExitStack() as stack:
        trace = stack.enter_context(Trace(options.file))
        arena = options.arena
        if arena is None:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="tmem-", dir=_TMPFS))
            arena = Path(folder) / "arena"
        elif arena.exists():
            raise TraceError(f"{arena}: a file is there already", errno=errno.EEXIST)
        else:
            stack.callback(arena.unlink, missing_ok=True)
        engine = stack.enter_context(Engine(arena, budget_bytes=options.budget))
        engine.set_policy(admission=options.admission)
        encoding = Encoding[options.encoding.upper()] if options.encoding else None
        report = trace.replay(
            engine, encoding=encoding, incompressible_bytes=options.incompressible
        )
        found = _replayed(report)
        counters = dataclasses.asdict(engine.counters())
        if options.json:
            print_json({**_about(trace), **found, "counters": counters})
        else:
            print(_describe_replay(report, found))
            shown = [(name, str(value)) for name, value in counters.items() if value]
            print("\n" + table(shown) if shown else "", end="\n" if shown else "")
        problems = trace.problems()
    _print_problems(options.file, problems)
    return 1 if problems else 0


def _replayed(report: ReplayReport) -> dict[str, Any]:
    return {
        **dataclasses.asdict(report),
        "hit_ratio": _ratio(report.gets_hit, report.gets),
        "hit_ratio_recorded": _ratio(report.gets_hit_recorded, report.gets),
        "ns_per_get": _ratio(report.get_ns, report.gets),
        "ns_per_put": _ratio(report.put_ns, report.puts),
        "ns_per_flush": _ratio(report.flush_ns, report.flushes),
    }


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _describe_replay(report: ReplayReport, found: dict[str, Any]) -> str:
    def ratio(name: str) -> str:
        return "-" if found[name] is None else f"{found[name]:.3f}"

    def each(name: str) -> str:
        return "" if found[name] is None else f", {found[name]:.0f} ns each"

    rows = [
        ("hit ratio", f"{ratio('hit_ratio')}; recorded: {ratio('hit_ratio_recorded')}"),
        ("gets", f"{report.gets}, {report.gets_hit} hits" + each("ns_per_get")),
        ("pages ahead", f"{report.ahead_pages}"),
        ("puts", f"{report.puts}, {report.puts_done} stored" + each("ns_per_put")),
        ("flushes", f"{report.flushes}" + each("ns_per_flush")),
        ("made up", f"{count(report.made_up_pages, 'page')} without recorded contents"),
        ("passed over", f"{report.passed_over}: of the channel, or of an unexplained pool"),
    ]
    return table(rows)
