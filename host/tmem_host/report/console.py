# SPDX-License-Identifier: GPL-2.0-or-later
"""A report on the terminal: rich there, plain lines elsewhere."""

from collections.abc import Sequence
from typing import TextIO

from rich.console import Console
from rich.table import Table as RichTable

from tmem_host.cli.output import columns
from tmem_host.report.answer import Answer
from tmem_host.report.notices import Notice
from tmem_host.report.tables import Table


def print_report(
    stream: TextIO,
    answers: Sequence[Answer],
    told: Sequence[Notice],
    tables: Sequence[Table],
    conditions: str,
) -> None:
    """The tables, a sentence on what they hold for, what warns of them; and the answers, the
    first of them last, since that is what a terminal shows."""
    tables = [table for table in tables if table.rows]
    if stream.isatty():
        _print_rich(Console(file=stream, highlight=False), answers, told, tables, conditions)
        return
    lines = []
    for table in tables:
        lines += [f"{table.title}. {table.about}", columns(table.heads, table.rows), ""]
    lines += [conditions, *map(_noticed, told), ""]
    lines += [*(answer.sentence for answer in reversed(answers)), *answers[0].details]
    print("\n".join(lines), file=stream)


def _noticed(notice: Notice) -> str:
    return f"{'WARNING' if notice.warns else 'Note'}: {notice.text}"


def _print_rich(
    console: Console,
    answers: Sequence[Answer],
    told: Sequence[Notice],
    tables: Sequence[Table],
    conditions: str,
) -> None:
    for table in tables:
        console.print(table.title, style="bold", markup=False)
        console.print(table.about, style="dim", markup=False)
        console.print(_rich(table))
        console.print()
    console.print(conditions, style="dim", markup=False)
    for notice in told:
        console.print(_noticed(notice), style="yellow" if notice.warns else "dim", markup=False)
    console.print()
    for answer in reversed(answers):
        console.print(answer.sentence, style="bold", markup=False)
    for detail in answers[0].details:
        console.print(detail, markup=False)


def _rich(table: Table) -> RichTable:
    shown = RichTable(box=None, pad_edge=False, header_style="bold")
    for column, head in enumerate(table.heads):
        figure = table.is_figure(column)
        # on a narrow terminal heads and words are wrapped, not figures
        widest = max((len(row[column]) for row in table.rows), default=0)
        shown.add_column(
            head,
            justify="right" if figure else "left",
            overflow="fold",
            min_width=widest if figure else None,
        )
    for row in table.rows:
        shown.add_row(*row)
    return shown
