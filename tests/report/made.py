# SPDX-License-Identifier: GPL-2.0-or-later
"""Points, runs and analyses for tests."""

from collections.abc import Iterable
from pathlib import Path

from tests.report.synthetic import Plan, records
from tmem_host.experiment.records import Header, Result, Run, Sample
from tmem_host.report.analysis import Analysis, analyse
from tmem_host.report.merge import merge
from tmem_host.report.points import Point, Spread

MIB = 1 << 20
ANY = Spread(0, 0, 0, 1)


def point(memory_mib: int, host_mib: float, work: float, *, rounds_mib: float = 0) -> Point:
    """A point that held `host_mib`, give or take `rounds_mib`, and took `work` seconds."""
    held, away = host_mib * MIB, rounds_mib * MIB
    return Point(
        memory_mib=memory_mib,
        seconds=Spread(work, work, work, 1),
        read_bytes=Spread(work * MIB, work * MIB, work * MIB, 1),
        written_bytes=ANY,
        host_bytes=Spread(held, held - away, held + away, 3),
        guest_bytes=ANY,
        arena_bytes=ANY,
        available_bytes=ANY,
        qemu_cpu_seconds=ANY,
        service_cpu_seconds=ANY,
        gets=ANY,
        puts=ANY,
        hits_own=ANY,
        hits_other=ANY,
        round_trips=ANY,
        served_share=None,
        blocked_seconds={},
        guest_read_bytes=[],
        guest_seconds=[],
    )


def result(*plans: Plan) -> list[Result]:
    """The results of plans, as they would be read."""
    return [_result(plan) for plan in plans]


def _result(plan: Plan) -> Result:
    header, *rest = records(plan)
    assert isinstance(header, Header)
    return Result(
        path=Path("result"),
        header=header,
        runs=[record for record in rest if isinstance(record, Run)],
        samples=[record for record in rest if isinstance(record, Sample)],
        end=None if not rest else rest[-1],  # type: ignore[arg-type]
    )


def analysis(plans: Iterable[Plan]) -> Analysis:
    """Of the results of plans together."""
    return analyse(merge(result(*plans)))
