# SPDX-License-Identifier: GPL-2.0-or-later
"""The tables of a report, as texts: the terminal and the page show the same."""

from collections.abc import Iterable
from dataclasses import dataclass

from tmem_host.report.points import Setting


@dataclass(frozen=True)
class Table:
    """`about` says how to read it. The first `texts` columns are words, and the last `remarks`;
    those between are figures."""

    title: str
    about: str
    heads: tuple[str, ...]
    rows: list[tuple[str, ...]]
    texts: int
    remarks: int = 0

    def is_figure(self, column: int) -> bool:
        """Whether the cells of a column are figures."""
        return self.texts <= column < len(self.heads) - self.remarks


_WHERE = ("Phase", "Disk", "Guests")


def table(
    title: str,
    about: str,
    heads: tuple[str, ...],
    rows: Iterable[tuple[Setting, tuple[str, ...]]],
    *,
    texts: int,
    remarks: int = 0,
) -> Table:
    """A table of rows, each of a setting. What is the same in the settings of all rows is said once
    instead of in columns."""
    listed = [((each.phase, each.profile, str(each.guests)), cells) for each, cells in rows]
    common = [
        column for column in range(len(_WHERE)) if len({where[column] for where, _ in listed}) == 1
    ]
    differ = [column for column in range(len(_WHERE)) if column not in common]
    if common:
        where = listed[0][0]
        shared = ", ".join(f"{_WHERE[column].lower()} {where[column]}" for column in common)
        about = f"{about} All rows: {shared}."
    return Table(
        title,
        about,
        (*(_WHERE[column] for column in differ), *heads),
        [(*(where[column] for column in differ), *cells) for where, cells in listed],
        len(differ) + texts,
        remarks,
    )


def without(table: Table, *heads: str) -> Table:
    """The table without the columns of these heads."""
    kept = [column for column, head in enumerate(table.heads) if head not in heads]

    def of(cells: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(cells[column] for column in kept)

    return Table(
        table.title,
        table.about,
        of(table.heads),
        [of(row) for row in table.rows],
        sum(column < table.texts for column in kept),
        sum(column >= len(table.heads) - table.remarks for column in kept),
    )
