# SPDX-License-Identifier: GPL-2.0-or-later
"""A report's figures for programs: runs as CSV, the analysis as one JSON document."""

import csv
import io
from collections.abc import Iterable
from typing import Any

from tmem_host.control.codec import encode
from tmem_host.experiment.records import GuestRun, Run, field_names
from tmem_host.report.analysis import Analysis
from tmem_host.report.answer import Answer
from tmem_host.report.notices import Notice
from tmem_host.report.points import BASE

_OF_RUN = [
    name for name in field_names(Run) if name not in {"guest", "guests", "work", "blocked_by"}
]
_OF_GUEST = field_names(GuestRun)


def runs_csv(runs: Iterable[Run]) -> str:
    """A line for each guest of each run; figures of the run are repeated in each. Columns that
    begin with `guest_` are the guest's own; `work_` and `blocked_by_` have a column a name."""
    listed = list(runs)
    work = sorted({name for run in listed for name in run.work})
    blocked = sorted({name for run in listed for name in run.blocked_by})
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        [
            *_OF_RUN,
            "guests",
            *(f"work_{name}" for name in work),
            *(f"blocked_by_{name}_seconds" for name in blocked),
            *(f"guest_{name}" for name in _OF_GUEST),
        ]
    )
    for run in listed:
        for guest in run.guest:
            writer.writerow(
                [
                    *(getattr(run, name) for name in _OF_RUN),
                    run.guests,
                    *(run.work.get(name) for name in work),
                    *(run.blocked_by.get(name, 0) for name in blocked),
                    *(getattr(guest, name) for name in _OF_GUEST),
                ]
            )
    return text.getvalue()


def as_map(analysis: Analysis, answers: Iterable[Answer], told: Iterable[Notice]) -> dict[str, Any]:
    """For JSON: everything that was computed, sizes in bytes, times in seconds, shares from 0 to
    1. A point stands once, with its arm and setting, in "points"."""
    return {
        "format": 1,
        "base": BASE,
        "answers": encode(list(answers)),
        "notices": encode(list(told)),
        "end": encode(analysis.end),
        "rounds": analysis.rounds,
        "headers": encode(analysis.headers),
        "headlines": encode(analysis.headlines),
        "compared": encode(analysis.compared),
        "controls": encode(analysis.controls),
        "points": encode(analysis.beside),
    }
