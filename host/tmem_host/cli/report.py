# SPDX-License-Identifier: GPL-2.0-or-later
"""tmem report: what a result of an experiment shows."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from tmem_host.experiment.errors import ExperimentError

# Those of tmem_host.report.plots, which takes longer to load than this.
PLOTS = ("saved", "reads", "memory", "sweep")


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds `tmem report`."""
    report = commands.add_parser(
        "report",
        help="show what a result of an experiment says",
        description="Prints what a result of an experiment shows, and writes it as one HTML file"
        " with plots, the runs as CSV beside it. docs/report.md says how to read it.",
        epilog="Exit status: 0; 1 if a result cannot be read or the report not be written. A"
        " partial result is reported, and marked as such.",
    )
    report.add_argument(
        "results",
        metavar="RESULT",
        nargs="+",
        type=Path,
        help="a result's folder; several of one experiment, for instance with other numbers of"
        " guests, are put together",
    )
    report.add_argument(
        "-o",
        "--output",
        metavar="PATH",
        type=Path,
        help="the folder to write into (default: that of the result); with --plot the file",
    )
    how = report.add_mutually_exclusive_group()
    how.add_argument(
        "--json", action="store_true", help="print one JSON document, and write nothing"
    )
    how.add_argument(
        "--plot",
        metavar="NAME",
        choices=PLOTS,
        help=f"write one plot as SVG into the file --output: {', '.join(PLOTS)}",
    )
    report.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Reports; ExperimentError if it cannot."""
    if options.plot and options.output is None:
        raise ExperimentError("--plot needs --output, the file to write")
    if not options.json and options.output is None and len(options.results) > 1:
        raise ExperimentError("several results need --output, the folder to write the page into")
    if not options.json and not options.plot:
        show(options.results, options.output)
        return 0
    # the whole of it takes longer to load than other commands take to run
    from tmem_host.report.export import as_map  # noqa: PLC0415
    from tmem_host.report.files import report, write_plot  # noqa: PLC0415

    made = report(options.results)
    if options.json:
        print(json.dumps(as_map(made.analysis, made.answers, made.notices)))
    else:
        write_plot(made, options.plot, options.output)
    return 0


def show(results: Sequence[Path], output: Path | None = None) -> None:
    """Prints what the results, at least one, show, and writes the page into `output`: by default
    the folder of the first. ExperimentError."""
    from tmem_host.report.conditions import summary  # noqa: PLC0415
    from tmem_host.report.console import print_report  # noqa: PLC0415
    from tmem_host.report.files import report, short_tables, write_page  # noqa: PLC0415

    made = report(results)
    print_report(
        sys.stdout,
        made.answers,
        made.notices,
        short_tables(made.analysis),
        summary(made.analysis),
    )
    written = write_page(made, output or made.results[0].path.parent)
    print(f"\nReport: {written}")
