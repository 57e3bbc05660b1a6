# SPDX-License-Identifier: GPL-2.0-or-later
"""A report as a whole, and the files of it."""

import html
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tmem_host.experiment.errors import ExperimentError
from tmem_host.experiment.records import FILE_NAME, Result, read
from tmem_host.report.analysis import Analysis, analyse
from tmem_host.report.answer import Answer, answers
from tmem_host.report.conditions import conditions, names, summary
from tmem_host.report.export import runs_csv
from tmem_host.report.merge import Merged, merge
from tmem_host.report.notices import Notice, limits, notices
from tmem_host.report.point_tables import hits, processors, same_ram
from tmem_host.report.saving_tables import best_savings, savings
from tmem_host.report.tables import Table, without

PAGE_NAME = "report.html"
CSV_NAME = "runs.csv"


@dataclass(frozen=True)
class Report:
    """One or more results of one experiment, understood."""

    results: Sequence[Result]
    merged: Merged
    analysis: Analysis
    answers: list[Answer]
    notices: list[Notice]


def report(paths: Sequence[Path]) -> Report:
    """At least one result, each named by its folder or its file. BadResult if one cannot be read,
    or they do not belong together."""
    results = [read(path) for path in paths]
    merged = merge(results)
    analysis = analyse(merged)
    return Report(results, merged, analysis, answers(analysis), notices(analysis))


def tables(analysis: Analysis) -> list[Table]:
    """All tables, with everything in them."""
    return [
        names(analysis),
        conditions(analysis),
        savings(analysis),
        same_ram(analysis, analysis.beside),
        hits(analysis.beside),
        processors(analysis, analysis.beside),
    ]


def short_tables(analysis: Analysis) -> list[Table]:
    """Those for a terminal: the main phase, each arm where it saves most, and all arms with the
    same RAM as the best one there."""
    shown = []
    for headline in analysis.headlines:
        size = headline.size_mib(analysis.sizes_of(headline.setting))
        shown += [
            each
            for each in analysis.beside
            if each.setting == headline.setting and each.point.memory_mib == size
        ]
    beside = without(same_ram(analysis, shown), "by guest", "of it arena", "Available")
    return [best_savings(analysis), beside]


def write_page(of: Report, folder: Path) -> Path:
    """Writes the page into `folder`, which is made if need be, with the runs as CSV and the records
    beside it; returns the page's path. ExperimentError if it cannot be written."""
    # matplotlib takes most of a second to load
    from tmem_host.report.page import page  # noqa: PLC0415
    from tmem_host.report.plots import plots  # noqa: PLC0415

    text = page(
        of.analysis,
        answers=of.answers,
        notices=of.notices,
        limits=limits(of.analysis),
        plots=plots(of.analysis, of.merged.samples),
        tables=tables(of.analysis),
        conditions=summary(of.analysis),
    )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / CSV_NAME).write_text(runs_csv(of.merged.runs), encoding="utf-8")
        _copy_records(of.results, folder)
        (folder / PAGE_NAME).write_text(text, encoding="utf-8")
    except OSError as error:
        raise ExperimentError(
            f"cannot write the report into {folder}: {error.strerror}; name another --output"
        ) from error
    return folder / PAGE_NAME


def _copy_records(results: Sequence[Result], folder: Path) -> None:
    for number, result in enumerate(results, 1):
        name = FILE_NAME if len(results) == 1 else f"result-{number}.jsonl"
        if (folder / name).resolve() != result.path.resolve():
            shutil.copyfile(result.path, folder / name)


def write_plot(of: Report, name: str, path: Path) -> None:
    """Writes one of plots.NAMES as an SVG file. ExperimentError if the result has nothing to show
    in it, or it cannot be written."""
    from tmem_host.report.plots import plot  # noqa: PLC0415
    from tmem_host.report.plots.svg import as_file  # noqa: PLC0415

    drawn = plot(name, of.analysis, of.merged.samples)
    if drawn is None:
        raise ExperimentError(f"{of.results[0].path} has nothing to draw the plot {name} of")
    try:
        path.write_text(as_file(drawn.svg, html.escape(drawn.alt)), encoding="utf-8")
    except OSError as error:
        raise ExperimentError(f"cannot write {path}: {error.strerror}") from error
