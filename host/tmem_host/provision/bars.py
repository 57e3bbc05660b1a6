# SPDX-License-Identifier: GPL-2.0-or-later
"""Progress as a bar on a terminal."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.progress import Progress as RichProgress

from tmem_host.provision.progress import Progress, Task


class _BarTask(Task):
    def __init__(self, bars: RichProgress, title: str, total: int | None) -> None:
        self._bars = bars
        self._id = bars.add_task(title, total=total)

    def advance(self, steps: int = 1) -> None:
        self._bars.advance(self._id, steps)


class Bars(Progress):
    """A bar for each piece of work, on a terminal."""

    def __init__(self, stream: TextIO) -> None:
        self._console = Console(file=stream, highlight=False)

    @contextmanager
    def task(self, title: str, total: int | None = None) -> Iterator[Task]:
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
        )
        with RichProgress(*columns, console=self._console) as bars:
            yield _BarTask(bars, title, total)

    def note(self, text: str) -> None:
        self._console.print(text, markup=False)
