# SPDX-License-Identifier: GPL-2.0-or-later
"""Arms at single sizes of guest RAM, as tables: what they did, where pages came from, what it took
of the processors."""

from collections.abc import Sequence

from tmem_host.report.analysis import Analysis, Beside
from tmem_host.report.answer import cold_cost
from tmem_host.report.points import BASE, Point
from tmem_host.report.tables import Table, table
from tmem_host.report.words import (
    UNKNOWN,
    mebibytes,
    percent,
    percents,
    seconds,
    times,
    whole,
)


def same_ram(analysis: Analysis, shown: Sequence[Beside]) -> Table:
    """Each beside the base arm with the same guest RAM."""
    return table(
        "The same guest RAM",
        f'Each arm beside the arm "{BASE}" with as much RAM for each guest; medians over the'
        " rounds. Host memory is that of all guests and the arena when it was most, available what"
        " the host itself has more (MemAvailable).",
        (
            "RAM each",
            "Arm",
            "Run time",
            "Faster",
            "Disk reads",
            "Avoided",
            "by guest",
            "Cold cost",
            "Host memory",
            "of it arena",
            "Available",
        ),
        ((each.setting, (*_which(each), *_did(analysis, each))) for each in shown),
        texts=2,
    )


def _which(each: Beside) -> tuple[str, str]:
    return f"{each.point.memory_mib} MiB", each.arm


def _did(analysis: Analysis, each: Beside) -> tuple[str, ...]:
    point, is_base = each.point, each.arm == BASE
    gained = None if is_base else each.available_gained_bytes
    return (
        seconds(point.seconds.median),
        UNKNOWN if is_base else times(each.times_faster),
        mebibytes(point.read_bytes.median),
        UNKNOWN if is_base else percent(each.reads_avoided),
        UNKNOWN if is_base else percents(each.guest_reads_avoided),
        UNKNOWN if is_base else percent(cold_cost(analysis, each)),
        mebibytes(point.host_bytes.median),
        mebibytes(point.arena_bytes.median),
        UNKNOWN if gained is None else mebibytes(gained),
    )


def hits(shown: Sequence[Beside]) -> Table:
    """What guests asked the service for, and who had put it."""
    return table(
        "Where pages came from",
        "Pages that guests put into tmem and asked it for, and whether the same or another guest"
        " had put what they got. Served is the share of the time in which the shared pool was"
        " served, which it is not while a guest that shares it does not answer; blocked by says"
        " which.",
        (
            "RAM each",
            "Arm",
            "Puts",
            "Gets",
            "Hits",
            "own",
            "another's",
            "Round trips a get",
            "Served",
            "Blocked by",
        ),
        ((each.setting, (*_which(each), *_hits(each.point))) for each in shown if each.arm != BASE),
        texts=2,
        remarks=1,
    )


def _hits(point: Point) -> tuple[str, ...]:
    gets, own, other = point.gets.median, point.hits_own.median, point.hits_other.median
    blocked = [
        f"{client} {seconds(figure.median)}"
        for client, figure in point.blocked_seconds.items()
        if figure.high > 0
    ]
    return (
        whole(point.puts.median),
        whole(gets),
        percent((own + other) / gets) if gets else UNKNOWN,
        percent(own / gets) if gets else UNKNOWN,
        percent(other / gets) if gets else UNKNOWN,
        f"{point.round_trips.median / gets:.2f}" if gets else UNKNOWN,
        UNKNOWN if point.served_share is None else percent(point.served_share.median),
        ", ".join(blocked) or UNKNOWN,
    )


def processors(analysis: Analysis, shown: Sequence[Beside]) -> Table:
    """What it took of the processors."""
    return table(
        "Processor time",
        "Seconds that all QEMU processes and the service used, and their sum against the arm"
        f' "{BASE}" with the same RAM.',
        ("RAM each", "Arm", "QEMU", "Service", f"Sum against {BASE}"),
        (
            (
                each.setting,
                (
                    *_which(each),
                    seconds(each.point.qemu_cpu_seconds.median),
                    seconds(each.point.service_cpu_seconds.median),
                    _more_cpu(analysis, each),
                ),
            )
            for each in shown
        ),
        texts=2,
    )


def _more_cpu(analysis: Analysis, each: Beside) -> str:
    base = analysis.beside_of(each.setting, BASE, each.point.memory_mib)
    if each.arm == BASE or base is None or _cpu(base.point) == 0:
        return UNKNOWN
    more = _cpu(each.point) / _cpu(base.point) - 1
    return f"{'+' if more >= 0 else ''}{percent(more)}"


def _cpu(point: Point) -> float:
    return point.qemu_cpu_seconds.median + point.service_cpu_seconds.median
